//! Collection of content that nothing refers to: online, one review at a time, never by a scan.
//!
//! The transaction that drops a reference puts the content that may now be unreferenced into `gc_queue`. A review
//! looks once more inside a transaction of its own, and only then deletes: a repository's link to a blob, the blob,
//! its copy (which goes to the trash), and at last the file. Foreign keys guard each step against a push that runs at
//! the same time. A review that fails or is cut short stays in the queue.

mod batch;
mod removal;

use std::ops::ControlFlow;

use blob::CopyId;
use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{ErrorKind, Id, Tx, blobs, uploads, usage_deltas, versions};
use model::digest::Digest;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;
use crate::reviews::{ReviewTimes, trash_former, trash_unfinished};
use meta::blobs::CopyState;

/// The name of the lease of collection.
const GC_LEASE: &str = "gc";

const REVIEWS_AT_ONCE: i64 = 200;

/// The choice between deleting and only looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcMode {
    /// Deletes nothing.
    DryRun,
    /// Deletes content that nothing refers to.
    Collect,
}

/// The counts of a collection: of content that it deleted, or would delete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Reviews that were due.
    pub reviewed: u64,
    /// Blobs that a repository holds and no longer needs.
    pub links: u64,
    /// Blobs that no repository holds any more.
    pub blobs: u64,
    /// Manifests that no image holds any more.
    pub manifests: u64,
    /// Uploads that expired.
    pub uploads: u64,
    /// Files in the trash.
    pub files: u64,
    /// Bytes that repositories no longer hold.
    pub bytes: u64,
    /// `true` if another process collects, so that this one did nothing.
    pub busy: bool,
    /// `true` if a dry run cannot know the blobs that repositories no longer need, because manifests of an older
    /// release are still incomplete.
    pub links_unknown: bool,
}

/// The outcome of one review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReviewVerdict {
    Kept,
    Link { bytes: u64 },
    Blob,
    Manifest,
    Upload,
    Package,
    Repository,
    File,
}

impl GcReport {
    fn add(&mut self, verdict: ReviewVerdict) {
        self.reviewed += 1;
        match verdict {
            ReviewVerdict::Kept | ReviewVerdict::Package | ReviewVerdict::Repository => {}
            ReviewVerdict::Link { bytes } => {
                self.links += 1;
                self.bytes += bytes;
            }
            ReviewVerdict::Blob => self.blobs += 1,
            ReviewVerdict::Manifest => self.manifests += 1,
            ReviewVerdict::Upload => self.uploads += 1,
            ReviewVerdict::File => self.files += 1,
        }
    }
}

impl Engine {
    /// Does all reviews that are due, unless another process collects. `progress` is called after each batch, and
    /// decides whether to go on. The reviews that are left then stay in the queue.
    pub async fn collect(
        &self,
        mode: GcMode,
        mut progress: impl FnMut(&GcReport) -> ControlFlow<()> + Send,
    ) -> Result<GcReport, EngineError> {
        let links_unknown = mode == GcMode::DryRun && !self.are_references_complete().await?;
        let mut report = GcReport { links_unknown, ..GcReport::default() };
        if mode == GcMode::Collect && self.hold_lease(GC_LEASE, BACKGROUND_LEASE).await? {
            while !self.complete_references().await? {
                if progress(&report).is_break()
                    || !self.hold_lease(GC_LEASE, BACKGROUND_LEASE).await?
                {
                    return Ok(report);
                }
            }
        }
        let mut last: Option<GcReview> = None;
        loop {
            if mode == GcMode::Collect {
                self.check_stores().await?;
            }
            if mode == GcMode::Collect && !self.hold_lease(GC_LEASE, BACKGROUND_LEASE).await? {
                report.busy = true;
                return Ok(report);
            }
            let (now, after) = (self.clock.now(), last.clone());
            let due = self
                .read(move |tx| Ok(gc_queue::list_due(tx, now, after.as_ref(), REVIEWS_AT_ONCE)?))
                .await?;
            let Some(end) = due.last() else { break };
            last = Some(end.clone());
            let alone = match mode {
                GcMode::DryRun => due,
                GcMode::Collect => self.review_in_batches(due, &mut report).await,
            };
            for review in alone {
                match self.review(&review, mode).await {
                    Ok(verdict) => report.add(verdict),
                    // The review stays in the queue; the others do not wait for it.
                    Err(error) => tracing::warn!(
                        gc.kind = review.kind.as_str(), gc.id = review.id, %error,
                        "review of {} {} failed and will be repeated", review.kind, review.id
                    ),
                }
            }
            if progress(&report).is_break() {
                break;
            }
        }
        if mode == GcMode::Collect {
            while !self.delete_old_operations().await? && progress(&report).is_continue() {}
            while !self.complete_repository_ids().await? && progress(&report).is_continue() {}
            self.release_lease(GC_LEASE).await?;
        }
        Ok(report)
    }

