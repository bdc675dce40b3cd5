//! Deletion of a whole repository or image, some rows at a time. Each transaction enqueues reviews of the content
//! that it may have released, and one for the next rows, and tells webhooks what it has deleted.

use meta::gc_queue::{self, GcReview};
use meta::{Tx, deletion, usage};
use model::digest::Digest;

use super::{ReviewTimes, parse_id};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews::{BLOB, CONTENT, LINK_REVIEW, PACKAGE, REPOSITORY, link_id, trash_unfinished};

/// The number of rows that one transaction deletes.
const SLICE: i64 = 250;

/// Deletes some rows of a repository, and enqueues a review for the next ones.
pub(super) fn remove_some(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let repository = parse_id(&review.id)?;
    let removed = deletion::delete_some_of_repository(tx, &repository, engine.batch_size(SLICE))?;
    engine.enqueue_deletions(tx, (&repository, times.now), &removed.artifacts)?;
    let texts = |digests: &[Digest]| digests.iter().map(Digest::to_string).collect::<Vec<_>>();
    gc_queue::enqueue(tx, CONTENT, &texts(&removed.contents), times.now)?;
    gc_queue::enqueue(tx, BLOB, &texts(&removed.blobs), times.now)?;
    for copy in &removed.copies {
        trash_unfinished(tx, copy, times.trash_due)?;
    }
    if !removed.is_complete {
        gc_queue::enqueue(tx, REPOSITORY, std::slice::from_ref(&review.id), times.now)?;
    }
    Ok(())
}

/// Deletes some rows of an image, and enqueues a review for the next ones.
pub(super) fn remove_some_of_package(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    let package = parse_id(&review.id)?;
    let slice = engine.batch_size(SLICE);
    let Some(removed) = deletion::delete_some_of_package(tx, &package, slice)? else {
        return Ok(());
    };
    engine.enqueue_deletions(tx, (&removed.repository, times.now), &removed.gone)?;
    let contents: Vec<String> = removed.contents.iter().map(Digest::to_string).collect();
    let links: Vec<String> =
        removed.blobs.iter().map(|blob| link_id(&removed.repository, blob)).collect();
    gc_queue::enqueue(tx, CONTENT, &contents, times.now)?;
    gc_queue::enqueue(tx, LINK_REVIEW, &links, times.review_due)?;
    usage::add_delta(tx, &removed.repository, -removed.bytes)?;
    gc_queue::enqueue(tx, PACKAGE, std::slice::from_ref(&review.id), times.now)?;
    Ok(())
}
