//! The queue of garbage collection (table `gc_queue`): the content that may have become unreferenced, and the time at
//! which to review it.

use std::fmt;

use crate::{MetaError, SqlParam, Tx, params};

/// The kind of content that a review is about. It determines the form of the review's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewKind {
    /// The link that lets a repository read a blob. The id is that of the repository, a `/`, and the digest.
    Link,
    /// A blob that may have lost its last link. The id is its digest.
    Blob,
    /// The bytes of a manifest. The id is the digest.
    Content,
    /// An upload session. The id is its own.
    Upload,
    /// A repository that is being deleted. The id is its own.
    Repository,
    /// An image that is being deleted. The id is its own.
    Package,
    /// A copy in the trash. The id is its own.
    Copy,
}

impl ReviewKind {
    /// Returns the name of the kind in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Blob => "blob",
            Self::Content => "content",
            Self::Upload => "upload",
            Self::Repository => "repository",
            Self::Package => "package",
            Self::Copy => "copy",
        }
    }

    /// Returns the kind with this name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Link,
            Self::Blob,
            Self::Content,
            Self::Upload,
            Self::Repository,
            Self::Package,
            Self::Copy,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for ReviewKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A waiting review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcReview {
    /// The kind of content to review.
    pub kind: ReviewKind,
    /// The id of that content. Its form depends on the kind.
    pub id: String,
    /// The time before which the review must not run.
    pub review_after: i64,
}

/// Adds reviews of one kind to the queue. A review that waits already is postponed if `review_after` is later than its
/// time. The time of a review never becomes earlier.
pub fn enqueue(
    tx: &mut Tx<'_>,
    kind: ReviewKind,
    ids: &[String],
    review_after: i64,
) -> Result<(), MetaError> {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let rows: Vec<Vec<SqlParam<'_>>> = sorted
        .iter()
        .map(|id| {
            vec![SqlParam::from(kind.as_str()), SqlParam::from(*id), SqlParam::from(review_after)]
        })
        .collect();
    // A waiting row is written even if its time stays the same. Otherwise, on PostgreSQL, a review that has just read
    // the row could delete it without having seen the changes of this transaction.
    tx.execute_values(
        "INSERT INTO gc_queue (kind, id, review_after)",
        "ON CONFLICT (kind, id) DO UPDATE SET review_after =
         CASE WHEN gc_queue.review_after < excluded.review_after THEN excluded.review_after
         ELSE gc_queue.review_after END",
        &rows,
    )?;
    Ok(())
}

/// Postpones a waiting review to `review_after`, if its time is before `unless_after`. Returns the number of reviews
/// postponed, 0 or 1.
pub fn postpone(
    tx: &mut Tx<'_>,
    kind: ReviewKind,
    id: &str,
    review_after: i64,
    unless_after: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE gc_queue SET review_after = ?3 WHERE kind = ?1 AND id = ?2 AND review_after < ?4",
        params![kind.as_str(), id, review_after, unless_after],
    )
}

/// Returns the time of the waiting review of this content, if there is one.
pub fn find_review_time(
    tx: &mut Tx<'_>,
    kind: ReviewKind,
    id: &str,
) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "SELECT review_after FROM gc_queue WHERE kind = ?1 AND id = ?2",
        params![kind.as_str(), id],
        |row| row.int(0),
    )
}

/// The statement of [`list_due`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str = "SELECT kind, id, review_after FROM gc_queue
     WHERE review_after <= ?1 AND (review_after, kind, id) > (?2, ?3, ?4)
     ORDER BY review_after, kind, id LIMIT ?5";

/// Returns the due reviews that come after `last`, or the first ones if `last` is `None`, the longest waiting first.
pub fn list_due(
    tx: &mut Tx<'_>,
    now: i64,
    last: Option<&GcReview>,
    limit: i64,
) -> Result<Vec<GcReview>, MetaError> {
    let (review_after, kind, id) = match last {
        Some(last) => (last.review_after, last.kind.as_str(), last.id.as_str()),
        None => (i64::MIN, "", ""),
    };
    tx.query(DUE_SQL, params![now, review_after, kind, id, limit], |row| {
        let kind = ReviewKind::parse(&row.text(0)?);
        Ok(GcReview {
            kind: kind.ok_or_else(|| MetaError::corrupt("the kind of a review"))?,
            id: row.text(1)?,
            review_after: row.int(2)?,
        })
    })
}

/// Deletes a review from the queue, unless it was postponed after it was read. Returns whether it was deleted.
pub fn finish(tx: &mut Tx<'_>, review: &GcReview) -> Result<bool, MetaError> {
    let deleted = tx.execute(
        "DELETE FROM gc_queue WHERE kind = ?1 AND id = ?2 AND review_after = ?3",
        params![review.kind.as_str(), review.id.as_str(), review.review_after],
    )?;
    Ok(deleted == 1)
}
