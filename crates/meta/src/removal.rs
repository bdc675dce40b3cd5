//! The rows of a repository that is being removed, some at a time.
//!
//! Rows go in the order in which foreign keys let them: what refers, before what is referred to.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, digest_at, params};

/// What a slice of a removal let go, for the reviews that follow.
#[derive(Debug, Default)]
pub struct Removed {
    /// Whether nothing is left, the repository's own row included.
    pub done: bool,
    /// Manifests whose bytes may be needed by nobody now.
    pub contents: Vec<Digest>,
    /// Blobs that may be needed by nobody now.
    pub blobs: Vec<Digest>,
    /// Copies of unfinished uploads.
    pub copies: Vec<Id>,
}

/// Removes up to `limit` rows of one kind.
pub fn remove_some(tx: &mut Tx<'_>, repository: &Id, limit: i64) -> Result<Removed, MetaError> {
    let mut removed = Removed::default();
    for rows in [
        "DELETE FROM manifest_refs WHERE (version_id, position) IN (SELECT version_id, position
           FROM manifest_refs WHERE repository_id = ?1 LIMIT ?2)",
        "DELETE FROM tags WHERE (package_id, name) IN (SELECT t.package_id, t.name
           FROM packages p JOIN tags t ON t.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM tag_history WHERE id IN (SELECT h.id
           FROM packages p JOIN tag_history h ON h.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM usage_deltas WHERE id IN (SELECT id
           FROM usage_deltas WHERE repository_id = ?1 LIMIT ?2)",
    ] {
        if tx.exec(rows, params![repository, limit])? > 0 {
            return Ok(removed);
        }
    }
    removed.contents = tx.query(
        "DELETE FROM versions WHERE id IN (SELECT v.id
           FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)
         RETURNING digest",
        params![repository, limit],
        |row| digest_at(row, 0),
    )?;
    if !removed.contents.is_empty() {
        return Ok(removed);
    }
    removed.blobs = tx.query(
        "DELETE FROM repository_blobs WHERE (repository_id, digest, size) IN (SELECT repository_id, digest, size
           FROM repository_blobs WHERE repository_id = ?1 LIMIT ?2)
         RETURNING digest",
        params![repository, limit],
        |row| digest_at(row, 0),
    )?;
    if !removed.blobs.is_empty() {
        return Ok(removed);
    }
    let uploads = tx.query(
        "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE repository_id = ?1 LIMIT ?2)
         RETURNING copy_id",
        params![repository, limit],
        |row| row.opt_id(0),
    )?;
    if !uploads.is_empty() {
        removed.copies = uploads.into_iter().flatten().collect();
        return Ok(removed);
    }
    let packages = tx.exec(
        "DELETE FROM packages WHERE id IN (SELECT id FROM packages WHERE repository_id = ?1 LIMIT ?2)",
        params![repository, limit],
    )?;
    if packages == 0 {
        tx.exec("DELETE FROM repositories WHERE id = ?1", params![repository])?;
        removed.done = true;
    }
    Ok(removed)
}

/// Whether the repository is being removed.
pub fn is_due(tx: &mut Tx<'_>, repository: &Id) -> Result<bool, MetaError> {
    let found = tx.opt(
        "SELECT 1 FROM repositories WHERE id = ?1 AND state = 'deleting'",
        params![repository],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}
