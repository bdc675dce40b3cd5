//! The kinds of reviews that collection makes, their times, and the moves of copies to the trash.

use meta::{Id, Tx, blobs, gc_queue};
use model::digest::Digest;

use crate::error::EngineError;

/// The right of a repository to read a blob. The id is a [`link_id`].
pub(crate) const LINK_REVIEW: &str = "link";
/// A blob that no repository may read any more. The id is the digest.
pub(crate) const BLOB: &str = "blob";
/// The bytes of a manifest. The id is the digest.
pub(crate) const CONTENT: &str = "content";
/// An upload session. The id is that of the session.
pub(crate) const UPLOAD: &str = "upload";
/// A repository that is being deleted. The id is that of the repository.
pub(crate) const REPOSITORY: &str = "repository";
/// An image that is being deleted. The id is that of the image.
pub(crate) const PACKAGE: &str = "package";
/// A copy in the trash. The id is that of the copy.
pub(crate) const COPY: &str = "copy";

/// Returns the id of the review of a repository's right to read a blob.
pub(crate) fn link_id(repository: &Id, digest: &Digest) -> String {
    format!("{repository}/{digest}")
}

/// Moves the copy of an upload that became no blob to the trash. The review that is due then deletes its file.
pub(crate) fn trash_unfinished(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_unfinished(tx, copy)? == 1 {
        gc_queue::enqueue(tx, COPY, &[copy.to_string()], due)?;
    }
    Ok(())
}

/// Moves a copy that no blob uses any more to the trash.
pub(crate) fn trash_former(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    if blobs::trash_replaced(tx, copy)? == 1 {
        gc_queue::enqueue(tx, COPY, &[copy.to_string()], due)?;
    }
    Ok(())
}
