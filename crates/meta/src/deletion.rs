//! The deletion of the rows of a repository or an image, some rows at a time.
//!
//! The order follows the foreign keys: a row is deleted before the row to which it refers.

use std::collections::BTreeSet;

use model::digest::Digest;

use crate::packages::shown_name;
use crate::{Id, MetaError, Tx, digest_at, opt_digest_at, params};

/// A tag or a version that was deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct DeletedArtifact {
    /// The name of the image.
    pub image: String,
    /// The name of the tag, if this is a tag.
    pub tag: Option<String>,
    /// The digest of the version, if this is a version.
    pub digest: Option<Digest>,
}

impl DeletedArtifact {
    fn tag(image: &str, tag: String) -> Self {
        Self { image: shown_name(image).to_owned(), tag: Some(tag), digest: None }
    }

    fn version(image: &str, digest: Digest) -> Self {
        Self { image: shown_name(image).to_owned(), tag: None, digest: Some(digest) }
    }
}

/// The rows of a repository that one step deleted. The content that they named has to be reviewed.
#[derive(Debug, Default)]
pub struct DeletedFromRepository {
    /// True if all rows are deleted, including the row of the repository itself.
    pub is_complete: bool,
    /// The deleted tags and versions.
    pub artifacts: Vec<DeletedArtifact>,
    /// The digests of manifests whose bytes may be unused now.
    pub contents: Vec<Digest>,
    /// The digests of blobs that may be unused now.
    pub blobs: Vec<Digest>,
    /// The ids of the copies of unfinished uploads.
    pub copies: Vec<Id>,
}

/// Deletes up to `limit` rows of a repository, all of one table.
pub fn delete_some_of_repository(
    tx: &mut Tx<'_>,
    repository: &Id,
    limit: i64,
) -> Result<DeletedFromRepository, MetaError> {
    let mut deleted = DeletedFromRepository::default();
    let references =
        "DELETE FROM manifest_refs WHERE (version_id, position) IN (SELECT version_id, position
           FROM manifest_refs WHERE repository_id = ?1 LIMIT ?2)";
    if tx.execute(references, params![repository, limit])? > 0 {
        return Ok(deleted);
    }
    deleted.artifacts = tx.query(
        "DELETE FROM tags WHERE (package_id, name) IN (SELECT t.package_id, t.name
           FROM packages p JOIN tags t ON t.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)
         RETURNING (SELECT p.name FROM packages p WHERE p.id = tags.package_id), name",
        params![repository, limit],
        |row| Ok(DeletedArtifact::tag(&row.text(0)?, row.text(1)?)),
    )?;
    if !deleted.artifacts.is_empty() {
        return Ok(deleted);
    }
    for rows in [
        "DELETE FROM tag_history WHERE id IN (SELECT h.id
           FROM packages p JOIN tag_history h ON h.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM usage_deltas WHERE id IN (SELECT id
           FROM usage_deltas WHERE repository_id = ?1 LIMIT ?2)",
        "DELETE FROM image_days WHERE (package_id, day) IN (SELECT d.package_id, d.day
           FROM packages p JOIN image_days d ON d.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM repository_days WHERE (repository_id, day) IN (SELECT repository_id, day
           FROM repository_days WHERE repository_id = ?1 LIMIT ?2)",
        "DELETE FROM pull_counts WHERE (version_id, day) IN (SELECT c.version_id, c.day FROM packages p
           JOIN versions v ON v.package_id = p.id JOIN pull_counts c ON c.version_id = v.id
           WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM attachments WHERE version_id IN (SELECT a.version_id FROM packages p
           JOIN versions v ON v.package_id = p.id JOIN attachments a ON a.version_id = v.id
           WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM rules WHERE (repository_id, name) IN (SELECT repository_id, name
           FROM rules WHERE repository_id = ?1 LIMIT ?2)",
        "DELETE FROM upstream_tags WHERE (repository_id, image, reference) IN
           (SELECT repository_id, image, reference FROM upstream_tags WHERE repository_id = ?1 LIMIT ?2)",
    ] {
        if tx.execute(rows, params![repository, limit])? > 0 {
            return Ok(deleted);
        }
    }
    deleted.artifacts = tx.query(
        "DELETE FROM versions WHERE id IN (SELECT v.id
           FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)
         RETURNING (SELECT p.name FROM packages p WHERE p.id = versions.package_id), digest",
        params![repository, limit],
        |row| Ok(DeletedArtifact::version(&row.text(0)?, digest_at(row, 1)?)),
    )?;
    deleted.contents = deleted.artifacts.iter().filter_map(|gone| gone.digest.clone()).collect();
    if !deleted.artifacts.is_empty() {
        return Ok(deleted);
    }
    deleted.blobs = tx.query(
        "DELETE FROM repository_blobs WHERE (repository_id, digest, size) IN (SELECT repository_id, digest, size
           FROM repository_blobs WHERE repository_id = ?1 LIMIT ?2)
         RETURNING digest",
        params![repository, limit],
        |row| digest_at(row, 0),
    )?;
    if !deleted.blobs.is_empty() {
        return Ok(deleted);
    }
    let uploads = tx.query(
        "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE repository_id = ?1 LIMIT ?2)
         RETURNING copy_id",
        params![repository, limit],
        |row| row.opt_id(0),
    )?;
    if !uploads.is_empty() {
        deleted.copies = uploads.into_iter().flatten().collect();
        return Ok(deleted);
    }
    let packages = tx.execute(
        "DELETE FROM packages WHERE id IN (SELECT id FROM packages WHERE repository_id = ?1 LIMIT ?2)",
        params![repository, limit],
    )?;
    if packages == 0 {
        tx.execute("DELETE FROM repositories WHERE id = ?1", params![repository])?;
        deleted.is_complete = true;
    }
    Ok(deleted)
}

