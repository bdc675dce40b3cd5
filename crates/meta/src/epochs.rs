//! Epochs (table `epochs`): counters by which every process learns that its cache is out of date.

use crate::{MetaError, Tx, params};

/// The epoch of repositories, accounts and policies: it changes with everything that decides about access.
pub const ACCESS: &str = "access";
/// The number of the last revocation of a token.
pub const REVOCATIONS: &str = "revocations";

/// Returns the value of an epoch, which is 0 until the first [`bump`].
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<i64, MetaError> {
    let value =
        tx.query_first("SELECT value FROM epochs WHERE name = ?1", params![name], |row| {
            row.int(0)
        })?;
    Ok(value.unwrap_or(0))
}

/// Increases an epoch by one, so that no process uses what it cached under the old value.
pub fn bump(tx: &mut Tx<'_>, name: &str) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO epochs (name, value) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = epochs.value + 1",
        params![name],
    )?;
    Ok(())
}
