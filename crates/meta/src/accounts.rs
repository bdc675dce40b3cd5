//! The service accounts and their keys (tables `service_accounts` and `account_keys`).

use crate::{Id, MetaError, SqlRow, Tx, params};

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The email address, which is the key of the account.
    pub email: String,
    /// The id of the project of the account.
    pub project: String,
    /// A number of 21 digits. Unlike an address, it is never used for another account.
    pub unique_id: String,
    /// A name for people to read.
    pub display_name: String,
    /// A text for people to read.
    pub description: String,
    /// True if the account is switched off: it may do nothing.
    pub disabled: bool,
    /// The time of the last change.
    pub updated_at: i64,
}

fn read_account(row: &SqlRow<'_>) -> Result<AccountRow, MetaError> {
    Ok(AccountRow {
        email: row.text(0)?,
        project: row.text(1)?,
        unique_id: row.text(2)?,
        display_name: row.text(3)?,
        description: row.text(4)?,
        disabled: row.bool(5)?,
        updated_at: row.int(6)?,
    })
}

/// Makes a random `unique_id` of 21 digits, whose first digit is 1.
pub fn random_unique_id() -> String {
    let random = u128::from_le_bytes(Id::random().to_bytes());
    format!("1{:020}", random % 100_000_000_000_000_000_000)
}

/// Returns the account with this address.
pub fn find(tx: &mut Tx<'_>, email: &str) -> Result<Option<AccountRow>, MetaError> {
    tx.query_first(
        "SELECT email, project, unique_id, display_name, description, disabled, updated_at
         FROM service_accounts WHERE email = ?1",
        params![email],
        read_account,
    )
}

/// Returns the account with this address if it is usable: the account is not disabled, and its project is active.
pub fn find_enabled(tx: &mut Tx<'_>, email: &str) -> Result<Option<AccountRow>, MetaError> {
    tx.query_first(
        "SELECT a.email, a.project, a.unique_id, a.display_name, a.description, a.disabled, a.updated_at
         FROM service_accounts a JOIN projects p ON p.id = a.project
         WHERE a.email = ?1 AND NOT a.disabled AND p.state = 'ACTIVE'",
        params![email],
        read_account,
    )
}

