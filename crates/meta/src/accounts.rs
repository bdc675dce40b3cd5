//! Tables `service_accounts` and `account_keys`.

use crate::{Id, MetaError, Row, Tx, params};

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub email: String,
    /// The project that it belongs to.
    pub project: String,
    /// Twenty-one digits that no other account ever has.
    pub unique_id: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Whether it may do nothing for now.
    pub disabled: bool,
    /// When it was last changed.
    pub updated_at: i64,
}

fn account(row: &Row<'_>) -> Result<Account, MetaError> {
    Ok(Account {
        email: row.text(0)?,
        project: row.text(1)?,
        unique_id: row.text(2)?,
        display_name: row.text(3)?,
        description: row.text(4)?,
        disabled: row.bool(5)?,
        updated_at: row.int(6)?,
    })
}

/// Twenty-one digits, the first of them a 1.
pub fn new_unique_id() -> String {
    let random = u128::from_le_bytes(Id::random().to_bytes());
    format!("1{:020}", random % 100_000_000_000_000_000_000)
}

/// The account of that address.
pub fn find(tx: &mut Tx<'_>, email: &str) -> Result<Option<Account>, MetaError> {
    tx.opt(
        "SELECT email, project, unique_id, display_name, description, disabled, updated_at
         FROM service_accounts WHERE email = ?1",
        params![email],
        account,
    )
}

/// The account of that address, if it may do anything: it is switched on, and its project can be used.
pub fn standing(tx: &mut Tx<'_>, email: &str) -> Result<Option<Account>, MetaError> {
    tx.opt(
        "SELECT a.email, a.project, a.unique_id, a.display_name, a.description, a.disabled, a.updated_at
         FROM service_accounts a JOIN projects p ON p.id = a.project
         WHERE a.email = ?1 AND NOT a.disabled AND p.state = 'ACTIVE'",
        params![email],
        account,
    )
}

/// Whether the account of that number may do anything, as in [`standing`].
pub fn is_standing(tx: &mut Tx<'_>, unique_id: &str) -> Result<bool, MetaError> {
    let found = tx.opt(
        "SELECT 1 FROM service_accounts a JOIN projects p ON p.id = a.project
         WHERE a.unique_id = ?1 AND NOT a.disabled AND p.state = 'ACTIVE'",
        params![unique_id],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Creates an account. `false`: the address is taken.
pub fn insert(tx: &mut Tx<'_>, new: &Account) -> Result<bool, MetaError> {
    let inserted = tx.exec(
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

/// Writes an account's names and whether it is disabled.
pub fn update(tx: &mut Tx<'_>, account: &Account) -> Result<u64, MetaError> {
    tx.exec(
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

/// Removes an account and its keys.
pub fn delete(tx: &mut Tx<'_>, email: &str) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM account_keys WHERE account = ?1", params![email])?;
    tx.exec("DELETE FROM service_accounts WHERE email = ?1", params![email])
}

/// The statement of [`list`], for the test that looks at its plan.
pub const LIST_SQL: &str =
    "SELECT email, project, unique_id, display_name, description, disabled, updated_at
     FROM service_accounts WHERE project = ?1 AND email > ?2 ORDER BY email LIMIT ?3";

/// The accounts of a project after `last`, by address.
pub fn list(
    tx: &mut Tx<'_>,
    project: &str,
    last: &str,
    limit: i64,
) -> Result<Vec<Account>, MetaError> {
    tx.query(LIST_SQL, params![project, last, limit], account)
}

/// A key of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id, forty hex digits.
    pub id: String,
    /// The account.
    pub account: String,
    /// The public half, as SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The private half, sealed, of a key that never leaves.
    pub sealed_private_key: Option<Vec<u8>>,
    /// Whether it proves nothing for now.
    pub disabled: bool,
    /// From when it is good.
    pub valid_after: i64,
    /// Until when it is good.
    pub valid_before: i64,
}

fn key(row: &Row<'_>) -> Result<Key, MetaError> {
    Ok(Key {
        id: row.text(0)?,
        account: row.text(1)?,
        public_key: row.bytes(2)?,
        sealed_private_key: row.opt_bytes(3)?,
        disabled: row.bool(4)?,
        valid_after: row.int(5)?,
        valid_before: row.int(6)?,
    })
}

/// The key of that id, with whatever account it belongs to.
pub fn find_key(tx: &mut Tx<'_>, id: &str) -> Result<Option<Key>, MetaError> {
    tx.opt(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE id = ?1",
        params![id],
        key,
    )
}

/// The keys of an account, by id. It has a handful: their number is limited when they are made.
pub fn keys_of(tx: &mut Tx<'_>, account: &str) -> Result<Vec<Key>, MetaError> {
    tx.query(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE account = ?1 ORDER BY id",
        params![account],
        key,
    )
}

/// Returns the sealed key of the last account that has one, by the account's address.
pub fn last_sealed_key(tx: &mut Tx<'_>) -> Result<Option<Key>, MetaError> {
    tx.opt(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE sealed_private_key IS NOT NULL ORDER BY account DESC LIMIT 1",
        params![],
        key,
    )
}

/// Returns the sealed keys of the accounts after one, by the account's address. Each account has one.
pub fn sealed_keys_after(
    tx: &mut Tx<'_>,
    account: &str,
    limit: i64,
) -> Result<Vec<Key>, MetaError> {
    tx.query(
        "SELECT id, account, public_key, sealed_private_key, disabled, valid_after, valid_before
         FROM account_keys WHERE sealed_private_key IS NOT NULL AND account > ?1
         ORDER BY account LIMIT ?2",
        params![account, limit],
        key,
    )
}

/// Stores a key.
pub fn insert_key(tx: &mut Tx<'_>, new: &Key) -> Result<(), MetaError> {
    tx.exec(
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

/// Switches a key off or on.
pub fn set_key_disabled(tx: &mut Tx<'_>, id: &str, disabled: bool) -> Result<u64, MetaError> {
    tx.exec("UPDATE account_keys SET disabled = ?2 WHERE id = ?1", params![id, disabled])
}

/// Removes a key.
pub fn delete_key(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM account_keys WHERE id = ?1", params![id])
}
