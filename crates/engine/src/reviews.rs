//! The times and ids of reviews, and the moves of copies to the trash.

use identity::{Micros, micros};
use meta::gc_queue::ReviewKind;
use meta::{Id, Tx, blobs, gc_queue};
use model::digest::Digest;

use crate::engine::Engine;
use crate::error::EngineError;

/// The times that a transaction writes which enqueues reviews.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReviewTimes {
    /// The present time.
    pub(crate) now: Micros,
    /// The time from which on unreferenced content may be deleted.
    pub(crate) review_after: Micros,
    /// The time at which a copy that goes to the trash now is deleted.
    pub(crate) trash_due: Micros,
}

impl Engine {
    /// Returns the times for a transaction that enqueues reviews now.
    pub(crate) fn review_times(&self) -> ReviewTimes {
        let now = self.clock.now();
        ReviewTimes {
            now,
            review_after: now + micros(self.settings.gc_grace),
            trash_due: now + micros(self.settings.trash_retention),
        }
    }
}

/// Returns the id of the review of a repository's right to read a blob.
pub(crate) fn link_id(repository: &Id, digest: &Digest) -> String {
    format!("{repository}/{digest}")
}

/// Moves the copy of an upload that became no blob to the trash. The review that is due then deletes its file.
pub(crate) fn trash_unfinished(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_unfinished(tx, copy)? == 1 {
        gc_queue::enqueue(tx, ReviewKind::Copy, &[copy.to_string()], due)?;
    }
    Ok(())
}

/// Moves a copy that no blob uses any more to the trash.
pub(crate) fn trash_former(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_replaced(tx, copy)? == 1 {
        gc_queue::enqueue(tx, ReviewKind::Copy, &[copy.to_string()], due)?;
    }
    Ok(())
}
