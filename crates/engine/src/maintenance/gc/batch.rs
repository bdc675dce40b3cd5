//! Reviews of uploads and their copies, which clients make by the thousand: many in one transaction, so that
//! collection keeps up with the clients.

use blob::CopyId;
use futures_util::{StreamExt, stream};
use meta::blobs::{self, CopyState};
use meta::gc_queue::{self, GcReview, ReviewKind};
use meta::{ErrorKind, Id};

use super::{GcReport, ReviewVerdict, finish_review, parse_id};

use crate::engine::Engine;
use crate::error::EngineError;

/// The number of files that are deleted at once. File systems combine the syncs of such deletions.
const FILES_AT_ONCE: usize = 8;

impl Engine {
    /// Does the reviews of uploads and copies, and adds them to the report. Returns the reviews that are left to be
    /// done one by one: those of other kinds, and all of a kind if one of them fails, so that only that one fails
    /// then.
    pub(super) async fn review_in_batches(
        &self,
        due: Vec<GcReview>,
        report: &mut GcReport,
    ) -> Vec<GcReview> {
        let (uploads, rest): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|review| review.kind == ReviewKind::Upload);
        let (copies, mut alone): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|review| review.kind == ReviewKind::Copy);
        for (several, done) in [
            (&uploads, self.settle_all(uploads.clone()).await),
            (&copies, self.review_copies(&copies).await),
        ] {
            match done {
                Ok(verdicts) => verdicts.into_iter().for_each(|verdict| report.add(verdict)),
                // With such an error, each review would fail on its own as well.
                Err(error) if is_database_failure(&error) => tracing::warn!(
                    %error,
                    "{} reviews failed and will be repeated: {error}", several.len()
                ),
                Err(_) => alone.extend_from_slice(several),
            }
        }
        alone
    }

    async fn settle_all(&self, reviews: Vec<GcReview>) -> Result<Vec<ReviewVerdict>, EngineError> {
        if reviews.is_empty() {
            return Ok(Vec::new());
        }
        let (engine, times) = (self.clone(), self.review_times());
        let finish = move |tx: &mut meta::Tx<'_>| {
            reviews.iter().map(|review| finish_review(&engine, tx, review, times)).collect()
        };
        self.write(finish).await
    }

    /// Reviews copies. The files are deleted first, then the rows: a crash between the two leaves rows that are
    /// reviewed again.
    async fn review_copies(&self, reviews: &[GcReview]) -> Result<Vec<ReviewVerdict>, EngineError> {
        let looked_at = reviews.to_vec();
        let find = move |tx: &mut meta::Tx<'_>| {
            let reviews = looked_at.iter().cloned();
            reviews.map(|review| TrashCopy::find(tx, review)).collect::<Result<Vec<_>, _>>()
        };
        if reviews.is_empty() {
            return Ok(Vec::new());
        }
        let copies: Vec<TrashCopy> = stream::iter(self.read(find).await?)
            .map(|copy| self.delete_copy_file(copy))
            .buffer_unordered(FILES_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let verdicts = self.write(move |tx| {
            for copy in &copies {
                gc_queue::finish(tx, &copy.review)?;
                if copy.in_trash {
                    blobs::delete_copy(tx, &copy.id)?;
                }
            }
            let verdict = |copy: &TrashCopy| {
                if copy.in_trash { ReviewVerdict::File } else { ReviewVerdict::Kept }
            };
            Ok(copies.iter().map(verdict).collect())
        });
        verdicts.await
    }

    /// Deletes the file of a copy in the trash. Returns the copy, or `None` if the file could not be deleted and the
    /// review stays.
    async fn delete_copy_file(&self, copy: TrashCopy) -> Option<TrashCopy> {
        if !copy.in_trash {
            return Some(copy);
        }
        match self.blobs.delete(CopyId::from(copy.id.to_bytes())).await {
            Ok(()) => Some(copy),
            Err(error) => {
                tracing::warn!(
                    gc.kind = ReviewKind::Copy.as_str(), gc.id = %copy.id, %error,
                    "the file of copy {} could not be deleted yet: {error}", copy.id
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
    fn find(tx: &mut meta::Tx<'_>, review: GcReview) -> Result<Self, EngineError> {
        let id = parse_id(&review.id)?;
        let in_trash = blobs::find_copy_state(tx, &id)? == Some(CopyState::Trash);
        Ok(Self { review, id, in_trash })
    }
}

/// Returns `true` if the database fails as a whole, and not because of what one of the reviews finds.
fn is_database_failure(error: &EngineError) -> bool {
    let EngineError::Database(error) = error else { return false };
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DiskFull | ErrorKind::UnknownOutcome)
}
