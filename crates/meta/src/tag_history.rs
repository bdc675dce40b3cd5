//! The history of the tags of an image (table `tag_history`), the newest change first.

use crate::tags::{TagChange, read_change};
use crate::{Id, MetaError, Tx, params};

/// The changes that a list shows.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery<'a> {
    /// The id of the image.
    pub package: &'a Id,
    /// The name of the tag, or `None` for all tags of the image.
    pub tag: Option<&'a str>,
    /// The change after which the list continues.
    pub last: &'a Id,
    /// The largest number of changes to return.
    pub limit: i64,
}

/// Makes a query for changes of tags.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, tag, from_digest, to_digest, principal, changed_at, way FROM tag_history
             WHERE package_id = ?1 AND id < ?2",
            $condition,
            " ORDER BY id DESC LIMIT ?3"
        )
    };
}

/// The statements of [`list`], for an image and for one tag. A test checks their query plans.
pub(crate) const LIST_SQL: [&str; 2] = [select!(""), select!(" AND tag = ?4")];

/// Returns the changes of the tags of an image, or of one tag, that came before a change, the newest first. Each has
/// its id.
pub fn list(tx: &mut Tx<'_>, query: HistoryQuery<'_>) -> Result<Vec<(Id, TagChange)>, MetaError> {
    let HistoryQuery { package, tag, last, limit } = query;
    let read = |row: &crate::SqlRow<'_>| Ok((row.id(0)?, read_change(row, 1)?));
    match tag {
        None => tx.query(LIST_SQL[0], params![package, last, limit], read),
        Some(tag) => tx.query(LIST_SQL[1], params![package, last, limit, tag], read),
    }
}
