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

/// An old change of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldChange {
    /// The id of the change.
    pub id: Id,
    /// True if the tag was changed again since.
    pub is_superseded: bool,
}

/// The statement of [`list_old`]. A test checks its query plan.
pub(crate) const OLD_SQL: &str = "SELECT few.id, EXISTS (SELECT 1 FROM tag_history n
       WHERE n.package_id = few.package_id AND n.tag = few.tag AND n.id > few.id)
     FROM (SELECT id, package_id, tag FROM tag_history WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3) few
     ORDER BY few.id";

/// Returns up to `limit` changes of tags that came after the change `last` and before a time, in their order.
pub fn list_old(
    tx: &mut Tx<'_>,
    last: &Id,
    before: i64,
    limit: i64,
) -> Result<Vec<OldChange>, MetaError> {
    tx.query(OLD_SQL, params![last, &Id::first_at(before), limit], |row| {
        Ok(OldChange { id: row.id(0)?, is_superseded: row.bool(1)? })
    })
}

/// Deletes a change of a tag from the history.
pub fn forget(tx: &mut Tx<'_>, change: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM tag_history WHERE id = ?1", params![change])
}
