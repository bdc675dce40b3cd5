//! The bytes that a deletion would free: those of blobs and manifests that nothing else needs.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, params};

/// Returns the size of a blob of a repository if only some versions name it and no other repository holds it, and
/// otherwise 0.
pub fn freed_by_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    blob: &Digest,
    versions: &[Id],
) -> Result<i64, MetaError> {
    let elsewhere = tx.query_first(
        "SELECT 1 FROM repository_blobs WHERE digest = ?1 AND repository_id <> ?2 LIMIT 1",
        params![blob.as_str(), repository],
        |row| row.int(0),
    )?;
    if elsewhere.is_some() {
        return Ok(0);
    }
    let users = tx.query(
        "SELECT DISTINCT version_id FROM manifest_refs WHERE repository_id = ?1 AND blob_digest = ?2 LIMIT ?3",
        params![repository, blob.as_str(), versions.len() as i64 + 1],
        |row| row.id(0),
    )?;
    if users.iter().any(|user| !versions.contains(user)) {
        return Ok(0);
    }
    let size = tx.query_first(
        "SELECT size FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        params![repository, blob.as_str()],
        |row| row.int(0),
    )?;
    Ok(size.unwrap_or_default())
}

/// Returns the size of a manifest if only one image holds it, and otherwise 0.
pub fn freed_by_manifest(tx: &mut Tx<'_>, digest: &Digest) -> Result<i64, MetaError> {
    let sizes = tx.query(
        "SELECT manifest_bytes FROM versions WHERE digest = ?1 LIMIT 2",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    match sizes.as_slice() {
        [size] => Ok(*size),
        [] | [_, ..] => Ok(0),
    }
}