/// Returns whether the repository is being deleted.
pub fn is_repository_deleting(tx: &mut Tx<'_>, repository: &Id) -> Result<bool, MetaError> {
    let found = tx.query_first(
        "SELECT 1 FROM repositories WHERE id = ?1 AND state = 'deleting'",
        params![repository],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// The rows of an image that one step deleted.
#[derive(Debug)]
pub struct DeletedFromPackage {
    /// The id of the repository of the image.
    pub repository: Id,
    /// The deleted tags and versions.
    pub gone: Vec<DeletedArtifact>,
    /// The digests of manifests whose bytes may be unused now.
    pub contents: Vec<Digest>,
    /// The digests of blobs that may be unused in the repository now.
    pub blobs: BTreeSet<Digest>,
    /// The sum of the lengths of the deleted manifests, in bytes.
    pub bytes: i64,
}

/// Returns whether the image is being deleted.
pub fn is_package_deleting(tx: &mut Tx<'_>, package: &Id) -> Result<bool, MetaError> {
    let name =
        tx.query_first("SELECT name FROM packages WHERE id = ?1", params![package], |row| {
            row.text(0)
        })?;
    Ok(name.is_some_and(|name| name.starts_with('.')))
}

/// Deletes about `limit` rows of an image: one version after the other, each with the rows that belong to it. Returns
/// `None` if the image does not exist any more.
pub fn delete_some_of_package(
    tx: &mut Tx<'_>,
    package: &Id,
    limit: i64,
) -> Result<Option<DeletedFromPackage>, MetaError> {
    let sql = "SELECT repository_id, name FROM packages WHERE id = ?1";
    let found = tx.query_first(sql, params![package], |row| Ok((row.id(0)?, row.text(1)?)))?;
    let Some((repository, image)) = found else { return Ok(None) };
    let mut deleted = DeletedFromPackage {
        repository,
        gone: Vec::new(),
        contents: Vec::new(),
        blobs: BTreeSet::new(),
        bytes: 0,
    };
    let mut left = limit;
    while left > 0 {
        let version = tx.query_first(
            "SELECT id, digest, manifest_bytes FROM versions WHERE package_id = ?1 ORDER BY digest LIMIT 1",
            params![package],
            |row| Ok((row.id(0)?, digest_at(row, 1)?, row.int(2)?)),
        )?;
        let Some((version, digest, bytes)) = version else {
            let history = tx.execute(
                "DELETE FROM tag_history WHERE id IN (SELECT id FROM tag_history WHERE package_id = ?1 LIMIT ?2)",
                params![package, left],
            )?;
            left -= history as i64;
            let days = tx.execute(
                "DELETE FROM image_days WHERE (package_id, day) IN
                   (SELECT package_id, day FROM image_days WHERE package_id = ?1 LIMIT ?2)",
                params![package, left],
            )?;
            if history + days == 0 {
                tx.execute("DELETE FROM packages WHERE id = ?1", params![package])?;
            }
            return Ok(Some(deleted));
        };
        left -= delete_rows_of_version(tx, &version, &image, &mut deleted, left)?;
        if left > 0 {
            tx.execute("DELETE FROM versions WHERE id = ?1", params![&version])?;
            deleted.bytes += bytes;
            deleted.contents.push(digest.clone());
            deleted.gone.push(DeletedArtifact::version(&image, digest));
            left -= 1;
        }
    }
    Ok(Some(deleted))
}

/// Deletes up to `limit` rows of other tables that belong to a version. Returns the number of rows: if it is below
/// `limit`, none is left.
fn delete_rows_of_version(
    tx: &mut Tx<'_>,
    version: &Id,
    image: &str,
    deleted: &mut DeletedFromPackage,
    limit: i64,
) -> Result<i64, MetaError> {
    let tags = tx.query(
        "DELETE FROM tags WHERE (package_id, name) IN
           (SELECT package_id, name FROM tags WHERE version_id = ?1 LIMIT ?2)
         RETURNING name",
        params![version, limit],
        |row| row.text(0),
    )?;
    let mut left = limit - tags.len() as i64;
    deleted.gone.extend(tags.into_iter().map(|tag| DeletedArtifact::tag(image, tag)));
    if left == 0 {
        return Ok(limit);
    }
    for rows in [
        "DELETE FROM pull_counts WHERE (version_id, day) IN
           (SELECT version_id, day FROM pull_counts WHERE version_id = ?1 LIMIT ?2)",
        // The references of indexes of the same image, which are deleted too.
        "UPDATE manifest_refs SET child_id = NULL WHERE (version_id, position) IN
           (SELECT version_id, position FROM manifest_refs WHERE child_id = ?1 LIMIT ?2)",
    ] {
        left -= tx.execute(rows, params![version, left])? as i64;
        if left == 0 {
            return Ok(limit);
        }
    }
    let named = tx.query(
        "DELETE FROM manifest_refs WHERE (version_id, position) IN
           (SELECT version_id, position FROM manifest_refs WHERE version_id = ?1 LIMIT ?2)
         RETURNING blob_digest",
        params![version, left],
        |row| opt_digest_at(row, 0),
    )?;
    left -= named.len() as i64;
    deleted.blobs.extend(named.into_iter().flatten());
    Ok(limit - left)
}
