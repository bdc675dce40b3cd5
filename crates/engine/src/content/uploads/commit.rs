//! The transaction that makes an upload a blob.

use std::time::Duration;

use blob::{Locked, StoredCopy};
use identity::micros;
use meta::gc_queue;
use meta::gc_queue::ReviewKind;
use meta::uploads::{self, Upload};
use meta::{Tx, blobs, usage_deltas, versions};
use model::digest::Digest;

use crate::access::ImageContext;
use crate::error::EngineError;
use crate::reviews::{self, ReviewTimes};

/// The time for which a finished session is remembered, for clients that repeat their PUT.
const FINISHED_FOR: Duration = Duration::from_secs(3600);

/// An upload whose bytes are stored and have the expected digest.
pub(super) struct FinishedUpload {
    pub(super) upload: Upload,
    pub(super) digest: Digest,
    pub(super) stored: Locked<StoredCopy>,
}

/// Makes the copy live, and writes the blob's row, the repository's link and a review. All of it happens, or nothing.
pub(super) fn commit(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    finished: &FinishedUpload,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let FinishedUpload { upload, digest, stored } = finished;
    let remember_until = times.now + micros(FINISHED_FOR);
    let copy = upload.copy_id.ok_or(EngineError::UploadUnknown)?;
    let size = stored.size as i64;
    if uploads::finish(tx, upload, digest, size, remember_until)? == 0 {
        return Err(EngineError::UploadUnknown);
    }
    gc_queue::enqueue(tx, ReviewKind::Upload, &[upload.id.to_string()], remember_until)?;
    let live = blobs::FinishedCopy {
        id: &copy,
        digest,
        size,
        mtime_ns: stored.times.mtime_ns,
        ctime_ns: stored.times.ctime_ns,
        now: times.now,
    };
    if let Some(former) = blobs::make_live(tx, &live)? {
        reviews::trash_former(tx, &former, times.trash_due)?;
    }
    link(tx, image, digest, size, times)
}

/// Lets the repository read the blob, and enqueues a review in case no manifest comes to need it.
pub(super) fn link(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    digest: &Digest,
    size: i64,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let repository = &image.repository().id;
    image.check_live(tx)?;
    if blobs::link(tx, repository, digest, size, times.now)? {
        usage_deltas::add_delta(tx, repository, size)?;
    }
    gc_queue::enqueue(
        tx,
        ReviewKind::Link,
        &[reviews::link_id(repository, digest)],
        times.review_after,
    )?;
    versions::bind_blob(tx, repository, digest, size)?;
    Ok(())
}
