//! Incomplete versions: an older version of Berth stored their references, and it did not know all that a manifest can
//! name.

use std::collections::BTreeSet;

use model::digest::Digest;

use super::{ContentReference, ReferenceOwner, insert_references};
use crate::{Id, MetaError, Tx, digest_at, params};

/// A version whose manifest may name more content than the stored references.
#[derive(Debug, Clone)]
pub struct IncompleteVersion {
    /// The id of the version.
    pub id: Id,
    /// The id of the repository.
    pub repository_id: Id,
    /// The id of the image.
    pub package_id: Id,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The media type of the manifest.
    pub media_type: String,
    /// The length of the manifest.
    pub manifest_bytes: i64,
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const INCOMPLETE_SQL: &str =
    "SELECT v.id, p.repository_id, v.package_id, v.digest, v.media_type, v.manifest_bytes
     FROM versions v JOIN packages p ON p.id = v.package_id WHERE v.references_made = 0 ORDER BY v.id LIMIT ?1";

/// Returns up to `limit` incomplete versions.
pub fn list(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<IncompleteVersion>, MetaError> {
    tx.query(INCOMPLETE_SQL, params![limit], |row| {
        Ok(IncompleteVersion {
            id: row.id(0)?,
            repository_id: row.id(1)?,
            package_id: row.id(2)?,
            digest: digest_at(row, 3)?,
            media_type: row.text(4)?,
            manifest_bytes: row.int(5)?,
        })
    })
}

/// Returns whether any version is incomplete. While there is one, missing references do not prove that content is
/// unused.
pub fn exists(tx: &mut Tx<'_>) -> Result<bool, MetaError> {
    let sql = "SELECT 1 FROM versions WHERE references_made = 0 LIMIT 1";
    Ok(tx.query_first(sql, params![], |row| row.int(0))?.is_some())
}

/// Returns the bytes of the manifest with this digest.
pub fn find_manifest_bytes(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Vec<u8>>, MetaError> {
    let sql = "SELECT bytes FROM manifest_contents WHERE digest = ?1";
    tx.query_first(sql, params![digest.as_str()], |row| row.bytes(0))
}

/// Returns the digests of the stored references of a version: those to manifests if `as_manifests` is true, or else
/// those to blobs.
pub fn list_referenced_digests(
    tx: &mut Tx<'_>,
    version: &Id,
    as_manifests: bool,
) -> Result<BTreeSet<Digest>, MetaError> {
    let sql = "SELECT digest FROM manifest_refs WHERE version_id = ?1 AND is_manifest = ?2";
    let found = tx.query(sql, params![version, as_manifests], |row| digest_at(row, 0))?;
    Ok(found.into_iter().collect())
}

/// Stores more references of an incomplete version, at the positions after the existing ones.
pub fn add_references(
    tx: &mut Tx<'_>,
    version: &IncompleteVersion,
    references: &[ContentReference],
) -> Result<(), MetaError> {
    let sql =
        "SELECT position FROM manifest_refs WHERE version_id = ?1 ORDER BY position DESC LIMIT 1";
    let last = tx.query_first(sql, params![&version.id], |row| row.int(0))?;
    let owner = ReferenceOwner {
        version: &version.id,
        repository: &version.repository_id,
        package: &version.package_id,
    };
    insert_references(tx, owner, last.map_or(0, |last| last + 1), references)
}

/// Records that all references of a version are stored.
pub fn set_complete(tx: &mut Tx<'_>, version: &Id) -> Result<(), MetaError> {
    tx.execute("UPDATE versions SET references_made = 1 WHERE id = ?1", params![version])?;
    Ok(())
}

/// Replaces the platforms and the size that lists show for an index.
pub fn set_index_summary(
    tx: &mut Tx<'_>,
    version: &Id,
    platforms: &str,
    image_bytes: i64,
) -> Result<(), MetaError> {
    let sql = "UPDATE versions SET platforms = ?2, image_bytes = ?3 WHERE id = ?1";
    tx.execute(sql, params![version, platforms, image_bytes])?;
    Ok(())
}
