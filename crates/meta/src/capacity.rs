//! The numbers of repositories, bytes, uploads and reviews, which the operator's metrics show.

use crate::{MetaError, Tx, params};

/// The largest number of rows that one of the numbers counts. The cost of a scrape must not grow with every row that
/// waits.
pub const MAX_COUNTED: i64 = 100_000;

/// The numbers of one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapacityReport {
    /// The number of repositories, including those that are being deleted.
    pub repositories: i64,
    /// The sum of the sizes of all repositories. A blob counts once in each repository that holds it.
    pub repository_bytes: i64,
    /// The number of unfinished upload sessions, up to [`MAX_COUNTED`].
    pub open_uploads: i64,
    /// The number of reviews in the queue of garbage collection, up to [`MAX_COUNTED`].
    pub waiting_reviews: i64,
    /// The number of reviews that are due, up to [`MAX_COUNTED`].
    pub due_reviews: i64,
}

/// Counts the rows. A review is due if its time is `now` or earlier.
pub fn measure(tx: &mut Tx<'_>, now: i64) -> Result<CapacityReport, MetaError> {
    let (repositories, repository_bytes) = tx
        .query_first(
            "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM repositories",
            params![],
            |row| Ok((row.int(0)?, row.int(1)?)),
        )?
        .unwrap_or_default();
    let mut count = |rows: &str, now: Option<i64>| {
        let sql = format!("SELECT count(*) FROM ({rows} LIMIT ?1) AS counted");
        let count = match now {
            Some(now) => tx.query_first(&sql, params![MAX_COUNTED, now], |row| row.int(0)),
            None => tx.query_first(&sql, params![MAX_COUNTED], |row| row.int(0)),
        };
        count.map(Option::unwrap_or_default)
    };
    Ok(CapacityReport {
        repositories,
        repository_bytes,
        open_uploads: count("SELECT 1 FROM uploads WHERE copy_id IS NOT NULL", None)?,
        waiting_reviews: count("SELECT 1 FROM gc_queue", None)?,
        due_reviews: count("SELECT 1 FROM gc_queue WHERE review_after <= ?2", Some(now))?,
    })
}
