//! The counts of pulls (tables `version_usage` and `pull_counts`), and the folding of `usage_deltas` into counters.

use std::collections::BTreeMap;

use crate::day_counts::{CountedScope, DayCounts, UnstoredDays};
use crate::image_counters;
use crate::usage_deltas::UsageDelta;
use crate::{Id, MetaError, SqlRow, Tx, params};

/// The image to which a pulled version belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PulledImage {
    /// The id of the image.
    pub package: Id,
    /// The id of the repository.
    pub repository: Id,
    /// True if an index of the image names the version. Its pull is part of one of the index.
    pub is_part: bool,
}

/// Adds the pulls of a version that one process has counted since its last call. Returns the image, or `None` for a
/// version that was deleted in the meantime, which is skipped.
pub fn add_pulls(
    tx: &mut Tx<'_>,
    version: &Id,
    day: i64,
    pulls: i64,
    last_pulled_at: i64,
) -> Result<Option<PulledImage>, MetaError> {
    let sql = "SELECT v.package_id, p.repository_id, EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child_id = v.id)
       FROM versions v JOIN packages p ON p.id = v.package_id WHERE v.id = ?1";
    let image = tx.query_first(sql, params![version], |row| {
        Ok(PulledImage { package: row.id(0)?, repository: row.id(1)?, is_part: row.bool(2)? })
    })?;
    if image.is_none() {
        return Ok(None);
    }
    record_last_pull(tx, version, last_pulled_at)?;
    tx.execute(
        "INSERT INTO pull_counts (version_id, day, pulls) VALUES (?1, ?2, ?3)
         ON CONFLICT (version_id, day) DO UPDATE SET pulls = pull_counts.pulls + excluded.pulls",
        params![version, day, pulls],
    )?;
    Ok(image)
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

/// A delta that waits.
struct WaitingDelta {
    id: Id,
    repository: Id,
    package: Option<Id>,
    delta: UsageDelta,
}

fn read_waiting(row: &SqlRow<'_>) -> Result<WaitingDelta, MetaError> {
    let delta = UsageDelta {
        bytes: row.int(3)?,
        images: row.int(4)?,
        versions: row.int(5)?,
        tags: row.int(6)?,
        untagged: row.int(7)?,
        manifest_bytes: row.int(8)?,
        pushes: row.int(9)?,
        pushed_at: row.opt_int(10)?,
        content_changed: row.bool(11)?,
    };
    Ok(WaitingDelta { id: row.id(0)?, repository: row.id(1)?, package: row.opt_id(2)?, delta })
}

/// The statement of [`fold_deltas`]. A test checks its query plan.
pub(crate) const WAITING_SQL: &str =
    "SELECT id, repository_id, package_id, bytes, images, versions, tags, untagged, manifest_bytes, pushes,
       pushed_at, content_changed
     FROM usage_deltas ORDER BY repository_id, package_id LIMIT ?1";

/// The length of a day in microseconds.
const DAY: i64 = 24 * 3600 * 1_000_000;

/// Adds up to `limit` deltas to the counters of their repositories and images, and deletes the deltas. Returns the
/// number of deltas.
pub fn fold_deltas(tx: &mut Tx<'_>, now: i64, limit: i64) -> Result<usize, MetaError> {
    let deltas = tx.query(WAITING_SQL, params![limit], read_waiting)?;
    let mut repositories: BTreeMap<Id, UsageDelta> = BTreeMap::new();
    let mut images: BTreeMap<Id, UsageDelta> = BTreeMap::new();
    let mut days = UnstoredDays::default();
    for WaitingDelta { id, repository, package, delta } in &deltas {
        tx.execute("DELETE FROM usage_deltas WHERE id = ?1", params![id])?;
        repositories.entry(*repository).or_default().add(delta);
        let Some(package) = package else { continue };
        images.entry(*package).or_default().add(delta);
        if let (Some(pushed_at), 1..) = (delta.pushed_at, delta.pushes) {
            let counts = DayCounts { day: pushed_at / DAY, pulls: 0, pushes: delta.pushes };
            days.add(CountedScope::Repository(*repository), counts);
            days.add(CountedScope::Image(*package), counts);
        }
    }
    for (repository, delta) in &repositories {
        tx.execute(
            "UPDATE repositories SET size_bytes = size_bytes + ?2, images = images + ?3,
               pushed_at = CASE WHEN pushed_at IS NULL OR pushed_at < ?4 THEN ?4 ELSE pushed_at END
             WHERE id = ?1",
            params![repository, delta.bytes, delta.images, delta.pushed_at],
        )?;
    }
    for (package, delta) in &images {
        image_counters::add(tx, package, delta, now)?;
    }
    days.store(tx)?;
    Ok(deltas.len())
}
