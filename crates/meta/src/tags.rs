//! Tables `tags` and `tag_history`: names for digests, and what they named before.

use model::digest::Digest;

use crate::{Id, MetaError, Row, Tx, digest_at, opt_digest_at, params};

/// What a tag points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The version's row.
    pub version_id: Id,
    /// The version's digest.
    pub digest: Digest,
}

/// What the tag points at now.
pub fn find(tx: &mut Tx<'_>, package: &Id, name: &str) -> Result<Option<Tag>, MetaError> {
    tx.opt(
        "SELECT v.id, v.digest FROM tags t JOIN versions v ON v.id = t.version_id
         WHERE t.package_id = ?1 AND t.name = ?2",
        params![package, name],
        |row| Ok(Tag { version_id: row.id(0)?, digest: digest_at(row, 1)? }),
    )
}

/// Points a tag at a version, whether it is new or moves.
pub fn set(
    tx: &mut Tx<'_>,
    package: &Id,
    (name, version): (&str, &Id),
    now: i64,
) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO tags (package_id, name, version_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (package_id, name) DO UPDATE SET version_id = excluded.version_id, updated_at = excluded.updated_at",
        params![package, name, version, now],
    )?;
    tx.exec("UPDATE versions SET updated_at = ?2 WHERE id = ?1", params![version, now])?;
    Ok(())
}

/// Removes a tag; the version stays.
pub fn delete(tx: &mut Tx<'_>, package: &Id, name: &str) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM tags WHERE package_id = ?1 AND name = ?2", params![package, name])
}

/// The first tags of a version, in byte order.
pub fn of_version(tx: &mut Tx<'_>, version: &Id, limit: i64) -> Result<Vec<String>, MetaError> {
    tx.query(
        "SELECT name FROM tags WHERE version_id = ?1 ORDER BY name LIMIT ?2",
        params![version, limit],
        |row| row.text(0),
    )
}

/// The statement of [`has_beginning`], for the test that looks at its plan.
pub const BEGINNING_SQL: &str =
    "SELECT name FROM tags WHERE version_id = ?1 AND name >= ?2 ORDER BY name LIMIT 1";

/// Whether a version has a tag that begins so.
pub fn has_beginning(tx: &mut Tx<'_>, version: &Id, beginning: &str) -> Result<bool, MetaError> {
    let first = tx.opt(BEGINNING_SQL, params![version, beginning], |row| row.text(0))?;
    Ok(first.is_some_and(|first| first.starts_with(beginning)))
}

/// All but the tags by which clients refer to an image, as `model::reference::Tag::is_referrers_fallback` has them:
/// `sha256-`, 64 hex digits, and what more there may be.
macro_rules! select_staying {
    ($scope:literal) => {
        concat!(
            "SELECT t.name, v.digest FROM tags t JOIN versions v ON v.id = t.version_id WHERE ",
            $scope,
            " = ?1
               AND NOT (substr(t.name, 1, 7) = 'sha256-' AND length(t.name) >= 71
                 AND trim(substr(t.name, 8, 64), '0123456789abcdef') = ''
                 AND substr(t.name, 72, 1) IN ('', '.', '-')) LIMIT ?2"
        )
    };
}

/// Of what a tag is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// An image.
    Package(&'a Id),
    /// A version.
    Version(&'a Id),
}

/// Tags that are not of those by which clients refer to an image, and what they name.
pub fn other_than_fallback(
    tx: &mut Tx<'_>,
    of: Of<'_>,
    limit: i64,
) -> Result<Vec<(String, Digest)>, MetaError> {
    let (sql, id) = match of {
        Of::Package(id) => (select_staying!("t.package_id"), id),
        Of::Version(id) => (select_staying!("t.version_id"), id),
    };
    tx.query(sql, params![id, limit], |row| Ok((row.text(0)?, digest_at(row, 1)?)))
}

/// One change of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The tag.
    pub tag: String,
    /// What it pointed at.
    pub from: Option<Digest>,
    /// What it points at since.
    pub to: Option<Digest>,
    /// Who changed it.
    pub principal: String,
    /// When.
    pub changed_at: i64,
}

