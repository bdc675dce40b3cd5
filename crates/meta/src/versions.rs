//! Versions (tables `versions` and `manifest_contents`). A version is a manifest that an image holds.

pub mod incomplete;
mod references;
pub(crate) mod referrers;
pub mod untagged;

use std::collections::BTreeMap;

use model::digest::Digest;
use model::reference::Reference;

use crate::repositories::MAX_HOLDERS;
use crate::{Id, KeyList, MetaError, SqlParam, SqlRow, Tx, digest_at, opt_digest_at, params};

pub use references::{
    ContentReference, ReferenceBinding, ReferenceOwner, bind_blob, bind_manifest,
    find_awaited_size, find_manifest_with_blob, insert_references, list_blobs, list_bound_parents,
    list_parents, waits_for_blob,
};
pub use referrers::{Referrer, ReferrerRange, ReferrerSize, list_referrer_sizes, list_referrers};

/// A version as a pull needs it, without the bytes of the manifest.
#[derive(Debug, Clone)]
pub struct VersionRow {
    /// The id of the version.
    pub id: Id,
    /// The id of the image.
    pub package_id: Id,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The media type of the manifest.
    pub media_type: String,
    /// The length of the manifest.
    pub manifest_bytes: i64,
    /// The digest of the subject.
    pub subject: Option<Digest>,
}

/// Reads a version from the first six columns.
pub(crate) fn read_version(row: &SqlRow<'_>) -> Result<VersionRow, MetaError> {
    Ok(VersionRow {
        id: row.id(0)?,
        package_id: row.id(1)?,
        digest: digest_at(row, 2)?,
        media_type: row.text(3)?,
        manifest_bytes: row.int(4)?,
        subject: opt_digest_at(row, 5)?,
    })
}

/// The address of an image: its repository and its name.
#[derive(Debug, Clone, Copy)]
pub struct ImageAddress<'a> {
    /// The id of the repository.
    pub repository: &'a Id,
    /// The name of the image.
    pub image: &'a str,
}

/// Makes a query for one version of an image, with further columns.
macro_rules! select {
    ($columns:literal, $joins:literal, $condition:literal) => {
        concat!(
            "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject",
            $columns,
            " FROM packages p ",
            $joins,
            " WHERE p.repository_id = ?1 AND p.name = ?2 AND ",
            $condition
        )
    };
}

/// Returns the version that a tag of an image names.
pub fn find_by_tag(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    tag: &str,
) -> Result<Option<VersionRow>, MetaError> {
    let sql = select!(
        "",
        "JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id",
        "t.name = ?3"
    );
    tx.query_first(sql, params![at.repository, at.image, tag], read_version)
}

/// Returns the version of an image with this digest.
pub fn find_by_digest(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    digest: &Digest,
) -> Result<Option<VersionRow>, MetaError> {
    let sql = select!("", "JOIN versions v ON v.package_id = p.id", "v.digest = ?3");
    tx.query_first(sql, params![at.repository, at.image, digest.as_str()], read_version)
}

/// Reads a version and the bytes of its manifest from the first seven columns.
pub(crate) fn read_content(row: &SqlRow<'_>) -> Result<(VersionRow, Vec<u8>), MetaError> {
    Ok((read_version(row)?, row.bytes(6)?))
}

/// Returns the version that a tag of an image names, with the bytes of the manifest.
pub fn find_content_by_tag(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    tag: &str,
) -> Result<Option<(VersionRow, Vec<u8>)>, MetaError> {
    let sql = select!(
        ", c.bytes",
        "JOIN tags t ON t.package_id = p.id JOIN versions v ON v.id = t.version_id
         JOIN manifest_contents c ON c.digest = v.digest",
        "t.name = ?3"
    );
    tx.query_first(sql, params![at.repository, at.image, tag], read_content)
}

