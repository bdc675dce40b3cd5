//! Deletion of a whole repository or image, some rows at a time. Each transaction enqueues reviews of the content
//! that it may have released, and one for the next rows, and tells webhooks what it has deleted.

use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{Tx, deletion, usage_deltas};
use model::digest::Digest;

use super::parse_id;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews::{ReviewTimes, link_id, trash_unfinished};

/// The number of rows that one transaction deletes.
const ROWS_AT_ONCE: i64 = 250;

/// Deletes some rows of a repository, and enqueues a review for the next ones.
pub(super) fn delete_repository_rows(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let repository = parse_id(&review.id)?;
    let deleted =
        deletion::delete_some_of_repository(tx, &repository, engine.batch_size(ROWS_AT_ONCE))?;
    engine.enqueue_deletions(tx, &repository, &deleted.artifacts, times.now)?;
    let texts = |digests: &[Digest]| digests.iter().map(Digest::to_string).collect::<Vec<_>>();
    gc_queue::enqueue(tx, ReviewKind::Content, &texts(&deleted.contents), times.now)?;
    gc_queue::enqueue(tx, ReviewKind::Blob, &texts(&deleted.blobs), times.now)?;
    for copy in &deleted.copies {
        trash_unfinished(tx, copy, times.trash_due)?;
    }
    if !deleted.is_complete {
        gc_queue::enqueue(tx, ReviewKind::Repository, std::slice::from_ref(&review.id), times.now)?;
    }
    Ok(())
}

/// Deletes some rows of an image, and enqueues a review for the next ones.
pub(super) fn delete_package_rows(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let package = parse_id(&review.id)?;
    let slice = engine.batch_size(ROWS_AT_ONCE);
    let Some(deleted) = deletion::delete_some_of_package(tx, &package, slice)? else {
        return Ok(());
    };
    engine.enqueue_deletions(tx, &deleted.repository, &deleted.gone, times.now)?;
    let contents: Vec<String> = deleted.contents.iter().map(Digest::to_string).collect();
    let links: Vec<String> =
        deleted.blobs.iter().map(|blob| link_id(&deleted.repository, blob)).collect();
    gc_queue::enqueue(tx, ReviewKind::Content, &contents, times.now)?;
    gc_queue::enqueue(tx, ReviewKind::Link, &links, times.review_after)?;
    usage_deltas::add_delta(tx, &deleted.repository, -deleted.bytes)?;
    gc_queue::enqueue(tx, ReviewKind::Package, std::slice::from_ref(&review.id), times.now)?;
    Ok(())
}
