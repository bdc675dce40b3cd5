//! References from manifests to blobs and to other manifests (table `manifest_refs`). Foreign keys from these rows keep
//! the named content from being deleted.

use std::collections::BTreeSet;

use model::digest::Digest;

use super::VersionRow;
use crate::usage_deltas::{self, ImageKey, UsageDelta};
use crate::{Id, MetaError, SqlParam, Tx, digest_at, params};

/// The row to which the reference of a manifest points: a stored blob, a stored manifest, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceBinding {
    /// A blob of the repository. The foreign key refuses the reference if the repository does not hold the blob.
    Blob,
    /// Another version of the same image, by its id.
    Manifest(Id),
    /// No row: the repository does not hold the blob yet.
    MissingBlob,
    /// No row: the image does not hold the manifest yet.
    MissingManifest,
}

impl ReferenceBinding {
    /// Returns whether the reference is to a manifest.
    pub fn is_to_manifest(&self) -> bool {
        matches!(self, Self::Manifest(_) | Self::MissingManifest)
    }
}

/// A reference from a manifest to a blob or to another manifest.
#[derive(Debug, Clone)]
pub struct ContentReference {
    /// The digest of the named content.
    pub digest: Digest,
    /// The size of the named content, as the manifest states it.
    pub size: i64,
    /// The row to which the reference is bound.
    pub binding: ReferenceBinding,
}

/// The version to which references belong, with its repository and its image.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceOwner<'a> {
    /// The id of the version.
    pub version: &'a Id,
    /// The id of the repository.
    pub repository: &'a Id,
    /// The id of the image.
    pub package: &'a Id,
}

/// Stores references of a version, at the positions from `first` on. The foreign key refuses a reference to a blob that
/// the repository does not hold, or holds with another size.
pub fn insert_references(
    tx: &mut Tx<'_>,
    owner: ReferenceOwner<'_>,
    first: i64,
    refs: &[ContentReference],
) -> Result<(), MetaError> {
    // In the order of the digests, so that two pushes of the same layers lock the blobs in the same order.
    let mut sorted: Vec<_> = refs.iter().collect();
    sorted.sort_by(|a, b| a.digest.cmp(&b.digest));
    let rows: Vec<Vec<SqlParam<'_>>> = sorted
        .iter()
        .enumerate()
        .map(|(position, ContentReference { digest, size, binding })| {
            let digest = digest.as_str();
            vec![
                SqlParam::from(owner.version),
                SqlParam::from(first + position as i64),
                SqlParam::from(owner.repository),
                SqlParam::from(owner.package),
                SqlParam::from(digest),
                SqlParam::from(*size),
                SqlParam::from(binding.is_to_manifest()),
                SqlParam::from(matches!(binding, ReferenceBinding::Blob).then_some(digest)),
                match binding {
                    ReferenceBinding::Manifest(id) => SqlParam::from(id),
                    ReferenceBinding::Blob
                    | ReferenceBinding::MissingBlob
                    | ReferenceBinding::MissingManifest => SqlParam::Null,
                },
            ]
        })
        .collect();
    tx.execute_values(
        "INSERT INTO manifest_refs (version_id, position, repository_id, package_id, digest, size, is_manifest, blob_digest, child_id)",
        "",
        &rows,
    )?;
    Ok(())
}

/// The largest number of references that one call binds, because any number may wait for the same content. A caller
/// that needs to know which manifests use the content binds the remaining references first.
const MAX_BOUND_AT_ONCE: i64 = 300;

/// A reference that waits for a blob.
struct WaitingReference {
    version: Id,
    position: i64,
    package: Id,
}

/// Returns the references that wait for a blob, whatever size they state.
fn waiting_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    limit: i64,
) -> Result<Vec<WaitingReference>, MetaError> {
    tx.query(
        "SELECT version_id, position, package_id FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?2 AND blob_digest IS NULL AND child_id IS NULL
           AND NOT is_manifest LIMIT ?3",
        params![repository, digest.as_str(), limit],
        |row| {
            Ok(WaitingReference { version: row.id(0)?, position: row.int(1)?, package: row.id(2)? })
        },
    )
}

