//! The rows of a repository or an image that is being removed, some at a time.
//!
//! Rows go in the order in which foreign keys let them: what refers, before what is referred to.

use std::collections::BTreeSet;

use model::digest::Digest;

use crate::packages::shown_name;
use crate::{Id, MetaError, Tx, digest_at, opt_digest_at, params};

/// A tag, or a version, that is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone {
    /// The image that had it.
    pub image: String,
    /// The tag.
    pub tag: Option<String>,
    /// The version's digest.
    pub digest: Option<Digest>,
}

impl Gone {
    fn tag(image: &str, tag: String) -> Self {
        Self { image: shown_name(image).to_owned(), tag: Some(tag), digest: None }
    }

    fn version(image: &str, digest: Digest) -> Self {
        Self { image: shown_name(image).to_owned(), tag: None, digest: Some(digest) }
    }
}

/// What a slice of a removal let go, for the reviews that follow.
#[derive(Debug, Default)]
pub struct Removed {
    /// Whether nothing is left, the repository's own row included.
    pub done: bool,
    /// Tags and versions.
    pub gone: Vec<Gone>,
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
    let references =
        "DELETE FROM manifest_refs WHERE (version_id, position) IN (SELECT version_id, position
           FROM manifest_refs WHERE repository_id = ?1 LIMIT ?2)";
    if tx.exec(references, params![repository, limit])? > 0 {
        return Ok(removed);
    }
    removed.gone = tx.query(
        "DELETE FROM tags WHERE (package_id, name) IN (SELECT t.package_id, t.name
           FROM packages p JOIN tags t ON t.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)
         RETURNING (SELECT p.name FROM packages p WHERE p.id = tags.package_id), name",
        params![repository, limit],
        |row| Ok(Gone::tag(&row.text(0)?, row.text(1)?)),
    )?;
    if !removed.gone.is_empty() {
        return Ok(removed);
    }
    for rows in [
        "DELETE FROM tag_history WHERE id IN (SELECT h.id
           FROM packages p JOIN tag_history h ON h.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM usage_deltas WHERE id IN (SELECT id
           FROM usage_deltas WHERE repository_id = ?1 LIMIT ?2)",
        "DELETE FROM pull_counts WHERE (version_id, day) IN (SELECT c.version_id, c.day FROM packages p
           JOIN versions v ON v.package_id = p.id JOIN pull_counts c ON c.version_id = v.id
           WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM attachments WHERE version_id IN (SELECT a.version_id FROM packages p
           JOIN versions v ON v.package_id = p.id JOIN attachments a ON a.version_id = v.id
           WHERE p.repository_id = ?1 LIMIT ?2)",
        "DELETE FROM rules WHERE (repository_id, name) IN (SELECT repository_id, name
           FROM rules WHERE repository_id = ?1 LIMIT ?2)",
    ] {
        if tx.exec(rows, params![repository, limit])? > 0 {
            return Ok(removed);
        }
    }
    removed.gone = tx.query(
        "DELETE FROM versions WHERE id IN (SELECT v.id
           FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.repository_id = ?1 LIMIT ?2)
         RETURNING (SELECT p.name FROM packages p WHERE p.id = versions.package_id), digest",
        params![repository, limit],
        |row| Ok(Gone::version(&row.text(0)?, digest_at(row, 1)?)),
    )?;
    removed.contents = removed.gone.iter().filter_map(|gone| gone.digest.clone()).collect();
    if !removed.gone.is_empty() {
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

/// What a slice of an image's removal let go.
#[derive(Debug)]
pub struct RemovedOfPackage {
    /// The repository that the image was in.
    pub repository: Id,
    /// Tags and versions.
    pub gone: Vec<Gone>,
    /// Manifests whose bytes may be needed by nobody now.
    pub contents: Vec<Digest>,
    /// Blobs that the repository may need no more.
    pub blobs: BTreeSet<Digest>,
    /// The bytes of its manifests.
    pub bytes: i64,
}

/// Whether the image is being removed.
pub fn is_package_due(tx: &mut Tx<'_>, package: &Id) -> Result<bool, MetaError> {
    let name =
        tx.opt("SELECT name FROM packages WHERE id = ?1", params![package], |row| row.text(0))?;
    Ok(name.is_some_and(|name| name.starts_with('.')))
}

/// Removes some of an image, at most about `limit` rows: one version after the other, with all that it names. `None`:
/// nothing is left.
pub fn remove_some_of_package(
    tx: &mut Tx<'_>,
    package: &Id,
    limit: i64,
) -> Result<Option<RemovedOfPackage>, MetaError> {
    let sql = "SELECT repository_id, name FROM packages WHERE id = ?1";
    let found = tx.opt(sql, params![package], |row| Ok((row.id(0)?, row.text(1)?)))?;
    let Some((repository, image)) = found else { return Ok(None) };
    let mut removed = RemovedOfPackage {
        repository,
        gone: Vec::new(),
        contents: Vec::new(),
        blobs: BTreeSet::new(),
        bytes: 0,
    };
    let mut left = limit;
    while left > 0 {
        let version = tx.opt(
            "SELECT id, digest, manifest_bytes FROM versions WHERE package_id = ?1 ORDER BY digest LIMIT 1",
            params![package],
            |row| Ok((row.id(0)?, digest_at(row, 1)?, row.int(2)?)),
        )?;
        let Some((version, digest, bytes)) = version else {
            let history = tx.exec(
                "DELETE FROM tag_history WHERE id IN (SELECT id FROM tag_history WHERE package_id = ?1 LIMIT ?2)",
                params![package, left],
            )?;
            if history == 0 {
                tx.exec("DELETE FROM packages WHERE id = ?1", params![package])?;
            }
            return Ok(Some(removed));
        };
        left -= let_go(tx, (&version, &image), &mut removed, left)?;
        if left > 0 {
            tx.exec("DELETE FROM versions WHERE id = ?1", params![&version])?;
            removed.bytes += bytes;
            removed.contents.push(digest.clone());
            removed.gone.push(Gone::version(&image, digest));
            left -= 1;
        }
    }
    Ok(Some(removed))
}

/// Removes up to `limit` rows that a version has elsewhere. Answers how many there were: fewer are all.
fn let_go(
    tx: &mut Tx<'_>,
    (version, image): (&Id, &str),
    removed: &mut RemovedOfPackage,
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
    removed.gone.extend(tags.into_iter().map(|tag| Gone::tag(image, tag)));
    if left == 0 {
        return Ok(limit);
    }
    for rows in [
        "DELETE FROM pull_counts WHERE (version_id, day) IN
           (SELECT version_id, day FROM pull_counts WHERE version_id = ?1 LIMIT ?2)",
        // By indexes of the same image, which go too.
        "UPDATE manifest_refs SET child_id = NULL WHERE (version_id, position) IN
           (SELECT version_id, position FROM manifest_refs WHERE child_id = ?1 LIMIT ?2)",
    ] {
        left -= tx.exec(rows, params![version, left])? as i64;
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
    removed.blobs.extend(named.into_iter().flatten());
    Ok(limit - left)
}
