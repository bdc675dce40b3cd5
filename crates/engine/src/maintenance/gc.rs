//! Collecting what nothing refers to: online, one review at a time, never by a scan.
//!
//! Whatever may have become unreferenced was put into `gc_queue` by the transaction that let it go. A review
//! looks once more inside a transaction of its own, and only then removes: a repository's link to a blob, the
//! blob, its copy (to the trash), and at last the file. Foreign keys guard each step against a push that runs
//! at the same time. A review that fails or is cut short stays in the queue.

mod batch;
mod removal;

use std::ops::ControlFlow;

use blob::CopyId;
use identity::micros;
use meta::blobs::{self, CopyState};
use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{ErrorKind, Id, Tx, uploads, usage, versions};
use model::digest::Digest;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;
use crate::reviews::{trash_former, trash_unfinished};

/// The lease of collecting.
const GC_LEASE: &str = "gc";

const REVIEWS_AT_ONCE: i64 = 200;

/// Whether a collection removes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcMode {
    /// Look only.
    DryRun,
    /// Remove what nothing refers to.
    Collect,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Reviews that were due.
    pub reviewed: u64,
    /// Blobs taken from a repository that no longer needs them.
    pub links: u64,
    /// Blobs that no repository holds any more.
    pub blobs: u64,
    /// Manifests that no image holds any more.
    pub manifests: u64,
    /// Uploads that expired.
    pub uploads: u64,
    /// Files removed from the trash.
    pub files: u64,
    /// Bytes taken from repositories.
    pub bytes: u64,
    /// Whether another process is collecting, so that this one did nothing.
    pub busy: bool,
    /// Whether a dry run knows of no blob that a repository no longer needs: manifests of an older release are still
    /// being looked through.
    pub links_unknown: bool,
}

/// What one review came to.
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
    /// Reviews everything that is due, unless another process is at it. `progress` hears of each batch, and says
    /// whether to go on: what is left then stays in the queue.
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
                self.look_at_stores().await?;
            }
            if mode == GcMode::Collect && !self.hold_lease(GC_LEASE, BACKGROUND_LEASE).await? {
                report.busy = true;
                return Ok(report);
            }
            let (now, after) = (self.clock.now(), last.clone());
            let list_due = move |tx: &mut Tx<'_>| {
                let due = gc_queue::list_due(tx, now, after.as_ref(), REVIEWS_AT_ONCE)?;
                Ok::<_, EngineError>(due)
            };
            let due = self.meta.read(list_due).await?;
            let Some(end) = due.last() else { break };
            last = Some(end.clone());
            let alone = match mode {
                GcMode::DryRun => due,
                GcMode::Collect => self.review_several(due, &mut report).await,
            };
            for review in alone {
                match self.review(&review, mode).await {
                    Ok(verdict) => report.add(verdict),
                    // It stays in the queue; the others shall not wait for it.
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
            while !self.forget_operations().await? && progress(&report).is_continue() {}
            while !self.adopt_versions().await? && progress(&report).is_continue() {}
            self.release_lease(GC_LEASE).await?;
        }
        Ok(report)
    }

    /// Completes some rows of the last release's. Answers whether all are.
    async fn adopt_versions(&self) -> Result<bool, EngineError> {
        let some = self
            .meta
            .write(|tx| Ok::<_, EngineError>(versions::backfill_repository(tx, REVIEWS_AT_ONCE)?))
            .await?;
        Ok(some < REVIEWS_AT_ONCE as u64)
    }

    async fn review(&self, review: &GcReview, mode: GcMode) -> Result<ReviewVerdict, EngineError> {
        let times = ReviewTimes::of(self);
        if review.kind == ReviewKind::Copy {
            return self.review_copy(review, mode).await;
        }
        let (wanted, engine) = (review.clone(), self.clone());
        if mode == GcMode::DryRun {
            return self.meta.read(move |tx| judge(tx, &wanted, times)).await;
        }
        let carried_out = self.meta.write(move |tx| settle(&engine, tx, &wanted, times)).await;
        match carried_out {
            // A push came to need it while it was looked at. It won; the next review will say so.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                Ok(ReviewVerdict::Kept)
            }
            carried_out => carried_out,
        }
    }

    /// The file goes first, then the row: a crash between the two leaves a row to look at again.
    async fn review_copy(
        &self,
        review: &GcReview,
        mode: GcMode,
    ) -> Result<ReviewVerdict, EngineError> {
        let copy: Id = parse_id(&review.id)?;
        let state = self
            .meta
            .read_by_key(move |tx| Ok::<_, EngineError>(blobs::find_copy_state(tx, &copy)?))
            .await?;
        let in_trash = state == Some(CopyState::Trash);
        if mode == GcMode::DryRun {
            return Ok(if in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept });
        }
        if in_trash {
            self.blobs.delete(CopyId::from(copy.to_bytes())).await?;
        }
        let wanted = review.clone();
        self.meta
            .write(move |tx| {
                gc_queue::finish(tx, &wanted)?;
                if in_trash {
                    blobs::delete_copy(tx, &copy)?;
                }
                Ok::<_, EngineError>(())
            })
            .await?;
        Ok(if in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept })
    }
}

