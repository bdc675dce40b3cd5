//! Table `revoked_tokens`: tokens that somebody took back before their time.

use crate::{MetaError, Tx, epochs, params};

/// How long a revocation is remembered once its token has expired: what rests on the token may live longer. An upload
/// that it began may last for days, and tokens that were made from it are made anew for some hours.
const KEPT: i64 = 7 * 24 * 3600 * 1_000_000;

/// Takes a token back, and forgets some that nothing can rest on any more. `false`: it was taken back before, or there is
/// nothing left that could rest on it.
pub fn insert(
    tx: &mut Tx<'_>,
    token: &str,
    (now, expires_at): (i64, i64),
) -> Result<bool, MetaError> {
    let too_old = now - KEPT;
    if expires_at < too_old || is_revoked(tx, token)? {
        return Ok(false);
    }
    tx.exec(FORGET_SQL, params![too_old])?;
    // Whoever comes at the same time waits for this row, so that numbers are seen in their order.
    epochs::bump(tx, epochs::REVOCATIONS)?;
    let number = epochs::get(tx, epochs::REVOCATIONS)?;
    tx.exec(
        "INSERT INTO revoked_tokens (id, expires_at, number) VALUES (?1, ?2, ?3)",
        params![token, expires_at, number],
    )?;
    Ok(true)
}

/// The statement by which [`insert`] forgets, for the test that looks at its plan: a few with each new one, so that none
/// waits for many.
pub const FORGET_SQL: &str = "DELETE FROM revoked_tokens WHERE id IN
     (SELECT id FROM revoked_tokens WHERE expires_at < ?1 ORDER BY expires_at LIMIT 100)";

/// Whether a token was taken back.
pub fn is_revoked(tx: &mut Tx<'_>, token: &str) -> Result<bool, MetaError> {
    let found =
        tx.opt("SELECT 1 FROM revoked_tokens WHERE id = ?1", params![token], |row| row.int(0))?;
    Ok(found.is_some())
}

/// The statement of [`since`], for the test that looks at its plan.
pub const SINCE_SQL: &str =
    "SELECT number, id FROM revoked_tokens WHERE number > ?1 ORDER BY number LIMIT ?2";

/// The tokens that were taken back after `number`, with their own numbers.
pub fn since(tx: &mut Tx<'_>, number: i64, limit: i64) -> Result<Vec<(i64, String)>, MetaError> {
    tx.query(SINCE_SQL, params![number, limit], |row| Ok((row.int(0)?, row.text(1)?)))
}
