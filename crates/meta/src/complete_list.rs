//! The complete list of an image, which Google's clients read: all versions in the order of their digests, each with
//! its tags.

use crate::tags::{ListedVersion, read_listed_version};
use crate::{Id, MetaError, Tx, params};

/// The number of tags that are read together with a version. `tags::names_of_version` reads the tags after them.
pub const FIRST_TAGS: usize = 16;

/// A version with its first tags.
#[derive(Debug, Clone)]
pub struct TaggedVersion {
    /// The id of the version.
    pub id: Id,
    /// The fields that the list shows.
    pub version: ListedVersion,
    /// The first tags in byte order, at most [`FIRST_TAGS`].
    pub tags: Vec<String>,
}

/// The statement of [`list_versions`]. A test checks its query plan.
pub(crate) const VERSIONS_SQL: &str =
    "SELECT v.id, v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at,
       (SELECT string_agg(few.name, ' ') FROM
         (SELECT name FROM tags WHERE version_id = v.id ORDER BY name LIMIT ?4) few)
     FROM versions v WHERE v.package_id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3";

/// Returns the versions of an image whose digests sort after `last`. An empty `last` begins the list.
pub fn list_versions(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<TaggedVersion>, MetaError> {
    tx.query(VERSIONS_SQL, params![package, last, limit, FIRST_TAGS as i64], |row| {
        // No tag contains a space.
        let tags = row.opt_text(6)?.unwrap_or_default();
        let mut tags: Vec<_> = tags.split_ascii_whitespace().map(str::to_owned).collect();
        tags.sort_unstable();
        Ok(TaggedVersion { id: row.id(0)?, version: read_listed_version(row, 1)?, tags })
    })
}