/// Writes a change down.
pub fn record(tx: &mut Tx<'_>, package: &Id, change: &Change) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO tag_history (id, package_id, tag, from_digest, to_digest, principal, changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            &Id::new(),
            package,
            change.tag.as_str(),
            change.from.as_ref().map(Digest::as_str),
            change.to.as_ref().map(Digest::as_str),
            change.principal.as_str(),
            change.changed_at
        ],
    )?;
    Ok(())
}

/// The changes of a tag, oldest first.
pub fn history(tx: &mut Tx<'_>, package: &Id, tag: &str) -> Result<Vec<Change>, MetaError> {
    tx.query(
        "SELECT tag, from_digest, to_digest, principal, changed_at FROM tag_history
         WHERE package_id = ?1 AND tag = ?2 ORDER BY id",
        params![package, tag],
        |row| {
            Ok(Change {
                tag: row.text(0)?,
                from: opt_digest_at(row, 1)?,
                to: opt_digest_at(row, 2)?,
                principal: row.text(3)?,
                changed_at: row.int(4)?,
            })
        },
    )
}

/// The statement of [`names`], for the test that looks at its plan.
pub const NAMES_SQL: &str =
    "SELECT t.name, v.digest FROM tags t JOIN versions v ON v.id = t.version_id
     WHERE t.package_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3";

/// The statement of [`names_of_version`], for the test that looks at its plan.
pub const NAMES_OF_VERSION_SQL: &str =
    "SELECT name FROM tags WHERE version_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3";

/// The tags of an image after `last`, in byte order, and the digests that they name.
pub fn names(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<(String, Digest)>, MetaError> {
    tx.query(NAMES_SQL, params![package, last, limit], |row| Ok((row.text(0)?, digest_at(row, 1)?)))
}

/// The tags of a version after `last`, in byte order.
pub fn names_of_version(
    tx: &mut Tx<'_>,
    version: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(NAMES_OF_VERSION_SQL, params![version, last, limit], |row| row.text(0))
}

/// The statement of [`list`], for the test that looks at its plan.
pub const LIST_SQL: &str =
    "SELECT t.name, v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at
     FROM tags t JOIN versions v ON v.id = t.version_id
     WHERE t.package_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3";

/// A tag, with what the extended list shows of its version.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The tag.
    pub name: String,
    /// The version it names.
    pub version: ListedVersion,
}

/// What the extended list shows of a version.
#[derive(Debug, Clone)]
pub struct ListedVersion {
    /// Its digest.
    pub digest: Digest,
    /// The version's media type.
    pub media_type: String,
    /// The version's size with everything it names.
    pub image_bytes: i64,
    /// When the version came.
    pub uploaded_at: i64,
    /// When the version was built.
    pub built_at: Option<i64>,
}

/// The tags of an image after `last`, in byte order.
pub fn list(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<Listed>, MetaError> {
    tx.query(LIST_SQL, params![package, last, limit], |row| {
        Ok(Listed { name: row.text(0)?, version: listed(row, 1)? })
    })
}

pub(crate) fn listed(row: &Row<'_>, from: usize) -> Result<ListedVersion, MetaError> {
    Ok(ListedVersion {
        digest: digest_at(row, from)?,
        media_type: row.text(from + 1)?,
        image_bytes: row.int(from + 2)?,
        uploaded_at: row.int(from + 3)?,
        built_at: row.opt_int(from + 4)?,
    })
}

/// The statement of [`untagged`], for the test that looks at its plan.
pub const UNTAGGED_SQL: &str =
    "SELECT v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at
     FROM (SELECT id FROM versions WHERE package_id = ?1 ORDER BY uploaded_at, id LIMIT ?2) few
     JOIN versions v ON v.id = few.id
     WHERE NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = few.id) LIMIT ?3";

/// Versions of an image without a tag, at most `limit` among the `most` that came first. To find them, indexes alone are
/// read.
pub fn untagged(
    tx: &mut Tx<'_>,
    package: &Id,
    (most, limit): (i64, i64),
) -> Result<Vec<ListedVersion>, MetaError> {
    tx.query(UNTAGGED_SQL, params![package, most, limit], |row| listed(row, 0))
}
