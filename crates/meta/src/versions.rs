//! Tables `versions` and `manifest_contents`: manifests as images hold them.

pub mod incomplete;
mod references;

use std::collections::BTreeMap;

use model::digest::Digest;

use crate::{Id, KeyList, MetaError, Row, Tx, digest_at, opt_digest_at, params};

pub use references::{
    Binding, Reference, ReferenceOwner, bind_blob, bind_child, blobs_of, insert_refs, parents,
    user_of_blob, waits_for_blob,
};

/// A manifest as a pull sees it, without its bytes.
#[derive(Debug, Clone)]
pub struct Version {
    /// The row's id.
    pub id: Id,
    /// The image it belongs to.
    pub package_id: Id,
    /// The digest of the manifest's bytes.
    pub digest: Digest,
    /// What it is served as.
    pub media_type: String,
    /// The length of the manifest.
    pub manifest_bytes: i64,
    /// What it refers to by `subject`.
    pub subject: Option<Digest>,
}

/// The version in the first columns.
pub(crate) fn version(row: &Row<'_>) -> Result<Version, MetaError> {
    Ok(Version {
        id: row.id(0)?,
        package_id: row.id(1)?,
        digest: digest_at(row, 2)?,
        media_type: row.text(3)?,
        manifest_bytes: row.int(4)?,
        subject: opt_digest_at(row, 5)?,
    })
}

/// How a version is addressed within a repository.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The repository.
    pub repository: &'a Id,
    /// The image's name.
    pub image: &'a str,
}

/// The version that a tag names.
pub fn by_tag(tx: &mut Tx<'_>, at: Address<'_>, tag: &str) -> Result<Option<Version>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject FROM packages p
         JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         WHERE p.repository_id = ?1 AND p.name = ?2 AND t.name = ?3",
        params![at.repository, at.image, tag],
        version,
    )
}

/// The version with that digest, if the image holds it.
pub fn by_digest(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    digest: &Digest,
) -> Result<Option<Version>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject FROM packages p
         JOIN versions v ON v.package_id = p.id
         WHERE p.repository_id = ?1 AND p.name = ?2 AND v.digest = ?3",
        params![at.repository, at.image, digest.as_str()],
        version,
    )
}

/// A version with its bytes, by tag.
pub fn content_by_tag(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    tag: &str,
) -> Result<Option<(Version, Vec<u8>)>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject, c.bytes FROM packages p
         JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         JOIN manifest_contents c ON c.digest = v.digest
         WHERE p.repository_id = ?1 AND p.name = ?2 AND t.name = ?3",
        params![at.repository, at.image, tag],
        |row| Ok((version(row)?, row.bytes(6)?)),
    )
}

/// A version with its bytes, by digest.
pub fn content_by_digest(
    tx: &mut Tx<'_>,
    at: Address<'_>,
    digest: &Digest,
) -> Result<Option<(Version, Vec<u8>)>, MetaError> {
    tx.opt(
        "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject, c.bytes FROM packages p
         JOIN versions v ON v.package_id = p.id JOIN manifest_contents c ON c.digest = v.digest
         WHERE p.repository_id = ?1 AND p.name = ?2 AND v.digest = ?3",
        params![at.repository, at.image, digest.as_str()],
        |row| Ok((version(row)?, row.bytes(6)?)),
    )
}

/// The id and manifest length of an image's version with that digest.
pub fn id_in_package(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<(Id, i64)>, MetaError> {
    tx.opt(
        "SELECT id, manifest_bytes FROM versions WHERE package_id = ?1 AND digest = ?2",
        params![package, digest.as_str()],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// The ids and manifest lengths of those of an image's versions that have one of these digests.
pub fn ids_in_package(
    tx: &mut Tx<'_>,
    package: &Id,
    digests: &[&str],
) -> Result<BTreeMap<Digest, (Id, i64)>, MetaError> {
    let list = KeyList {
        select: "SELECT digest, id, manifest_bytes FROM versions WHERE package_id = ?1 AND digest IN",
        owner: package,
        keys: digests,
    };
    let found = tx.query_keys(list, |row| Ok((digest_at(row, 0)?, (row.id(1)?, row.int(2)?))))?;
    Ok(found.into_iter().collect())
}

/// A manifest that is about to be stored.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The repository it is pushed to.
    pub repository_id: &'a Id,
    /// The image it is pushed to.
    pub package_id: &'a Id,
    /// The digest of its bytes.
    pub digest: &'a Digest,
    /// Its bytes, as they came.
    pub bytes: &'a [u8],
    /// What it is served as.
    pub media_type: &'a str,
    /// The sizes of everything that it names, and its own.
    pub image_bytes: i64,
    /// As the referrers list shows it.
    pub artifact_type: Option<&'a str>,
    /// What it refers to.
    pub subject: Option<&'a Digest>,
    /// A JSON object.
    pub annotations: &'a str,
    /// A JSON array of platforms.
    pub platforms: &'a str,
    /// When the image was built, by its config.
    pub built_at: Option<i64>,
    /// When it came.
    pub now: i64,
}

/// Stores a manifest in its image. `None`: the image holds it already.
pub fn insert(tx: &mut Tx<'_>, new: &NewVersion<'_>) -> Result<Option<Id>, MetaError> {
    tx.exec(
        "INSERT INTO manifest_contents (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
        params![new.digest.as_str(), new.bytes],
    )?;
    // Random: every push reads its own new row by key, through foreign keys. Were the ids to rise, all
    // pushes would read and write the same last page of the index, and a serializable PostgreSQL would run
    // most of them again.
    let id = Id::random();
    let inserted = tx.exec(
        "INSERT INTO versions (id, package_id, digest, media_type, manifest_bytes, image_bytes, artifact_type,
           subject, annotations, platforms, built_at, uploaded_at, updated_at, repository_id, references_made)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, 1)
         ON CONFLICT (package_id, digest) DO NOTHING",
        params![
            &id,
            new.package_id,
            new.digest.as_str(),
            new.media_type,
            new.bytes.len() as i64,
            new.image_bytes,
            new.artifact_type,
            new.subject.map(Digest::as_str),
            new.annotations,
            new.platforms,
            new.built_at,
            new.now,
            new.repository_id
        ],
    )?;
    Ok((inserted == 1).then_some(id))
}

