//! The kinds of reviews that collection makes, and the copies that go to the trash.

use meta::{Id, Tx, blobs, gc_queue};
use model::digest::Digest;

use crate::error::EngineError;

/// A repository's right to read a blob; the id is [`link_id`].
pub(crate) const LINK_REVIEW: &str = "link";
/// A blob that no repository may read; the id is its digest.
pub(crate) const BLOB: &str = "blob";
/// A manifest's bytes; the id is its digest.
pub(crate) const CONTENT: &str = "content";
/// An upload session; the id is its own.
pub(crate) const UPLOAD: &str = "upload";
/// A repository that is being removed; the id is its own.
pub(crate) const REPOSITORY: &str = "repository";
/// An image that is being removed; the id is its own.
pub(crate) const PACKAGE: &str = "package";
/// A copy in the trash; the id is its own.
pub(crate) const COPY: &str = "copy";

/// The id of a link's review.
pub(crate) fn link_id(repository: &Id, digest: &Digest) -> String {
    format!("{repository}/{digest}")
}

/// Puts a copy to the trash that no blob came of; its file is removed when the review is due.
pub(crate) fn trash_unfinished(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_unfinished(tx, copy)? == 1 {
        gc_queue::enqueue(tx, COPY, &[copy.to_string()], due)?;
    }
    Ok(())
}

/// Puts a copy to the trash that its blob has no more.
pub(crate) fn trash_former(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_replaced(tx, copy)? == 1 {
        gc_queue::enqueue(tx, COPY, &[copy.to_string()], due)?;
    }
    Ok(())
}
