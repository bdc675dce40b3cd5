//! Tags as the console's table shows them, each with the version that it names.

use model::digest::Digest;
use model::list_filter::SortDirection;

use crate::{Id, MetaError, SqlRow, Tx, digest_at, params};

/// The most blobs of the manifests of an index that are added up for its size.
const MAX_COUNTED_BLOBS: i64 = 2_000;

/// A tag with the fields that the console's table shows.
#[derive(Debug, Clone)]
pub struct TagDetails {
    /// The name of the tag.
    pub name: String,
    /// The time at which the tag was made to name this version, or pushed again.
    pub updated_at: i64,
    /// The id of the version that the tag names.
    pub version: Id,
    /// The digest of the version.
    pub digest: Digest,
    /// The media type of the version.
    pub media_type: String,
    /// The artifact type of the version.
    pub artifact_type: Option<String>,
    /// The platforms, in the text of [`model::image_config::PlatformSummary`].
    pub platforms: String,
    /// The sum in bytes of the manifest and of all distinct blobs that it names; of an index, of the blobs that its
    /// manifests name.
    pub bytes: i64,
    /// The time of the last pull.
    pub last_pulled_at: Option<i64>,
    /// The number of pulls since the day that the query names.
    pub pulls: i64,
    /// The artifact types of up to 20 manifests that refer to the version.
    pub referrer_types: Vec<String>,
    /// The fallback tags by which clients attach artifacts to the version: `sha256-HEX.sig`.
    pub fallback_tags: Vec<String>,
}

/// The order of the console's table of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagTableOrder {
    /// The names of the tags.
    Name,
    /// The times at which the tags were set.
    Updated,
}

/// A position in the table: the time and the name of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPosition {
    /// The time at which the tag was set. A list in the order of names does not look at it.
    pub updated_at: i64,
    /// The name of the tag.
    pub name: String,
}

/// The tags that rows of the table show.
#[derive(Debug, Clone, Copy)]
pub enum TagScope<'a> {
    /// The tags of an image, by its id.
    Image(&'a Id),
    /// The tags of a version, by its id. They are listed in the order of their names only.
    Version(&'a Id),
}

/// A query for rows of the table.
#[derive(Debug, Clone, Copy)]
pub struct TagTableQuery<'a> {
    /// The order of the rows.
    pub order: TagTableOrder,
    /// The direction of the order.
    pub direction: SortDirection,
    /// The tags that the rows show.
    pub scope: TagScope<'a>,
    /// The position after which the rows begin.
    pub last: &'a TagPosition,
    /// The day since which pulls are counted, in days since 1970.
    pub since_day: i64,
    /// The largest number of rows.
    pub limit: i64,
}

/// Makes a statement that returns tags with their versions.
///
/// Two rows of `manifest_refs` may name one blob, which counts once. The fallback tags of a digest are a range of
/// names: every character that may follow the digest in one sorts before the slash.
macro_rules! select {
    ($($rest:literal),+) => {
        concat!(
            "SELECT t.name, t.updated_at, v.id, v.digest, v.media_type, v.artifact_type, v.platforms,
               CASE WHEN v.image_bytes > 0 THEN v.image_bytes ELSE
                 v.manifest_bytes + coalesce((SELECT CAST(sum(found.size) AS BIGINT) FROM
                   (SELECT DISTINCT b.blob_digest, b.size FROM manifest_refs c
                    JOIN manifest_refs b ON b.version_id = c.child_id AND b.blob_digest IS NOT NULL
                    WHERE c.version_id = v.id AND c.child_id IS NOT NULL LIMIT ?5) found), 0) END,
               (SELECT last_pulled_at FROM version_usage WHERE version_id = v.id),
               coalesce((SELECT CAST(sum(pulls) AS BIGINT) FROM pull_counts
                 WHERE version_id = v.id AND day >= ?4), 0),
               (SELECT string_agg(few.artifact_type, ' ') FROM
                 (SELECT coalesce(r.artifact_type, r.media_type) AS artifact_type FROM versions r
                  WHERE r.package_id = v.package_id AND r.subject = v.digest LIMIT 20) few),
               (SELECT string_agg(few.name, ' ') FROM
                 (SELECT f.name FROM tags f WHERE f.package_id = v.package_id
                    AND f.name > 'sha256-' || substr(v.digest, 8) AND f.name < 'sha256-' || substr(v.digest, 8) || '/'
                  ORDER BY f.name LIMIT 20) few)
             FROM tags t JOIN versions v ON v.id = t.version_id WHERE ",
            $($rest),+
        )
    };
}

