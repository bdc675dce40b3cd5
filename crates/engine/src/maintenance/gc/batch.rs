//! Reviews of what clients make by the thousand, uploads and their copies: many in one transaction, so that
//! removing keeps up with whoever makes them.

use blob::CopyId;
use futures_util::{StreamExt, stream};
use meta::blobs::{self, CopyState};
use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{ErrorKind, Id};

use super::{GcReport, ReviewTimes, ReviewVerdict, parse_id, settle};

use crate::engine::Engine;
use crate::error::EngineError;

/// How many files are removed at once: file systems make their syncs one.
const FILES_AT_ONCE: usize = 8;

impl Engine {
    /// Does the reviews of uploads and copies, and adds them to the report. Answers those that are left to be
    /// done one by one: the others, and all where one of them fails, so that it alone does.
    pub(super) async fn review_several(
        &self,
        due: Vec<GcReview>,
        report: &mut GcReport,
    ) -> Vec<GcReview> {
        let (uploads, rest): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|review| review.kind == ReviewKind::Upload);
        let (copies, mut alone): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|review| review.kind == ReviewKind::Copy);
        for (several, done) in [
            (&uploads, self.settle_several(uploads.clone()).await),
            (&copies, self.remove_several(&copies).await),
        ] {
            match done {
                Ok(verdicts) => verdicts.into_iter().for_each(|verdict| report.add(verdict)),
                // Neither does any of them go well alone.
                Err(error) if is_of_all(&error) => tracing::warn!(
                    %error,
                    "{} reviews failed and will be repeated: {error}", several.len()
                ),
                Err(_) => alone.extend_from_slice(several),
            }
        }
        alone
    }

    async fn settle_several(
        &self,
        reviews: Vec<GcReview>,
    ) -> Result<Vec<ReviewVerdict>, EngineError> {
        if reviews.is_empty() {
            return Ok(Vec::new());
        }
        let (engine, times) = (self.clone(), ReviewTimes::of(self));
        let settled = move |tx: &mut meta::Tx<'_>| {
            reviews.iter().map(|review| settle(&engine, tx, review, times)).collect()
        };
        self.meta.write(settled).await
    }

    /// The files go first, then the rows: a crash between the two leaves rows to look at again.
    async fn remove_several(
        &self,
        reviews: &[GcReview],
    ) -> Result<Vec<ReviewVerdict>, EngineError> {
        let looked_at = reviews.to_vec();
        let look = move |tx: &mut meta::Tx<'_>| {
            let reviews = looked_at.iter().cloned();
            reviews.map(|review| TrashCopy::look(tx, review)).collect::<Result<Vec<_>, _>>()
        };
        if reviews.is_empty() {
            return Ok(Vec::new());
        }
        let copies: Vec<TrashCopy> = stream::iter(self.meta.read(look).await?)
            .map(|copy| self.remove_copy(copy))
            .buffer_unordered(FILES_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let forget = move |tx: &mut meta::Tx<'_>| {
            for copy in &copies {
                gc_queue::finish(tx, &copy.review)?;
                if copy.in_trash {
                    blobs::delete_copy(tx, &copy.id)?;
                }
            }
            let verdict = |copy: &TrashCopy| {
                if copy.in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept }
            };
            Ok::<_, EngineError>(copies.iter().map(verdict).collect())
        };
        self.meta.write(forget).await
    }

    /// Answers the copy when its file is gone. Where it is not, its review stays.
    async fn remove_copy(&self, copy: TrashCopy) -> Option<TrashCopy> {
        if !copy.in_trash {
            return Some(copy);
        }
        match self.blobs.delete(CopyId::from(copy.id.to_bytes())).await {
            Ok(()) => Some(copy),
            Err(error) => {
                tracing::warn!(
                    gc.kind = ReviewKind::Copy.as_str(), gc.id = %copy.id, %error,
                    "the file of copy {} could not be removed yet: {error}", copy.id
                );
                None
            }
        }
    }
}

/// A copy that is reviewed.
struct TrashCopy {
    review: GcReview,
    id: Id,
    in_trash: bool,
}

impl TrashCopy {
    fn look(tx: &mut meta::Tx<'_>, review: GcReview) -> Result<Self, EngineError> {
        let id = parse_id(&review.id)?;
        let in_trash = blobs::find_copy_state(tx, &id)? == Some(CopyState::Trash);
        Ok(Self { review, id, in_trash })
    }
}

/// Whether it is the database that fails, and not what one of the reviews finds there.
fn is_of_all(error: &EngineError) -> bool {
    let EngineError::Database(error) = error else { return false };
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DiskFull | ErrorKind::UnknownOutcome)
}
