//! The ids of the reviews of links, and the copies that go to the trash.

use meta::gc_queue::{self, ReviewKind};
use meta::{Id, Tx, blobs};
use model::digest::Digest;

use crate::error::EngineError;

/// The id of a link's review.
pub(crate) fn link_id(repository: &Id, digest: &Digest) -> String {
    format!("{repository}/{digest}")
}

/// Puts a copy to the trash that no blob came of; its file is removed when the review is due.
pub(crate) fn trash_unfinished(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_unfinished(tx, copy)? == 1 {
        gc_queue::enqueue(tx, ReviewKind::Copy, &[copy.to_string()], due)?;
    }
    Ok(())
}

/// Puts a copy to the trash that its blob has no more.
pub(crate) fn trash_former(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_replaced(tx, copy)? == 1 {
        gc_queue::enqueue(tx, ReviewKind::Copy, &[copy.to_string()], due)?;
    }
    Ok(())
}
