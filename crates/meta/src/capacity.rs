//! How much the registry holds and how much waits, in a few numbers for its operator.

use crate::{MetaError, Tx, params};

/// The most rows that one number counts: a scrape must not cost more with every row that waits.
pub const MAX_COUNTED: i64 = 100_000;

/// The numbers of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The number of repositories, those that are being deleted included.
    pub repositories: i64,
    /// The sizes of all repositories together. A blob counts once in each repository that has it.
    pub repository_bytes: i64,
    /// The number of upload sessions that are not finished, up to [`MAX_COUNTED`].
    pub open_uploads: i64,
    /// The number of reviews in the queue of collection, up to [`MAX_COUNTED`].
    pub waiting_reviews: i64,
    /// The number of those that are due at the time of the look, up to [`MAX_COUNTED`].
    pub due_reviews: i64,
}

/// Counts what there is at the time `now`.
pub fn measure(tx: &mut Tx<'_>, now: i64) -> Result<Capacity, MetaError> {
    let (repositories, repository_bytes) = tx
        .opt(
            "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM repositories",
            params![],
            |row| Ok((row.int(0)?, row.int(1)?)),
        )?
        .unwrap_or_default();
    let mut count = |rows: &str, now: Option<i64>| {
        let sql = format!("SELECT count(*) FROM ({rows} LIMIT ?1) AS counted");
        let count = match now {
            Some(now) => tx.opt(&sql, params![MAX_COUNTED, now], |row| row.int(0)),
            None => tx.opt(&sql, params![MAX_COUNTED], |row| row.int(0)),
        };
        count.map(Option::unwrap_or_default)
    };
    Ok(Capacity {
        repositories,
        repository_bytes,
        open_uploads: count("SELECT 1 FROM uploads WHERE copy_id IS NOT NULL", None)?,
        waiting_reviews: count("SELECT 1 FROM gc_queue", None)?,
        due_reviews: count("SELECT 1 FROM gc_queue WHERE review_after <= ?2", Some(now))?,
    })
}
