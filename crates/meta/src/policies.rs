//! IAM policies by the name of their resource (table `policies`).

use crate::{MetaError, Tx, params};

/// A policy as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// The bindings as JSON.
    pub bindings: String,
    /// A value that is different after each change of the policy.
    pub etag: Vec<u8>,
}

/// Returns the policy of a resource.
pub fn find(tx: &mut Tx<'_>, resource: &str) -> Result<Option<PolicyRow>, MetaError> {
    tx.query_first(
        "SELECT bindings, etag FROM policies WHERE resource = ?1",
        params![resource],
        |row| Ok(PolicyRow { bindings: row.text(0)?, etag: row.bytes(1)? }),
    )
}

/// Replaces the policy of a resource.
pub fn set(tx: &mut Tx<'_>, resource: &str, policy: &PolicyRow, now: i64) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO policies (resource, bindings, etag, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (resource) DO UPDATE SET bindings = excluded.bindings, etag = excluded.etag,
           updated_at = excluded.updated_at",
        params![resource, policy.bindings.as_str(), policy.etag.as_slice(), now],
    )?;
    Ok(())
}

/// Deletes the policy of a resource that is being deleted. Returns the number of policies deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, resource: &str) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM policies WHERE resource = ?1", params![resource])
}

/// Returns the policies that mention a member or a role, and perhaps some that mention a similar one, with the names of
/// their resources. This reads the whole table, so only rare calls may use it.
pub fn list_mentioning(tx: &mut Tx<'_>, name: &str) -> Result<Vec<(String, PolicyRow)>, MetaError> {
    let pattern = format!("%\"{name}\"%");
    tx.query(
        "SELECT resource, bindings, etag FROM policies WHERE bindings LIKE ?1",
        params![pattern.as_str()],
        |row| Ok((row.text(0)?, PolicyRow { bindings: row.text(1)?, etag: row.bytes(2)? })),
    )
}
