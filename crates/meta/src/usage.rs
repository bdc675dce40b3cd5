//! The counts of pulls and of stored bytes (tables `version_usage`, `pull_counts` and `usage_deltas`). Changes of a
//! size are inserted as new rows, so that concurrent transactions do not all update the row of the repository.

use crate::{Id, MetaError, Tx, params};

/// Adds the pulls of a version that one process has counted since its last call. A version that was deleted in the
/// meantime is skipped.
pub fn add_pulls(
    tx: &mut Tx<'_>,
    version: &Id,
    day: i64,
    pulls: i64,
    last_pulled_at: i64,
) -> Result<(), MetaError> {
    let exists =
        tx.query_first("SELECT id FROM versions WHERE id = ?1", params![version], |row| row.id(0))?;
    if exists.is_none() {
        return Ok(());
    }
    record_last_pull(tx, version, last_pulled_at)?;
    tx.execute(
        "INSERT INTO pull_counts (version_id, day, pulls) VALUES (?1, ?2, ?3)
         ON CONFLICT (version_id, day) DO UPDATE SET pulls = pull_counts.pulls + excluded.pulls",
        params![version, day, pulls],
    )?;
    Ok(())
}

/// Records the pull of an index as a pull of the manifests that it names: at most `limit` of them, after the position
/// `after`. Returns the position of the last one if there may be more.
pub fn record_pulls_of_children(
    tx: &mut Tx<'_>,
    index: &Id,
    after: i64,
    limit: i64,
    last_pulled_at: i64,
) -> Result<Option<i64>, MetaError> {
    let children = tx.query(
        "SELECT position, child_id FROM manifest_refs
         WHERE version_id = ?1 AND position > ?2 AND child_id IS NOT NULL ORDER BY position LIMIT ?3",
        params![index, after, limit],
        |row| Ok((row.int(0)?, row.id(1)?)),
    )?;
    for (_, child) in &children {
        record_last_pull(tx, child, last_pulled_at)?;
    }
    let last = children.last().map(|(position, _)| *position);
    Ok(last.filter(|_| children.len() as i64 == limit))
}

/// Records the time of the last pull of a version, unless a later time is recorded. The version must exist.
fn record_last_pull(tx: &mut Tx<'_>, version: &Id, last_pulled_at: i64) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO version_usage (version_id, last_pulled_at) VALUES (?1, ?2)
         ON CONFLICT (version_id) DO UPDATE SET last_pulled_at = excluded.last_pulled_at
         WHERE version_usage.last_pulled_at < excluded.last_pulled_at",
        params![version, last_pulled_at],
    )?;
    Ok(())
}

/// Returns the time of the last pull of a version.
pub fn find_last_pull(tx: &mut Tx<'_>, version: &Id) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "SELECT last_pulled_at FROM version_usage WHERE version_id = ?1",
        params![version],
        |row| row.int(0),
    )
}

/// Returns the days (since 1970 in UTC) on which a version was pulled, each with the number of pulls.
pub fn list_pulls_by_day(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<(i64, i64)>, MetaError> {
    tx.query(
        "SELECT day, pulls FROM pull_counts WHERE version_id = ?1 ORDER BY day",
        params![version],
        |row| Ok((row.int(0)?, row.int(1)?)),
    )
}

/// Records that a repository grew or shrank by a number of bytes.
pub fn add_delta(tx: &mut Tx<'_>, repository: &Id, bytes: i64) -> Result<(), MetaError> {
    if bytes == 0 {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO usage_deltas (id, repository_id, bytes) VALUES (?1, ?2, ?3)",
        params![&Id::new(), repository, bytes],
    )?;
    Ok(())
}

/// Adds up to `limit` deltas to the sizes of their repositories and deletes the deltas. Returns the number of deltas.
pub fn fold_deltas(tx: &mut Tx<'_>, limit: i64) -> Result<usize, MetaError> {
    let deltas = tx.query(
        "SELECT id, repository_id, bytes FROM usage_deltas ORDER BY repository_id, id LIMIT ?1",
        params![limit],
        |row| Ok((row.id(0)?, row.id(1)?, row.int(2)?)),
    )?;
    let mut sums: Vec<(Id, i64)> = Vec::new();
    for (id, repository, bytes) in &deltas {
        tx.execute("DELETE FROM usage_deltas WHERE id = ?1", params![id])?;
        match sums.last_mut() {
            Some((last, sum)) if last == repository => *sum += bytes,
            _ => sums.push((*repository, *bytes)),
        }
    }
    for (repository, bytes) in sums {
        tx.execute(
            "UPDATE repositories SET size_bytes = size_bytes + ?2 WHERE id = ?1",
            params![&repository, bytes],
        )?;
    }
    Ok(deltas.len())
}
