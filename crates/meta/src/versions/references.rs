//! Table `manifest_refs`: what manifests name, and what keeps it from being deleted.

use model::digest::Digest;

use super::Version;
use crate::{Id, MetaError, Param, Tx, digest_at, params};

/// What a reference is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// A blob of the repository: the foreign key refuses it when it is not there.
    Blob,
    /// A version of the same image.
    Child(Id),
    /// A blob that is not here (yet).
    OpenBlob,
    /// A manifest that is not here (yet).
    OpenChild,
}

impl Binding {
    /// Whether the reference is to a manifest.
    pub fn is_to_manifest(&self) -> bool {
        matches!(self, Self::Child(_) | Self::OpenChild)
    }
}

/// One thing that a manifest names.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its digest.
    pub digest: Digest,
    /// Its size, as the manifest states it.
    pub size: i64,
    /// What it is bound to.
    pub binding: Binding,
}

/// The version that references belong to, and where it is.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceOwner<'a> {
    /// The version.
    pub version: &'a Id,
    /// Its repository.
    pub repository: &'a Id,
    /// Its image.
    pub package: &'a Id,
}

/// Stores what a version names, in one statement a slice, at positions from `first` on. A blob that the repository does
/// not hold, or holds with another size, is refused by its foreign key.
pub fn insert_refs(
    tx: &mut Tx<'_>,
    owner: ReferenceOwner<'_>,
    first: i64,
    refs: &[Reference],
) -> Result<(), MetaError> {
    // In order of digest, so that two pushes of the same layers lock their blobs in the same order.
    let mut sorted: Vec<_> = refs.iter().collect();
    sorted.sort_by(|a, b| a.digest.cmp(&b.digest));
    let rows: Vec<Vec<Param<'_>>> = sorted
        .iter()
        .enumerate()
        .map(|(position, Reference { digest, size, binding })| {
            let digest = digest.as_str();
            vec![
                Param::from(owner.version),
                Param::from(first + position as i64),
                Param::from(owner.repository),
                Param::from(owner.package),
                Param::from(digest),
                Param::from(*size),
                Param::from(binding.is_to_manifest()),
                Param::from(matches!(binding, Binding::Blob).then_some(digest)),
                match binding {
                    Binding::Child(id) => Param::from(id),
                    Binding::Blob | Binding::OpenBlob | Binding::OpenChild => Param::Null,
                },
            ]
        })
        .collect();
    tx.exec_values(
        "INSERT INTO manifest_refs (version_id, position, repository_id, package_id, digest, size, is_manifest, blob_digest, child_id)",
        "",
        &rows,
    )?;
    Ok(())
}

/// How many references are bound at once: any number may wait for the same content. Whoever asks what needs
/// that content binds the next ones first.
const BOUND_AT_ONCE: i64 = 300;

/// References that wait for this blob, whatever size they state.
fn waiting_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
    limit: i64,
) -> Result<Vec<(Id, i64)>, MetaError> {
    tx.query(
        "SELECT version_id, position FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?2 AND blob_digest IS NULL AND child_id IS NULL
           AND NOT is_manifest LIMIT ?3",
        params![repository, digest.as_str(), limit],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// Whether a reference still waits for this blob.
pub fn waits_for_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<bool, MetaError> {
    Ok(!waiting_for_blob(tx, repository, digest, 1)?.is_empty())
}

/// Binds references that waited for this blob, under its true size. Answers how many.
pub fn bind_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    (digest, size): (&Digest, i64),
) -> Result<u64, MetaError> {
    let waiting = waiting_for_blob(tx, repository, digest, BOUND_AT_ONCE)?;
    for (version, position) in &waiting {
        tx.exec(
            "UPDATE manifest_refs SET blob_digest = digest, size = ?3 WHERE version_id = ?1 AND position = ?2",
            params![version, *position, size],
        )?;
    }
    Ok(waiting.len() as u64)
}

/// Binds references of the image's manifests that waited for this one, whatever size they state. Answers how many.
pub fn bind_child(
    tx: &mut Tx<'_>,
    child: ReferenceOwner<'_>,
    digest: &Digest,
) -> Result<u64, MetaError> {
    let waiting = tx.query(
        "SELECT version_id, position FROM manifest_refs
         WHERE repository_id = ?1 AND digest = ?3 AND blob_digest IS NULL AND child_id IS NULL
           AND is_manifest AND package_id = ?2 LIMIT ?4",
        params![child.repository, child.package, digest.as_str(), BOUND_AT_ONCE],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )?;
    for (version, position) in &waiting {
        tx.exec(
            "UPDATE manifest_refs SET child_id = ?3 WHERE version_id = ?1 AND position = ?2",
            params![version, *position, child.version],
        )?;
    }
    Ok(waiting.len() as u64)
}

/// Manifests of the same image that name this version, those included that named it before it came.
pub fn parents(
    tx: &mut Tx<'_>,
    repository: &Id,
    version: &Version,
    limit: i64,
) -> Result<Vec<Digest>, MetaError> {
    let mut parents = tx.query(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id WHERE r.child_id = ?1 LIMIT ?2",
        params![&version.id, limit],
        |row| digest_at(row, 0),
    )?;
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

/// A manifest of the repository that needs this blob.
pub fn user_of_blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    digest: &Digest,
) -> Result<Option<Digest>, MetaError> {
    tx.opt(
        "SELECT v.digest FROM manifest_refs r JOIN versions v ON v.id = r.version_id
         WHERE r.repository_id = ?1 AND r.blob_digest = ?2 LIMIT 1",
        params![repository, digest.as_str()],
        |row| digest_at(row, 0),
    )
}

/// The blobs that a version keeps.
pub fn blobs_of(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Digest>, MetaError> {
    tx.query(
        "SELECT DISTINCT blob_digest FROM manifest_refs WHERE version_id = ?1 AND blob_digest IS NOT NULL",
        params![version],
        |row| digest_at(row, 0),
    )
}
