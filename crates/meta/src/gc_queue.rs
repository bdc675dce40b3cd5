//! Table `gc_queue`: what may have become unreferenced, and when to look again.

use crate::{MetaError, Param, Tx, params};

/// A waiting review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What sort of thing `id` names.
    pub kind: String,
    /// What to look at.
    pub id: String,
    /// Not before this time.
    pub review_after: i64,
}

/// Asks for reviews of one kind, or puts waiting ones off. Never brings one forward.
pub fn enqueue(
    tx: &mut Tx<'_>,
    kind: &'static str,
    ids: &[String],
    review_after: i64,
) -> Result<(), MetaError> {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let rows: Vec<Vec<Param<'_>>> = sorted
        .iter()
        .map(|id| vec![Param::from(kind), Param::from(*id), Param::from(review_after)])
        .collect();
    // A waiting row is written even where its time stays: a review that has just read it would otherwise end
    // it on PostgreSQL, without having seen what this transaction asks it to look at.
    tx.exec_values(
        "INSERT INTO gc_queue (kind, id, review_after)",
        "ON CONFLICT (kind, id) DO UPDATE SET review_after =
         CASE WHEN gc_queue.review_after < excluded.review_after THEN excluded.review_after
         ELSE gc_queue.review_after END",
        &rows,
    )?;
    Ok(())
}

/// Puts one waiting review off, if it is due before `unless_after`.
pub fn put_off(
    tx: &mut Tx<'_>,
    (kind, id): (&'static str, &str),
    review_after: i64,
    unless_after: i64,
) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE gc_queue SET review_after = ?3 WHERE kind = ?1 AND id = ?2 AND review_after < ?4",
        params![kind, id, review_after, unless_after],
    )
}

/// When a review waits for this id.
pub fn waiting(tx: &mut Tx<'_>, kind: &'static str, id: &str) -> Result<Option<i64>, MetaError> {
    tx.opt(
        "SELECT review_after FROM gc_queue WHERE kind = ?1 AND id = ?2",
        params![kind, id],
        |row| row.int(0),
    )
}

/// The statement of [`due`], for the test that looks at its plan.
pub const DUE_SQL: &str = "SELECT kind, id, review_after FROM gc_queue
     WHERE review_after <= ?1 AND (review_after, kind, id) > (?2, ?3, ?4)
     ORDER BY review_after, kind, id LIMIT ?5";

/// The reviews that are due, after `last`, the longest waiting first.
pub fn due(tx: &mut Tx<'_>, now: i64, last: &Review, limit: i64) -> Result<Vec<Review>, MetaError> {
    tx.query(
        DUE_SQL,
        params![now, last.review_after, last.kind.as_str(), last.id.as_str(), limit],
        |row| Ok(Review { kind: row.text(0)?, id: row.text(1)?, review_after: row.int(2)? }),
    )
}

/// Ends a review, unless it was put off meanwhile. Answers whether it was still as read.
pub fn take(tx: &mut Tx<'_>, review: &Review) -> Result<bool, MetaError> {
    let taken = tx.exec(
        "DELETE FROM gc_queue WHERE kind = ?1 AND id = ?2 AND review_after = ?3",
        params![review.kind.as_str(), review.id.as_str(), review.review_after],
    )?;
    Ok(taken == 1)
}