    /// Completes some rows that the last release wrote. Returns whether all are complete.
    async fn complete_repository_ids(&self) -> Result<bool, EngineError> {
        let completed =
            self.write(|tx| Ok(versions::backfill_repository(tx, REVIEWS_AT_ONCE)?)).await?;
        Ok(completed < REVIEWS_AT_ONCE as u64)
    }

    async fn review(&self, review: &GcReview, mode: GcMode) -> Result<ReviewVerdict, EngineError> {
        let times = self.review_times();
        if review.kind == ReviewKind::Copy {
            return self.review_copy(review, mode).await;
        }
        let (wanted, engine) = (review.clone(), self.clone());
        if mode == GcMode::DryRun {
            return self.read(move |tx| decide_review(tx, &wanted, times)).await;
        }
        let verdict = self.write(move |tx| finish_review(&engine, tx, &wanted, times)).await;
        match verdict {
            // A push needs the content since it was looked at, and was faster. The next review will find that.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                Ok(ReviewVerdict::Kept)
            }
            verdict => verdict,
        }
    }

    /// Reviews a copy. The file is deleted first, then the row: a crash between the two leaves a row that is reviewed
    /// again.
    async fn review_copy(
        &self,
        review: &GcReview,
        mode: GcMode,
    ) -> Result<ReviewVerdict, EngineError> {
        let copy: Id = parse_id(&review.id)?;
        let state = self.read_by_key(move |tx| Ok(blobs::find_copy_state(tx, &copy)?)).await?;
        let in_trash = state == Some(CopyState::Trash);
        if mode == GcMode::DryRun {
            return Ok(if in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept });
        }
        if in_trash {
            self.blobs.delete(CopyId::from(copy.to_bytes())).await?;
        }
        let wanted = review.clone();
        self.write(move |tx| {
            gc_queue::finish(tx, &wanted)?;
            if in_trash {
                blobs::delete_copy(tx, &copy)?;
            }
            Ok(())
        })
        .await?;
        Ok(if in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept })
    }
}

