//! The queue of garbage collection (table `gc_queue`): the content that may have become unreferenced, and the time at
//! which to review it.

use crate::{MetaError, SqlParam, Tx, params};

/// A waiting review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcReview {
    /// The kind of content to review.
    pub kind: String,
    /// The id of that content. Its form depends on the kind.
    pub id: String,
    /// The time before which the review must not run.
    pub review_after: i64,
}

/// Adds reviews of one kind to the queue. A review that waits already is postponed if `review_after` is later than its
/// time. The time of a review never becomes earlier.
pub fn enqueue(
    tx: &mut Tx<'_>,
    kind: &'static str,
    ids: &[String],
    review_after: i64,
) -> Result<(), MetaError> {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let rows: Vec<Vec<SqlParam<'_>>> = sorted
        .iter()
        .map(|id| vec![SqlParam::from(kind), SqlParam::from(*id), SqlParam::from(review_after)])
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
    kind: &'static str,
    id: &str,
    review_after: i64,
    unless_after: i64,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE gc_queue SET review_after = ?3 WHERE kind = ?1 AND id = ?2 AND review_after < ?4",
        params![kind, id, review_after, unless_after],
    )
}

/// Returns the time of the waiting review of this content, if there is one.
pub fn find_review_time(
    tx: &mut Tx<'_>,
    kind: &'static str,
    id: &str,
) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "SELECT review_after FROM gc_queue WHERE kind = ?1 AND id = ?2",
        params![kind, id],
        |row| row.int(0),
    )
}

/// The statement of [`due`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str = "SELECT kind, id, review_after FROM gc_queue
     WHERE review_after <= ?1 AND (review_after, kind, id) > (?2, ?3, ?4)
     ORDER BY review_after, kind, id LIMIT ?5";

/// Returns the due reviews that come after `last`, the longest waiting first.
pub fn list_due(
    tx: &mut Tx<'_>,
    now: i64,
    last: &GcReview,
    limit: i64,
) -> Result<Vec<GcReview>, MetaError> {
    tx.query(
        DUE_SQL,
        params![now, last.review_after, last.kind.as_str(), last.id.as_str(), limit],
        |row| Ok(GcReview { kind: row.text(0)?, id: row.text(1)?, review_after: row.int(2)? }),
    )
}

/// Deletes a review from the queue, unless it was postponed after it was read. Returns whether it was deleted.
pub fn finish(tx: &mut Tx<'_>, review: &GcReview) -> Result<bool, MetaError> {
    let deleted = tx.execute(
        "DELETE FROM gc_queue WHERE kind = ?1 AND id = ?2 AND review_after = ?3",
        params![review.kind.as_str(), review.id.as_str(), review.review_after],
    )?;
    Ok(deleted == 1)
}
