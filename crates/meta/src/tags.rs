//! Tags and their history (tables `tags` and `tag_history`). A tag names one version of an image.

use model::digest::Digest;

use crate::change_way::{ChangeWay, way_at};
use crate::{Id, MetaError, SqlRow, Tx, digest_at, opt_digest_at, params};

/// The version that a tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetVersion {
    /// The id of the version.
    pub version_id: Id,
    /// The digest of the version.
    pub digest: Digest,
    /// Tells whether the version is untagged, or `None` if it was not counted yet. Then it is in no counter, and neither
    /// are its tags.
    pub untagged: Option<bool>,
}

impl TargetVersion {
    /// Returns whether the version and its tags are counted.
    pub fn is_counted(&self) -> bool {
        self.untagged.is_some()
    }
}

/// Returns the version that a tag names now.
pub fn find(tx: &mut Tx<'_>, package: &Id, name: &str) -> Result<Option<TargetVersion>, MetaError> {
    tx.query_first(
        "SELECT v.id, v.digest, CASE WHEN v.untagged THEN 1 WHEN NOT v.untagged THEN 0 END FROM tags t JOIN versions v ON v.id = t.version_id
         WHERE t.package_id = ?1 AND t.name = ?2",
        params![package, name],
        read_target,
    )
}

/// Returns the version of an image with this digest, for a tag that is to name it.
pub fn find_target(
    tx: &mut Tx<'_>,
    package: &Id,
    digest: &Digest,
) -> Result<Option<TargetVersion>, MetaError> {
    tx.query_first(
        "SELECT id, digest, CASE WHEN untagged THEN 1 WHEN NOT untagged THEN 0 END FROM versions
         WHERE package_id = ?1 AND digest = ?2",
        params![package, digest.as_str()],
        read_target,
    )
}

fn read_target(row: &SqlRow<'_>) -> Result<TargetVersion, MetaError> {
    Ok(TargetVersion {
        version_id: row.id(0)?,
        digest: digest_at(row, 1)?,
        untagged: row.opt_int(2)?.map(|untagged| untagged == 1),
    })
}

/// Makes a tag name a version, which is not untagged then. The tag is created, or moved if it exists.
pub fn set(
    tx: &mut Tx<'_>,
    package: &Id,
    name: &str,
    version: &Id,
    now: i64,
) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO tags (package_id, name, version_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (package_id, name) DO UPDATE SET version_id = excluded.version_id, updated_at = excluded.updated_at",
        params![package, name, version, now],
    )?;
    tx.execute(
        "UPDATE versions SET updated_at = ?2, untagged = CASE WHEN untagged THEN FALSE ELSE untagged END
         WHERE id = ?1",
        params![version, now],
    )?;
    Ok(())
}

/// Deletes a tag and keeps its version. Returns the number of tags deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, package: &Id, name: &str) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM tags WHERE package_id = ?1 AND name = ?2", params![package, name])
}

/// Returns the number of tags of a version, up to `limit`.
pub fn count_of_version(tx: &mut Tx<'_>, version: &Id, limit: i64) -> Result<usize, MetaError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM tags WHERE version_id = ?1 LIMIT ?2) few";
    let count = tx.query_first(sql, params![version, limit], |row| row.int(0))?;
    Ok(count.unwrap_or_default() as usize)
}

/// Returns the first tags of a version, in byte order.
pub fn list_first_of_version(
    tx: &mut Tx<'_>,
    version: &Id,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(
        "SELECT name FROM tags WHERE version_id = ?1 ORDER BY name LIMIT ?2",
        params![version, limit],
        |row| row.text(0),
    )
}

/// The statement of [`has_prefix`]. A test checks its query plan.
pub(crate) const BEGINNING_SQL: &str =
    "SELECT name FROM tags WHERE version_id = ?1 AND name >= ?2 ORDER BY name LIMIT 1";

/// Returns whether a version has a tag that begins with this text.
pub fn has_prefix(tx: &mut Tx<'_>, version: &Id, prefix: &str) -> Result<bool, MetaError> {
    let first = tx.query_first(BEGINNING_SQL, params![version, prefix], |row| row.text(0))?;
    Ok(first.is_some_and(|first| first.starts_with(prefix)))
}

/// Makes a query for all tags except the fallback tags by which clients attach artifacts to an image: `sha256-`, 64 hex
/// digits, and then nothing or a suffix. `model::reference::Tag::is_referrers_fallback` decides the same.
macro_rules! select_other_than_fallback {
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

/// The scope in which a tag is looked for.
#[derive(Debug, Clone, Copy)]
pub enum TagScope<'a> {
    /// All tags of an image.
    Package(&'a Id),
    /// All tags of a version.
    Version(&'a Id),
}

/// Returns tags that are not fallback tags by which clients attach artifacts to an image, with the digests that they
/// name.
pub fn list_other_than_fallback(
    tx: &mut Tx<'_>,
    scope: TagScope<'_>,
    limit: i64,
) -> Result<Vec<(String, Digest)>, MetaError> {
    let (sql, id) = match scope {
        TagScope::Package(id) => (select_other_than_fallback!("t.package_id"), id),
        TagScope::Version(id) => (select_other_than_fallback!("t.version_id"), id),
    };
    tx.query(sql, params![id, limit], |row| Ok((row.text(0)?, digest_at(row, 1)?)))
}

/// A change of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagChange {
    /// The name of the tag.
    pub tag: String,
    /// The digest that the tag named before, or `None` if the tag is new.
    pub from: Option<Digest>,
    /// The digest that the tag names since, or `None` if the tag was deleted.
    pub to: Option<Digest>,
    /// The principal that changed the tag.
    pub principal: String,
    /// The time of the change.
    pub changed_at: i64,
    /// The way by which the change came.
    pub way: ChangeWay,
}

/// Records a change of a tag in the history.
pub fn record_change(tx: &mut Tx<'_>, package: &Id, change: &TagChange) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO tag_history (id, package_id, tag, from_digest, to_digest, principal, changed_at, way)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            &Id::new(),
            package,
            change.tag.as_str(),
            change.from.as_ref().map(Digest::as_str),
            change.to.as_ref().map(Digest::as_str),
            change.principal.as_str(),
            change.changed_at,
            change.way.as_str()
        ],
    )?;
    Ok(())
}