/// The statement of [`adopt`], for the test that looks at its plan.
pub const ADOPT_SQL: &str =
    "UPDATE versions SET repository_id = (SELECT p.repository_id FROM packages p WHERE p.id = versions.package_id)
     WHERE id IN (SELECT id FROM versions WHERE repository_id IS NULL LIMIT ?1)";

/// Gives up to `limit` versions their repository that were pushed by a process which did not know that they have one:
/// of the last release, beside this one. Answers how many there were.
pub fn adopt(tx: &mut Tx<'_>, limit: i64) -> Result<u64, MetaError> {
    tx.exec(ADOPT_SQL, params![limit])
}

/// Removes a version and what it names. Its tags must be gone.
pub fn delete(tx: &mut Tx<'_>, version: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM versions WHERE id = ?1", params![version])
}

/// Whether any image still holds a manifest with these bytes.
pub fn content_in_use(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, MetaError> {
    let found = tx.opt(
        "SELECT 1 FROM versions WHERE digest = ?1 LIMIT 1",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Removes a manifest's bytes. The foreign key refuses it while a version has them.
pub fn delete_content(tx: &mut Tx<'_>, digest: &Digest) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM manifest_contents WHERE digest = ?1", params![digest.as_str()])
}

/// What a line of the referrers list costs, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerSize {
    /// The referring manifest.
    pub digest: Digest,
    /// What it is.
    pub artifact_type: Option<String>,
    /// The length of its annotations.
    pub annotations: i64,
}

/// The statement of [`referrer_sizes`], for the test that looks at its plan.
pub const REFERRER_SIZES_SQL: &str = "SELECT digest, artifact_type, octet_length(annotations)
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 ORDER BY digest LIMIT ?4";

/// The manifests of an image that refer to `subject`, after `last`, by digest: how long their lines would be.
pub fn referrer_sizes(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    (last, limit): (&str, i64),
) -> Result<Vec<ReferrerSize>, MetaError> {
    tx.query(REFERRER_SIZES_SQL, params![package, subject.as_str(), last, limit], |row| {
        Ok(ReferrerSize {
            digest: digest_at(row, 0)?,
            artifact_type: row.opt_text(1)?,
            annotations: row.int(2)?,
        })
    })
}

/// One line of the referrers list.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// The referring manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length.
    pub size: i64,
    /// What it is.
    pub artifact_type: Option<String>,
    /// A JSON object.
    pub annotations: String,
}

/// The statement of [`referrers`], for the test that looks at its plan.
pub const REFERRERS_SQL: &str =
    "SELECT digest, media_type, manifest_bytes, artifact_type, annotations
     FROM versions WHERE package_id = ?1 AND subject = ?2 AND digest > ?3 AND digest <= ?4
       AND (artifact_type = ?5 OR ?5 = '') ORDER BY digest";

/// The manifests of an image that refer to `subject`, after `from` up to `to`, by digest: those of an artifact
/// type, or all where it is empty.
pub fn referrers(
    tx: &mut Tx<'_>,
    package: &Id,
    subject: &Digest,
    (from, to, artifact_type): (&str, &Digest, &str),
) -> Result<Vec<Referrer>, MetaError> {
    let params = params![package, subject.as_str(), from, to.as_str(), artifact_type];
    tx.query(REFERRERS_SQL, params, |row| {
        Ok(Referrer {
            digest: digest_at(row, 0)?,
            media_type: row.text(1)?,
            size: row.int(2)?,
            artifact_type: row.opt_text(3)?,
            annotations: row.text(4)?,
        })
    })
}
