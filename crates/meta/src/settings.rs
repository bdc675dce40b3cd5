//! Table `settings`: what the database knows of itself.

use crate::{MetaError, Tx, params};

/// The id that the database shares with its folder of blobs.
pub const STORE_ID: &str = "store_id";
/// The id that both are about to share: it is written before the folder's.
pub const NEXT_STORE_ID: &str = "next_store_id";

/// The value, where there is one.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, MetaError> {
    tx.opt("SELECT value FROM settings WHERE name = ?1", params![name], |row| row.text(0))
}

/// Sets the value.
pub fn set(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO settings (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}

/// Sets the value where there is none. Answers the one that stands then.
pub fn set_first(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<String, MetaError> {
    tx.exec(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        params![name, value],
    )?;
    Ok(get(tx, name)?.unwrap_or_else(|| value.to_owned()))
}

/// Forgets the value.
pub fn unset(tx: &mut Tx<'_>, name: &str) -> Result<(), MetaError> {
    tx.exec("DELETE FROM settings WHERE name = ?1", params![name])?;
    Ok(())
}