/// Ends a review with the verdict of [`decide_review`], unless the review was postponed meanwhile.
fn finish_review(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<ReviewVerdict, EngineError> {
    if !gc_queue::finish(tx, review)? {
        return Ok(ReviewVerdict::Kept);
    }
    let verdict = decide_review(tx, review, times)?;
    carry_out(engine, tx, review, verdict, times)?;
    Ok(verdict)
}

/// Decides whether anything needs the content that a review names. Dry runs and collections share this decision.
fn decide_review(
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<ReviewVerdict, EngineError> {
    match review.kind {
        ReviewKind::Link => {
            let (repository, digest) = parse_link(&review.id)?;
            if versions::find_manifest_with_blob(tx, &repository, &digest)?.is_some() {
                return Ok(ReviewVerdict::Kept);
            }
            match blobs::find_size(tx, &repository, &digest)? {
                Some(_) if versions::waits_for_blob(tx, &repository, &digest)? => {
                    Ok(ReviewVerdict::Kept)
                }
                Some(_) if versions::incomplete::exists(tx)? => {
                    let why = "a manifest that an older release stored may name the blob";
                    Err(EngineError::Unavailable(why.to_owned()))
                }
                Some(size) => Ok(ReviewVerdict::Link { bytes: size as u64 }),
                None => Ok(ReviewVerdict::Kept),
            }
        }
        ReviewKind::Blob => {
            let linked = blobs::is_linked(tx, &parse_id(&review.id)?)?;
            Ok(if linked { ReviewVerdict::Kept } else { ReviewVerdict::Blob })
        }
        ReviewKind::Content => {
            let used = versions::is_content_used(tx, &parse_id(&review.id)?)?;
            Ok(if used { ReviewVerdict::Kept } else { ReviewVerdict::Manifest })
        }
        ReviewKind::Upload => match uploads::find_expiry(tx, &parse_id(&review.id)?)? {
            Some((expires_at, _)) if expires_at <= times.now => Ok(ReviewVerdict::Upload),
            Some(_) | None => Ok(ReviewVerdict::Kept),
        },
        ReviewKind::Package => {
            let due = meta::deletion::is_package_deleting(tx, &parse_id(&review.id)?)?;
            Ok(if due { ReviewVerdict::Package } else { ReviewVerdict::Kept })
        }
        ReviewKind::Repository => {
            let due = meta::deletion::is_repository_deleting(tx, &parse_id(&review.id)?)?;
            Ok(if due { ReviewVerdict::Repository } else { ReviewVerdict::Kept })
        }
        ReviewKind::Copy => {
            let why = "reviews of copies are not decided by a transaction alone";
            Err(EngineError::Internal(why.to_owned()))
        }
    }
}

/// Carries out a verdict of [`decide_review`], and enqueues the reviews that follow from it.
fn carry_out(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    verdict: ReviewVerdict,
    times: ReviewTimes,
) -> Result<(), EngineError> {
    match verdict {
        ReviewVerdict::Kept if review.kind == ReviewKind::Upload => {
            // The session was used since: the next review is due when it expires now.
            if let Some((expires_at, _)) = uploads::find_expiry(tx, &parse_id(&review.id)?)? {
                gc_queue::enqueue(
                    tx,
                    ReviewKind::Upload,
                    std::slice::from_ref(&review.id),
                    expires_at,
                )?;
            }
        }
        ReviewVerdict::Kept if review.kind == ReviewKind::Link => {
            // When the manifests that are bound now are deleted, another review follows, and binds the next ones.
            let (repository, digest) = parse_link(&review.id)?;
            if let Some(size) = blobs::find_size(tx, &repository, &digest)? {
                versions::bind_blob(tx, &repository, &digest, size)?;
            }
        }
        ReviewVerdict::Kept | ReviewVerdict::File => {}
        ReviewVerdict::Link { bytes } => {
            let (repository, digest) = parse_link(&review.id)?;
            blobs::unlink(tx, &repository, &digest)?;
            usage_deltas::add_delta(tx, &repository, -(bytes as i64))?;
            gc_queue::enqueue(tx, ReviewKind::Blob, &[digest.to_string()], times.now)?;
        }
        ReviewVerdict::Blob => {
            if let Some(copy) = blobs::delete(tx, &parse_id(&review.id)?)? {
                trash_former(tx, &copy, times.trash_due)?;
            }
        }
        ReviewVerdict::Package => removal::delete_package_rows(engine, tx, review, times)?,
        ReviewVerdict::Repository => removal::delete_repository_rows(engine, tx, review, times)?,
        ReviewVerdict::Manifest => {
            versions::delete_content(tx, &parse_id(&review.id)?)?;
        }
        ReviewVerdict::Upload => {
            let id = parse_id(&review.id)?;
            let copy = uploads::find_expiry(tx, &id)?.and_then(|(_, copy)| copy);
            uploads::delete(tx, &id)?;
            if let Some(copy) = copy {
                trash_unfinished(tx, &copy, times.trash_due)?;
            }
        }
    }
    Ok(())
}

fn parse_link(id: &str) -> Result<(Id, Digest), EngineError> {
    let (repository, digest) = id.split_once('/').ok_or_else(|| unreadable(id))?;
    Ok((parse_id(repository)?, parse_id(digest)?))
}

fn parse_id<T: std::str::FromStr>(id: &str) -> Result<T, EngineError> {
    id.parse().map_err(|_| unreadable(id))
}

fn unreadable(id: &str) -> EngineError {
    EngineError::Internal(format!("a review has the id {id}, which cannot be read"))
}