#[derive(Debug, Clone, Copy)]
struct ReviewTimes {
    now: i64,
    review_due: i64,
    trash_due: i64,
}

impl ReviewTimes {
    fn of(engine: &Engine) -> Self {
        let now = engine.clock.now();
        Self {
            now,
            review_due: now + micros(engine.settings.gc_grace),
            trash_due: now + micros(engine.settings.trash_retention),
        }
    }
}

/// Ends a review with what [`judge`] says, unless it was put off meanwhile.
fn settle(
    engine: &Engine,
    tx: &mut Tx<'_>,
    review: &GcReview,
    times: ReviewTimes,
) -> Result<ReviewVerdict, EngineError> {
    if !gc_queue::finish(tx, review)? {
        return Ok(ReviewVerdict::Kept);
    }
    let verdict = judge(tx, review, times)?;
    carry_out(engine, tx, (review, verdict), times)?;
    Ok(verdict)
}

/// Looks whether anything needs what the review names. The one decision of dry run and collection.
fn judge(
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
                    let why = "a manifest was stored by an older berth, and may name it";
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
        ReviewKind::Copy => Err(EngineError::Internal(
            "the review of a copy was not made by review_copy".to_owned(),
        )),
    }
}

/// Removes what [`judge`] found to be needed by nothing, and asks for the reviews that follow from it.
fn carry_out(
    engine: &Engine,
    tx: &mut Tx<'_>,
    (review, verdict): (&GcReview, ReviewVerdict),
    times: ReviewTimes,
) -> Result<(), EngineError> {
    match verdict {
        ReviewVerdict::Kept if review.kind == ReviewKind::Upload => {
            // A session that was used since: look again when it expires now.
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
            // When these go, there is a review again, and it binds the next ones.
            let (repository, digest) = parse_link(&review.id)?;
            if let Some(size) = blobs::find_size(tx, &repository, &digest)? {
                versions::bind_blob(tx, &repository, &digest, size)?;
            }
        }
        ReviewVerdict::Kept | ReviewVerdict::File => {}
        ReviewVerdict::Link { bytes } => {
            let (repository, digest) = parse_link(&review.id)?;
            blobs::unlink(tx, &repository, &digest)?;
            usage::add_delta(tx, &repository, -(bytes as i64))?;
            gc_queue::enqueue(tx, ReviewKind::Blob, &[digest.to_string()], times.now)?;
        }
        ReviewVerdict::Blob => {
            if let Some(copy) = blobs::delete(tx, &parse_id(&review.id)?)? {
                trash_former(tx, &copy, times.trash_due)?;
            }
        }
        ReviewVerdict::Package => removal::remove_some_of_package(engine, tx, review, times)?,
        ReviewVerdict::Repository => removal::remove_some(engine, tx, review, times)?,
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
    EngineError::Internal(format!("review names {id}, which is no id"))
}