/// Returns the version of an image with this digest, with the bytes of the manifest.
pub fn find_content_by_digest(
    tx: &mut Tx<'_>,
    at: ImageAddress<'_>,
    digest: &Digest,
) -> Result<Option<(VersionRow, Vec<u8>)>, MetaError> {
    let sql = select!(
        ", c.bytes",
        "JOIN versions v ON v.package_id = p.id JOIN manifest_contents c ON c.digest = v.digest",
        "v.digest = ?3"
    );
    tx.query_first(sql, params![at.repository, at.image, digest.as_str()], read_content)
}

/// A repository that holds an image, and the version that was looked for in it.
#[derive(Debug, Clone)]
pub struct HeldVersion {
    /// The id of the repository.
    pub repository: Id,
    /// The version, if the image has it there.
    pub version: Option<VersionRow>,
    /// The bytes of the manifest, if they are few.
    pub bytes: Option<Vec<u8>>,
}

/// The length of the longest manifest of which [`list_held`] reads the bytes. Most are shorter, and all rows of the query
/// have the bytes.
const MAX_HELD_BYTES: i64 = 16 << 10;

/// Makes a query for a version in all repositories with an image of one name.
macro_rules! select_held {
    ($joins:literal) => {
        concat!(
            "SELECT v.id, v.package_id, v.digest, v.media_type, v.manifest_bytes, v.subject,
               few.repository_id, c.bytes
             FROM (SELECT id, repository_id FROM packages WHERE name = ?1 LIMIT ?3) few ",
            $joins,
            " LEFT JOIN manifest_contents c ON c.digest = v.digest AND v.manifest_bytes <= ?4"
        )
    };
}

/// The statements of [`list_held`], by tag and by digest. A test checks their query plans.
pub(crate) const HELD_SQL: [&str; 2] = [
    select_held!(
        "LEFT JOIN tags t ON t.package_id = few.id AND t.name = ?2
         LEFT JOIN versions v ON v.id = t.version_id"
    ),
    select_held!("LEFT JOIN versions v ON v.package_id = few.id AND v.digest = ?2"),
];

/// Looks for a version in all repositories with an image of this name. Returns `None` if they are very many.
pub fn list_held(
    tx: &mut Tx<'_>,
    image: &str,
    reference: &Reference,
) -> Result<Option<Vec<HeldVersion>>, MetaError> {
    let (sql, key) = match reference {
        Reference::Tag(tag) => (HELD_SQL[0], tag.as_str()),
        Reference::Digest(digest) => (HELD_SQL[1], digest.as_str()),
    };
    let rows = tx.query(sql, params![image, key, MAX_HOLDERS, MAX_HELD_BYTES], |row| {
        let version = match row.opt_id(0)? {
            Some(_) => Some(read_version(row)?),
            None => None,
        };
        Ok(HeldVersion { repository: row.id(6)?, version, bytes: row.opt_bytes(7)? })
    })?;
    Ok((rows.len() < MAX_HOLDERS as usize).then_some(rows))
}

