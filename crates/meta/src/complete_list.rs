//! The versions of an image as its complete list shows them, which Google's clients read: by digest, each with its tags.

use crate::tags::{ListedVersion, listed};
use crate::{Id, MetaError, Tx, params};

/// How many tags of a version are read along with it; `tags::names_of_version` has those that follow.
pub const FIRST_TAGS: usize = 16;

/// A version, with its first tags.
#[derive(Debug, Clone)]
pub struct TaggedVersion {
    /// The row's id.
    pub id: Id,
    /// What the list shows of it.
    pub version: ListedVersion,
    /// At most [`FIRST_TAGS`], in byte order.
    pub tags: Vec<String>,
}

/// The statement of [`versions`], for the test that looks at its plan.
pub const VERSIONS_SQL: &str =
    "SELECT v.id, v.digest, v.media_type, v.image_bytes, v.uploaded_at, v.built_at,
       (SELECT string_agg(few.name, ' ') FROM
         (SELECT name FROM tags WHERE version_id = v.id ORDER BY name LIMIT ?4) few)
     FROM versions v WHERE v.package_id = ?1 AND v.digest > ?2 ORDER BY v.digest LIMIT ?3";

/// The versions of an image after a digest, or the empty text in its place.
pub fn versions(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<TaggedVersion>, MetaError> {
    tx.query(VERSIONS_SQL, params![package, last, limit, FIRST_TAGS as i64], |row| {
        // No tag holds a space.
        let tags = row.opt_text(6)?.unwrap_or_default();
        let mut tags: Vec<_> = tags.split_ascii_whitespace().map(str::to_owned).collect();
        tags.sort_unstable();
        Ok(TaggedVersion { id: row.id(0)?, version: listed(row, 1)?, tags })
    })
}
