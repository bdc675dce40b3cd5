//! The activity of a repository and of an image: its events (table `events`), the newest first.

use crate::events::{AuditEvent, read_event, select_event};
use crate::{Id, MetaError, Tx, params};

/// The repository or the image whose activity is listed.
#[derive(Debug, Clone, Copy)]
pub struct ActivityScope<'a> {
    /// The id of the repository.
    pub repository: &'a Id,
    /// The name of the image, which may be deleted, or `None` for the whole repository.
    pub image: Option<&'a str>,
}

/// A position in a list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityPosition {
    /// The time of the event.
    pub occurred_at: i64,
    /// The id of the event.
    pub event: Id,
}

/// The statements of [`list`], for a repository and for an image. A test checks their query plans.
pub(crate) const LIST_SQL: [&str; 2] = [
    select_event!(
        "WHERE repository_id = ?1 AND (occurred_at, id) < (?2, ?3)
         ORDER BY occurred_at DESC, id DESC LIMIT ?4"
    ),
    select_event!(
        "WHERE repository_id = ?1 AND (occurred_at, id) < (?2, ?3) AND image = ?5
         ORDER BY occurred_at DESC, id DESC LIMIT ?4"
    ),
];

/// Returns the events of a repository or an image that come before a position, the newest first, with their ids.
pub fn list(
    tx: &mut Tx<'_>,
    scope: ActivityScope<'_>,
    last: ActivityPosition,
    limit: i64,
) -> Result<Vec<(Id, AuditEvent)>, MetaError> {
    let ActivityPosition { occurred_at, event } = last;
    let ActivityScope { repository, image } = scope;
    match image {
        None => tx.query(LIST_SQL[0], params![repository, occurred_at, &event, limit], read_event),
        Some(image) => {
            let params = params![repository, occurred_at, &event, limit, image];
            tx.query(LIST_SQL[1], params, read_event)
        }
    }
}

/// The statement of [`forget`]. A test checks its query plan.
pub(crate) const FORGET_SQL: &str = "DELETE FROM events WHERE id IN
     (SELECT id FROM events WHERE id < ?1 ORDER BY id LIMIT ?2)";

/// Deletes up to `limit` events that were written before a time. Returns the number of events deleted.
pub fn forget(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64, MetaError> {
    // The ids of events rise with the time at which they are written.
    tx.execute(FORGET_SQL, params![&Id::first_at(before), limit])
}