/// Returns the bytes of a manifest. The caller has found a version that has them.
pub fn find_bytes(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Vec<u8>>, MetaError> {
    let sql = "SELECT bytes FROM manifest_contents WHERE digest = ?1";
    tx.query_first(sql, params![digest.as_str()], |row| row.bytes(0))
}

/// Returns the id and the manifest length of the version of an image with this digest.
pub fn find_in_package(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<(Id, i64)>, MetaError> {
    tx.query_first(
        "SELECT id, manifest_bytes FROM versions WHERE package_id = ?1 AND digest = ?2",
        params![package, digest.as_str()],
        |row| Ok((row.id(0)?, row.int(1)?)),
    )
}

/// Returns the ids and the manifest lengths of those versions of an image that have one of these digests.
pub fn find_all_in_package(
    tx: &mut Tx<'_>,
    package: &Id,
    digests: &[&str],
) -> Result<BTreeMap<Digest, (Id, i64)>, MetaError> {
    let keys: Vec<_> = digests.iter().map(|digest| SqlParam::from(*digest)).collect();
    let list = KeyList {
        select: "SELECT digest, id, manifest_bytes FROM versions WHERE package_id = ?1 AND digest IN",
        first: package.into(),
        keys: &keys,
    };
    let found = tx.query_keys(list, |row| Ok((digest_at(row, 0)?, (row.id(1)?, row.int(2)?))))?;
    Ok(found.into_iter().collect())
}

/// A version to store.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The id of the repository.
    pub repository_id: &'a Id,
    /// The id of the image.
    pub package_id: &'a Id,
    /// The digest of the manifest.
    pub digest: &'a Digest,
    /// The bytes of the manifest, exactly as the client sent them.
    pub bytes: &'a [u8],
    /// The media type of the manifest.
    pub media_type: &'a str,
    /// The sum of the sizes of the manifest and of all blobs that it names. It is 0 for an index.
    pub image_bytes: i64,
    /// The artifact type, as the referrers list shows it.
    pub artifact_type: Option<&'a str>,
    /// The digest of the subject.
    pub subject: Option<&'a Digest>,
    /// The annotations of the manifest as a JSON object.
    pub annotations: &'a str,
    /// A JSON array. For an image, it holds the platform; for an index, the manifests that the index names.
    pub platforms: &'a str,
    /// The build time of the image, according to its config.
    pub built_at: Option<i64>,
    /// True if the version has no subject and gets no tag in this transaction.
    pub is_untagged: bool,
    /// The time of the push.
    pub now: i64,
}

/// Stores a version in its image and returns its id. Returns `None` if the image holds the manifest already.
pub fn insert(tx: &mut Tx<'_>, new: &NewVersion<'_>) -> Result<Option<Id>, MetaError> {
    tx.execute(
        "INSERT INTO manifest_contents (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
        params![new.digest.as_str(), new.bytes],
    )?;
    // The id is random, because the foreign keys make every push read its own new row by key. With rising ids, all
    // pushes would read and write the same last page of the index, and a serializable PostgreSQL would run most of them
    // again.
    let id = Id::random();
    let inserted = tx.execute(
        "INSERT INTO versions (id, package_id, digest, media_type, manifest_bytes, image_bytes, artifact_type,
           subject, annotations, platforms, built_at, uploaded_at, updated_at, repository_id, references_made, untagged)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, 1, ?14)
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
            new.repository_id,
            new.is_untagged
        ],
    )?;
    Ok((inserted == 1).then_some(id))
}

/// The statement of [`backfill_repository`]. A test checks its query plan.
pub(crate) const ADOPT_SQL: &str =
    "UPDATE versions SET repository_id = (SELECT p.repository_id FROM packages p WHERE p.id = versions.package_id)
     WHERE id IN (SELECT id FROM versions WHERE repository_id IS NULL LIMIT ?1)";

/// Sets `repository_id` in up to `limit` versions without one. A process of an older release, which does not know the
/// column, inserts such versions if it runs beside this one. Returns the number of versions changed.
pub fn backfill_repository(tx: &mut Tx<'_>, limit: i64) -> Result<u64, MetaError> {
    tx.execute(ADOPT_SQL, params![limit])
}

/// Deletes a version and its references. Its tags must be deleted before. Returns the number of versions deleted, 0 or
/// 1.
pub fn delete(tx: &mut Tx<'_>, version: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM versions WHERE id = ?1", params![version])
}

/// Returns whether any image holds the manifest with this digest.
pub fn is_content_used(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool, MetaError> {
    let found = tx.query_first(
        "SELECT 1 FROM versions WHERE digest = ?1 LIMIT 1",
        params![digest.as_str()],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Deletes the bytes of a manifest. The foreign key refuses the deletion while a version has them.
pub fn delete_content(tx: &mut Tx<'_>, digest: &Digest) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM manifest_contents WHERE digest = ?1", params![digest.as_str()])
}