/// Returns the changes of a tag, the oldest first.
pub fn list_changes(tx: &mut Tx<'_>, package: &Id, tag: &str) -> Result<Vec<TagChange>, MetaError> {
    tx.query(
        "SELECT tag, from_digest, to_digest, principal, changed_at, way FROM tag_history
         WHERE package_id = ?1 AND tag = ?2 ORDER BY id",
        params![package, tag],
        |row| read_change(row, 0),
    )
}

/// Reads a change from six columns, of which `first` is the first one.
pub(crate) fn read_change(row: &SqlRow<'_>, first: usize) -> Result<TagChange, MetaError> {
    Ok(TagChange {
        tag: row.text(first)?,
        from: opt_digest_at(row, first + 1)?,
        to: opt_digest_at(row, first + 2)?,
        principal: row.text(first + 3)?,
        changed_at: row.int(first + 4)?,
        way: way_at(row, first + 5)?,
    })
}

/// The statement of [`list_with_digests`]. A test checks its query plan.
pub(crate) const NAMES_SQL: &str =
    "SELECT t.name, v.digest FROM tags t JOIN versions v ON v.id = t.version_id
     WHERE t.package_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3";

/// The statement of [`list_of_version`]. A test checks its query plan.
pub(crate) const NAMES_OF_VERSION_SQL: &str =
    "SELECT name FROM tags WHERE version_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3";

/// Returns the tags of an image that sort after `last`, in byte order, with the digests that they name.
pub fn list_with_digests(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<(String, Digest)>, MetaError> {
    tx.query(NAMES_SQL, params![package, last, limit], |row| Ok((row.text(0)?, digest_at(row, 1)?)))
}

/// Returns the tags of a version that sort after `last`, in byte order.
pub fn list_of_version(
    tx: &mut Tx<'_>,
    version: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(NAMES_OF_VERSION_SQL, params![version, last, limit], |row| row.text(0))
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT t.name, v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at
     FROM tags t JOIN versions v ON v.id = t.version_id
     WHERE t.package_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3";

/// A tag with the fields of its version that the extended list shows.
#[derive(Debug, Clone)]
pub struct TagRow {
    /// The name of the tag.
    pub name: String,
    /// The version that the tag names.
    pub version: ListedVersion,
}

/// The fields of a version that the extended list shows.
#[derive(Debug, Clone)]
pub struct ListedVersion {
    /// The digest of the version.
    pub digest: Digest,
    /// The media type of the version.
    pub media_type: String,
    /// The sum of the sizes of the version and of all blobs that it names.
    pub image_bytes: i64,
    /// The time at which the version was pushed.
    pub uploaded_at: i64,
    /// The build time of the image, according to its config.
    pub built_at: Option<i64>,
}

/// Returns the tags of an image that sort after `last`, in byte order, with the fields of the extended list.
pub fn list(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<TagRow>, MetaError> {
    tx.query(LIST_SQL, params![package, last, limit], |row| {
        Ok(TagRow { name: row.text(0)?, version: read_listed_version(row, 1)? })
    })
}

/// Reads a version from five columns, of which `first` is the first one.
pub(crate) fn read_listed_version(
    row: &SqlRow<'_>,
    first: usize,
) -> Result<ListedVersion, MetaError> {
    Ok(ListedVersion {
        digest: digest_at(row, first)?,
        media_type: row.text(first + 1)?,
        image_bytes: row.int(first + 2)?,
        uploaded_at: row.int(first + 3)?,
        built_at: row.opt_int(first + 4)?,
    })
}

/// The statement of [`list_untagged_versions`]. A test checks its query plan.
pub(crate) const UNTAGGED_SQL: &str =
    "SELECT v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at
     FROM (SELECT id FROM versions WHERE package_id = ?1 ORDER BY uploaded_at, id LIMIT ?2) few
     JOIN versions v ON v.id = few.id
     WHERE NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = few.id) LIMIT ?3";

/// Returns up to `limit` versions of an image without a tag, among the first `max_examined` versions in the order of
/// their pushes. The search for them reads only indexes.
pub fn list_untagged_versions(
    tx: &mut Tx<'_>,
    package: &Id,
    max_examined: i64,
    limit: i64,
) -> Result<Vec<ListedVersion>, MetaError> {
    tx.query(UNTAGGED_SQL, params![package, max_examined, limit], |row| read_listed_version(row, 0))
}
