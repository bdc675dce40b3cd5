//! Table `epochs`: counters that tell every process when what it remembers is out of date.

use crate::{MetaError, Tx, params};

/// The epoch of repositories and who may use them.
pub const ACCESS: &str = "access";
/// The number of the token that was taken back last.
pub const REVOCATIONS: &str = "revocations";

/// The epoch's value; one that was never bumped is 0.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<i64, MetaError> {
    let value =
        tx.opt("SELECT value FROM epochs WHERE name = ?1", params![name], |row| row.int(0))?;
    Ok(value.unwrap_or(0))
}

/// Makes everything that was remembered under this epoch void.
pub fn bump(tx: &mut Tx<'_>, name: &str) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO epochs (name, value) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = epochs.value + 1",
        params![name],
    )?;
    Ok(())
}
