//! A whole repository or image, removed slice by slice: each leaves reviews of what it may have let go, and one for the
//! next slice. What goes is told.

use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{Tx, deletion, usage};
use model::digest::Digest;

use super::{ReviewTimes, parse_id};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews::{link_id, trash_unfinished};

/// How much goes at once.
const SLICE: i64 = 250;

/// Removes a slice of a repository, and comes back for the next one.
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
    gc_queue::enqueue(tx, ReviewKind::Content, &texts(&removed.contents), times.now)?;
    gc_queue::enqueue(tx, ReviewKind::Blob, &texts(&removed.blobs), times.now)?;
    for copy in &removed.copies {
        trash_unfinished(tx, copy, times.trash_due)?;
    }
    if !removed.is_complete {
        gc_queue::enqueue(tx, ReviewKind::Repository, std::slice::from_ref(&review.id), times.now)?;
    }
    Ok(())
}

/// Removes a slice of an image, and comes back for the next one.
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
    gc_queue::enqueue(tx, ReviewKind::Content, &contents, times.now)?;
    gc_queue::enqueue(tx, ReviewKind::Link, &links, times.review_due)?;
    usage::add_delta(tx, &removed.repository, -removed.bytes)?;
    gc_queue::enqueue(tx, ReviewKind::Package, std::slice::from_ref(&review.id), times.now)?;
    Ok(())
}
