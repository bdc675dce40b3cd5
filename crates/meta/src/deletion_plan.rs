//! The bytes that a deletion would free in a repository: those of blobs and manifests that nothing else there needs.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, params};

/// Returns the size of a blob of a repository if only some versions of it name the blob, and otherwise 0. Nothing is said
/// of other repositories, which the caller may not see.
pub fn freed_by_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    blob: &Digest,
    versions: &[Id],
) -> Result<i64, MetaError> {
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

/// The bytes that only one version of a repository needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesOnlyHere {
    /// The sum of the sizes of the blobs.
    pub bytes: i64,
    /// `false` if the blobs are more than were looked at.
    pub is_complete: bool,
}

/// The most blobs of a version whose other users are looked for.
const MAX_BLOBS_EXAMINED: i64 = 1_000;

/// Returns the bytes of the blobs that a version names, and no other version of its repository.
pub fn bytes_only_here(tx: &mut Tx<'_>, version: &Id) -> Result<BytesOnlyHere, MetaError> {
    let sql = "SELECT coalesce(CAST(sum(CASE WHEN
          EXISTS (SELECT 1 FROM manifest_refs o WHERE o.repository_id = few.repository_id
            AND o.blob_digest = few.blob_digest AND o.version_id <> ?1) THEN 0 ELSE few.size END) AS BIGINT), 0), count(*)
        FROM (SELECT DISTINCT repository_id, blob_digest, size FROM manifest_refs
              WHERE version_id = ?1 AND blob_digest IS NOT NULL LIMIT ?2) few";
    let found = tx.query_first(sql, params![version, MAX_BLOBS_EXAMINED + 1], |row| {
        let (bytes, blobs) = (row.int(0)?, row.int(1)?);
        Ok(BytesOnlyHere { bytes, is_complete: blobs <= MAX_BLOBS_EXAMINED })
    })?;
    Ok(found.unwrap_or(BytesOnlyHere { bytes: 0, is_complete: true }))
}

/// Returns the size of a manifest if only one image of a repository holds it, and otherwise 0.
pub fn freed_by_manifest(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<i64, MetaError> {
    let sizes = tx.query(
        "SELECT manifest_bytes FROM versions WHERE repository_id = ?1 AND digest = ?2 LIMIT 2",
        params![repository, digest.as_str()],
        |row| row.int(0),
    )?;
    match sizes.as_slice() {
        [size] => Ok(*size),
        [] | [_, ..] => Ok(0),
    }
}