/// The statements of [`list`] in the order of names, ascending and descending. A test checks their query plans.
pub(crate) const BY_NAME_SQL: [&str; 2] = [
    select!("t.package_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3"),
    select!("t.package_id = ?1 AND t.name < ?2 ORDER BY t.name DESC LIMIT ?3"),
];

/// The statements of [`list`] in the order of times, ascending and descending. A test checks their query plans.
pub(crate) const BY_TIME_SQL: [&str; 2] = [
    select!(
        "t.package_id = ?1 AND (t.updated_at, t.name) > (?6, ?2) ORDER BY t.updated_at, t.name LIMIT ?3"
    ),
    select!(
        "t.package_id = ?1 AND (t.updated_at, t.name) < (?6, ?2) ORDER BY t.updated_at DESC, t.name DESC LIMIT ?3"
    ),
];

/// The statements of [`list`] for the tags of one version, ascending and descending. A test checks their query plans.
pub(crate) const OF_VERSION_SQL: [&str; 2] = [
    select!("t.version_id = ?1 AND t.name > ?2 ORDER BY t.name LIMIT ?3"),
    select!("t.version_id = ?1 AND t.name < ?2 ORDER BY t.name DESC LIMIT ?3"),
];

/// Returns rows of the console's table of tags.
pub fn list(tx: &mut Tx<'_>, query: TagTableQuery<'_>) -> Result<Vec<TagDetails>, MetaError> {
    let TagTableQuery { order, direction, scope, last, since_day, limit } = query;
    let TagPosition { updated_at, name } = last;
    let name = name.as_str();
    let (statements, id) = match (scope, order) {
        (TagScope::Version(id), _) => (OF_VERSION_SQL, id),
        (TagScope::Image(id), TagTableOrder::Name) => (BY_NAME_SQL, id),
        (TagScope::Image(id), TagTableOrder::Updated) => {
            let params = params![id, name, limit, since_day, MAX_COUNTED_BLOBS, *updated_at];
            return tx.query(direction.choose(BY_TIME_SQL), params, read_row);
        }
    };
    let params = params![id, name, limit, since_day, MAX_COUNTED_BLOBS];
    tx.query(direction.choose(statements), params, read_row)
}

/// Returns the size in bytes of an index: of itself and of the distinct blobs that its manifests name, up to 2,000.
pub fn index_bytes(tx: &mut Tx<'_>, index: &Id) -> Result<i64, MetaError> {
    let sql = "SELECT v.manifest_bytes + coalesce((SELECT CAST(sum(found.size) AS BIGINT) FROM
          (SELECT DISTINCT b.blob_digest, b.size FROM manifest_refs c
           JOIN manifest_refs b ON b.version_id = c.child_id AND b.blob_digest IS NOT NULL
           WHERE c.version_id = v.id AND c.child_id IS NOT NULL LIMIT ?2) found), 0)
        FROM versions v WHERE v.id = ?1";
    let sum = tx.query_first(sql, params![index, MAX_COUNTED_BLOBS], |row| row.int(0))?;
    Ok(sum.unwrap_or_default())
}

fn read_row(row: &SqlRow<'_>) -> Result<TagDetails, MetaError> {
    let words = |text: Option<String>| {
        let text = text.unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    Ok(TagDetails {
        name: row.text(0)?,
        updated_at: row.int(1)?,
        version: row.id(2)?,
        digest: digest_at(row, 3)?,
        media_type: row.text(4)?,
        artifact_type: row.opt_text(5)?,
        platforms: row.text(6)?,
        bytes: row.int(7)?,
        last_pulled_at: row.opt_int(8)?,
        pulls: row.int(9)?,
        referrer_types: words(row.opt_text(10)?),
        fallback_tags: words(row.opt_text(11)?),
    })
}
