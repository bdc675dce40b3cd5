//! People who sign in by themselves, and the links by which they set passwords (tables `users` and `password_links`).
//! Passwords and the tokens of links are hashed before they come here.

use crate::{Id, MetaError, SqlRow, Tx, params};

/// A person who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The id of the person. Unlike an address, it is never used for another person.
    pub id: Id,
    /// The name of the issuer that vouches for the person.
    pub issuer: String,
    /// The name of the person there.
    pub subject: String,
    /// The e-mail address, in lower case.
    pub email: String,
    /// The name for people to read.
    pub display_name: String,
    /// True if the person may do nothing.
    pub disabled: bool,
    /// The hash of the password; `None` for a person without one.
    pub password_hash: Option<String>,
    /// The time at which the person was added.
    pub created_at: i64,
}

fn read_user(row: &SqlRow<'_>) -> Result<UserRow, MetaError> {
    Ok(UserRow {
        id: row.id(0)?,
        issuer: row.text(1)?,
        subject: row.text(2)?,
        email: row.text(3)?,
        display_name: row.text(4)?,
        disabled: row.bool(5)?,
        password_hash: row.opt_text(6)?,
        created_at: row.int(7)?,
    })
}

/// Returns the person with this address, which is in lower case.
pub fn find(tx: &mut Tx<'_>, email: &str) -> Result<Option<UserRow>, MetaError> {
    tx.query_first(
        "SELECT id, issuer, subject, email, display_name, disabled, password_hash, created_at
         FROM users WHERE email = ?1",
        params![email],
        read_user,
    )
}

/// Returns the person with this id.
pub fn find_by_id(tx: &mut Tx<'_>, id: &Id) -> Result<Option<UserRow>, MetaError> {
    tx.query_first(
        "SELECT id, issuer, subject, email, display_name, disabled, password_hash, created_at
         FROM users WHERE id = ?1",
        params![id],
        read_user,
    )
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT id, issuer, subject, email, display_name, disabled, password_hash, created_at
     FROM users WHERE email > ?1 ORDER BY email LIMIT ?2";

/// Returns the people whose addresses sort after `last`, in the order of their addresses.
pub fn list(tx: &mut Tx<'_>, last: &str, limit: i64) -> Result<Vec<UserRow>, MetaError> {
    tx.query(LIST_SQL, params![last, limit], read_user)
}

/// Stores a person. Returns `false` if the address is taken.
pub fn insert(tx: &mut Tx<'_>, new: &UserRow) -> Result<bool, MetaError> {
    let inserted = tx.execute(
        "INSERT INTO users
           (id, issuer, subject, email, display_name, disabled, password_hash, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT (email) DO NOTHING",
        params![
            &new.id,
            new.issuer.as_str(),
            new.subject.as_str(),
            new.email.as_str(),
            new.display_name.as_str(),
            new.disabled,
            new.password_hash.as_deref(),
            new.created_at
        ],
    )?;
    Ok(inserted == 1)
}

/// Disables or enables a person. Returns the number of people changed, 0 or 1.
pub fn set_disabled(tx: &mut Tx<'_>, id: &Id, disabled: bool, now: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE users SET disabled = ?2, updated_at = ?3 WHERE id = ?1",
        params![id, disabled, now],
    )
}

/// Sets the hash of a person's password. Returns the number of people changed, 0 or 1.
pub fn set_password_hash(tx: &mut Tx<'_>, id: &Id, hash: &str, now: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE users SET password_hash = ?2, updated_at = ?3 WHERE id = ?1",
        params![id, hash, now],
    )
}

/// A link by which a person sets a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLinkRow {
    /// The id of the person.
    pub user_id: Id,
    /// The time from which the link is no longer good.
    pub expires_at: i64,
}

/// Stores a person's link, in place of the one before.
pub fn set_link(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    new: &PasswordLinkRow,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO password_links (user_id, token_hash, expires_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash,
         expires_at = excluded.expires_at",
        params![&new.user_id, token_hash, new.expires_at],
    )?;
    Ok(())
}

/// Returns the link with this hash of its token.
pub fn find_link(tx: &mut Tx<'_>, token_hash: &[u8]) -> Result<Option<PasswordLinkRow>, MetaError> {
    tx.query_first(
        "SELECT user_id, expires_at FROM password_links WHERE token_hash = ?1",
        params![token_hash],
        |row| Ok(PasswordLinkRow { user_id: row.id(0)?, expires_at: row.int(1)? }),
    )
}

/// Deletes a person's link. Returns the number of links deleted, 0 or 1.
pub fn delete_link(tx: &mut Tx<'_>, user: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM password_links WHERE user_id = ?1", params![user])
}

/// The statement of [`delete_expired_links`]. A test checks its query plan.
pub(crate) const EXPIRED_LINKS_SQL: &str = "DELETE FROM password_links WHERE user_id IN
     (SELECT user_id FROM password_links WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 100)";

/// Deletes links that have expired, 100 at most. Returns their number.
pub fn delete_expired_links(tx: &mut Tx<'_>, now: i64) -> Result<u64, MetaError> {
    tx.execute(EXPIRED_LINKS_SQL, params![now])
}
