//! Table `policies`: by the name of the resource that carries one.

use crate::{MetaError, Tx, params};

/// A policy as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The JSON of its bindings.
    pub bindings: String,
    /// Changes with each change.
    pub etag: Vec<u8>,
}

/// The policy that a resource carries.
pub fn find(tx: &mut Tx<'_>, resource: &str) -> Result<Option<Stored>, MetaError> {
    tx.opt("SELECT bindings, etag FROM policies WHERE resource = ?1", params![resource], |row| {
        Ok(Stored { bindings: row.text(0)?, etag: row.bytes(1)? })
    })
}

/// Replaces the policy of a resource.
pub fn set(tx: &mut Tx<'_>, resource: &str, policy: &Stored, now: i64) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO policies (resource, bindings, etag, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (resource) DO UPDATE SET bindings = excluded.bindings, etag = excluded.etag,
           updated_at = excluded.updated_at",
        params![resource, policy.bindings.as_str(), policy.etag.as_slice(), now],
    )?;
    Ok(())
}

/// Removes the policy of a resource that is removed.
pub fn delete(tx: &mut Tx<'_>, resource: &str) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM policies WHERE resource = ?1", params![resource])
}

/// The policies that name a member, with the names of their resources. Reads them all: for what happens rarely.
pub fn naming(tx: &mut Tx<'_>, member: &str) -> Result<Vec<(String, Stored)>, MetaError> {
    let quoted = format!("%\"{member}\"%");
    tx.query(
        "SELECT resource, bindings, etag FROM policies WHERE bindings LIKE ?1",
        params![quoted.as_str()],
        |row| Ok((row.text(0)?, Stored { bindings: row.text(1)?, etag: row.bytes(2)? })),
    )
}