/// Returns whether a reference waits for this blob.
pub fn waits_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<bool, MetaError> {
    Ok(!waiting_for_blob(tx, repository, digest, 1)?.is_empty())
}

/// Returns the largest size that manifests state of a blob for which their references wait. A manifest may state a wrong
/// one.
pub fn find_awaited_size(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<i64>, MetaError> {
    let largest = tx.query_first(
        "SELECT max(size) FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?2 AND blob_digest IS NULL AND child_id IS NULL
           AND NOT is_manifest",
        params![repository, digest.as_str()],
        |row| row.opt_int(0),
    )?;
    Ok(largest.flatten())
}

/// Binds references that wait for a blob, and corrects the sizes that they state. The images whose references these are
/// store the blob from then on. Returns the number of references
/// bound.
pub fn bind_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    size: i64,
) -> Result<u64, MetaError> {
    let waiting = waiting_for_blob(tx, repository, digest, MAX_BOUND_AT_ONCE)?;
    for WaitingReference { version, position, .. } in &waiting {
        tx.execute(
            "UPDATE manifest_refs SET blob_digest = digest, size = ?3 WHERE version_id = ?1 AND position = ?2",
            params![version, *position, size],
        )?;
    }
    let packages: BTreeSet<_> = waiting.iter().map(|reference| reference.package).collect();
    for package in &packages {
        let change = UsageDelta { content_changed: true, ..UsageDelta::default() };
        usage_deltas::add_image_delta(tx, ImageKey { repository, package }, &change)?;
    }
    Ok(waiting.len() as u64)
}

/// Binds references of manifests of the same image that wait for this manifest, whatever size they state. Returns the
/// number of references bound.
pub fn bind_manifest(
    tx: &mut Tx<'_>,
    child: ReferenceOwner<'_>,
    digest: &Digest,
) -> Result<u64, MetaError> {
    let waiting = tx.query(
        "SELECT version_id, position FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?3 AND blob_digest IS NULL AND child_id IS NULL
           AND is_manifest AND package_id = ?2 LIMIT ?4",
        params![child.repository, child.package, digest.as_str(), MAX_BOUND_AT_ONCE],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )?;
    for (version, position) in &waiting {
        tx.execute(
            "UPDATE manifest_refs SET child_id = ?3 WHERE version_id = ?1 AND position = ?2",
            params![version, *position, child.version],
        )?;
    }
    Ok(waiting.len() as u64)
}

/// Returns the digests of the manifests of the same image that name this version, including those that were pushed
/// before it.
pub fn list_parents(
    tx: &mut Tx<'_>,
    repository: &Id,
    version: &VersionRow,
    limit: i64,
) -> Result<Vec<Digest>, MetaError> {
    let mut parents = list_bound_parents(tx, &version.id, limit)?;
    let waiting = tx.query(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id
         WHERE r.repository_id = ?1 AND r.digest = ?3 AND r.blob_digest IS NULL AND r.child_id IS NULL
           AND r.is_manifest AND r.package_id = ?2 LIMIT ?4",
        params![repository, &version.package_id, version.digest.as_str(), limit],
        |row| digest_at(row, 0),
    )?;
    parents.extend(waiting);
    Ok(parents)
}

/// Returns the digests of the manifests of the same image that name this version and know that it is here.
pub fn list_bound_parents(
    tx: &mut Tx<'_>,
    version: &Id,
    limit: i64,
) -> Result<Vec<Digest>, MetaError> {
    tx.query(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id WHERE r.child_id = ?1 LIMIT ?2",
        params![version, limit],
        |row| digest_at(row, 0),
    )
}

/// Returns the digest of a manifest of the repository that names this blob, if there is one.
pub fn find_manifest_with_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<Digest>, MetaError> {
    tx.query_first(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id
         WHERE r.repository_id = ?1 AND r.blob_digest = ?2 LIMIT 1",
        params![repository, digest.as_str()],
        |row| digest_at(row, 0),
    )
}

/// Returns the digests of the blobs to which a version has bound references.
pub fn list_blobs(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Digest>, MetaError> {
    tx.query(
        "SELECT DISTINCT blob_digest FROM manifest_refs WHERE version_id = ?1 AND blob_digest IS NOT NULL",
        params![version],
        |row| digest_at(row, 0),
    )
}
