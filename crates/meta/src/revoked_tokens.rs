//! Tokens that were revoked before they expired (table `revoked_tokens`).

use crate::{MetaError, Tx, epochs, params};

/// The time for which a revocation is kept after its token has expired, in microseconds. An upload that was begun with
/// the token may last for days, and tokens that were derived from it may be renewed for some hours.
const RETENTION_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

/// Revokes a token, and deletes some revocations that are too old to matter. Returns `false` if the token was revoked
/// before, or if it expired so long ago that no upload and no other token can depend on it.
pub fn revoke(tx: &mut Tx<'_>, token: &str, now: i64, expires_at: i64) -> Result<bool, MetaError> {
    let too_old = now - RETENTION_MICROS;
    if expires_at < too_old || is_revoked(tx, token)? {
        return Ok(false);
    }
    tx.execute(FORGET_SQL, params![too_old])?;
    // Concurrent revocations wait for the row of the epoch, so that their numbers become visible in order.
    epochs::bump(tx, epochs::REVOCATIONS)?;
    let number = epochs::get(tx, epochs::REVOCATIONS)?;
    tx.execute(
        "INSERT INTO revoked_tokens (id, expires_at, number) VALUES (?1, ?2, ?3)",
        params![token, expires_at, number],
    )?;
    Ok(true)
}

/// The statement by which [`revoke`] deletes old revocations. It deletes a few at a time, so that no revocation waits
/// for many deletions. A test checks its query plan.
pub(crate) const FORGET_SQL: &str = "DELETE FROM revoked_tokens WHERE id IN
     (SELECT id FROM revoked_tokens WHERE expires_at < ?1 ORDER BY expires_at LIMIT 100)";

/// Returns whether a token was revoked.
pub fn is_revoked(tx: &mut Tx<'_>, token: &str) -> Result<bool, MetaError> {
    let found =
        tx.query_first("SELECT 1 FROM revoked_tokens WHERE id = ?1", params![token], |row| {
            row.int(0)
        })?;
    Ok(found.is_some())
}

/// The statement of [`list_since`]. A test checks its query plan.
pub(crate) const SINCE_SQL: &str =
    "SELECT number, id FROM revoked_tokens WHERE number > ?1 ORDER BY number LIMIT ?2";

/// Returns the ids of the tokens that were revoked after the revocation `number`, each with the number of its
/// revocation.
pub fn list_since(
    tx: &mut Tx<'_>,
    number: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>, MetaError> {
    tx.query(SINCE_SQL, params![number, limit], |row| Ok((row.int(0)?, row.text(1)?)))
}
