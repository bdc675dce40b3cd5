//! Settings of the database itself (table `settings`).

use crate::{MetaError, Tx, params};

/// The name of the setting for the id that the database shares with its folder of blobs.
pub const STORE_ID: &str = "store_id";
/// The name of the setting for the next [`STORE_ID`]. It is written before the folder gets that id.
pub const NEXT_STORE_ID: &str = "next_store_id";

/// Returns the value of a setting, if it is set.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, MetaError> {
    tx.query_first("SELECT value FROM settings WHERE name = ?1", params![name], |row| row.text(0))
}

/// Sets the value of a setting.
pub fn set(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}

/// Sets the value of a setting unless it is set. Returns the value that the setting has afterwards.
pub fn set_if_missing(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<String, MetaError> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        params![name, value],
    )?;
    Ok(get(tx, name)?.unwrap_or_else(|| value.to_owned()))
}

/// Deletes a setting.
pub fn delete(tx: &mut Tx<'_>, name: &str) -> Result<(), MetaError> {
    tx.execute("DELETE FROM settings WHERE name = ?1", params![name])?;
    Ok(())
}