/// Returns whether the account with this `unique_id` is usable, as in [`find_enabled`].
pub fn is_enabled(tx: &mut Tx<'_>, unique_id: &str) -> Result<bool, MetaError> {
    let found = tx.query_first(
        "SELECT 1 FROM service_accounts a JOIN projects p ON p.id = a.project
         WHERE a.unique_id = ?1 AND NOT a.disabled AND p.state = 'ACTIVE'",
        params![unique_id],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Creates an account. Returns `false` if the address is taken.
pub fn insert(tx: &mut Tx<'_>, new: &AccountRow) -> Result<bool, MetaError> {
    let inserted = tx.execute(
        "INSERT INTO service_accounts
           (email, project, unique_id, display_name, description, disabled, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (email) DO NOTHING",
        params![
            new.email.as_str(),
            new.project.as_str(),
            new.unique_id.as_str(),
            new.display_name.as_str(),
            new.description.as_str(),
            new.disabled,
            new.updated_at
        ],
    )?;
    Ok(inserted == 1)
}

/// Writes the display name, the description and the state of an account. Returns the number of accounts changed, 0 or
/// 1.
pub fn update(tx: &mut Tx<'_>, account: &AccountRow) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE service_accounts SET display_name = ?2, description = ?3, disabled = ?4, updated_at = ?5
         WHERE email = ?1",
        params![
            account.email.as_str(),
            account.display_name.as_str(),
            account.description.as_str(),
            account.disabled,
            account.updated_at
        ],
    )
}

/// Deletes an account and its keys. Returns the number of accounts deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, email: &str) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM account_keys WHERE account = ?1", params![email])?;
    tx.execute("DELETE FROM service_accounts WHERE email = ?1", params![email])
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT email, project, unique_id, display_name, description, disabled, updated_at
     FROM service_accounts WHERE project = ?1 AND email > ?2 ORDER BY email LIMIT ?3";

/// Returns the accounts of a project whose addresses sort after `last`, in the order of their addresses.
pub fn list(
    tx: &mut Tx<'_>,
    project: &str,
    last: &str,
    limit: i64,
) -> Result<Vec<AccountRow>, MetaError> {
    tx.query(LIST_SQL, params![project, last, limit], read_account)
}

/// A key of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountKeyRow {
    /// The id of the key: 40 hex digits.
    pub id: String,
    /// The address of the account.
    pub account: String,
    /// The public key, as SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The sealed private key. Each account has at most one key with a private key: the one with which the server itself
    /// signs.
    pub sealed_private_key: Option<Vec<u8>>,
    /// True if the key is switched off: it does not authenticate anybody.
    pub disabled: bool,
    /// The time from which the key is valid.
    pub valid_after: i64,
    /// The time until which the key is valid.
    pub valid_before: i64,
}

fn read_key(row: &SqlRow<'_>) -> Result<AccountKeyRow, MetaError> {
    Ok(AccountKeyRow {
        id: row.text(0)?,
        account: row.text(1)?,
        public_key: row.bytes(2)?,
        sealed_private_key: row.opt_bytes(3)?,
        disabled: row.bool(4)?,
        valid_after: row.int(5)?,
        valid_before: row.int(6)?,
    })
}

/// Returns the key with this id, whichever account has it.
pub fn find_key(tx: &mut Tx<'_>, id: &str) -> Result<Option<AccountKeyRow>, MetaError> {
    tx.query_first(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE id = ?1",
        params![id],
        read_key,
    )
}

/// Returns all keys of an account, in the order of their ids. They are few, because an account may only have a limited
/// number of keys.
pub fn list_keys(tx: &mut Tx<'_>, account: &str) -> Result<Vec<AccountKeyRow>, MetaError> {
    tx.query(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE account = ?1 ORDER BY id",
        params![account],
        read_key,
    )
}

/// Returns the sealed key of the account that sorts last by its address.
pub fn find_last_sealed_key(tx: &mut Tx<'_>) -> Result<Option<AccountKeyRow>, MetaError> {
    tx.query_first(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE sealed_private_key IS NOT NULL ORDER BY account DESC LIMIT 1",
        params![],
        read_key,
    )
}

/// Returns the sealed keys of the accounts whose addresses sort after `account`, in the order of the addresses. Each
/// account has at most one.
pub fn list_sealed_keys(
    tx: &mut Tx<'_>,
    account: &str,
    limit: i64,
) -> Result<Vec<AccountKeyRow>, MetaError> {
    tx.query(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE sealed_private_key IS NOT NULL AND account > ?1
         ORDER BY account LIMIT ?2",
        params![account, limit],
        read_key,
    )
}

/// Stores a key.
pub fn insert_key(tx: &mut Tx<'_>, new: &AccountKeyRow) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO account_keys (id, account, public_key, sealed_private_key, disabled, valid_after, valid_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.id.as_str(),
            new.account.as_str(),
            new.public_key.as_slice(),
            new.sealed_private_key.as_deref(),
            new.disabled,
            new.valid_after,
            new.valid_before
        ],
    )?;
    Ok(())
}

/// Switches a key off or on. Returns the number of keys changed, 0 or 1.
pub fn set_key_disabled(tx: &mut Tx<'_>, id: &str, disabled: bool) -> Result<u64, MetaError> {
    tx.execute("UPDATE account_keys SET disabled = ?2 WHERE id = ?1", params![id, disabled])
}

/// Deletes a key. Returns the number of keys deleted, 0 or 1.
pub fn delete_key(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM account_keys WHERE id = ?1", params![id])
}
