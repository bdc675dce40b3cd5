//! Pulls and pushes by day: of images (table `image_days`), of repositories (`repository_days`), and pulls of versions
//! (`pull_counts`). Only work in the background changes existing rows.

use std::collections::BTreeMap;

use crate::{Id, MetaError, SqlRow, Tx, params};

/// The image or the repository that counts belong to, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountedScope {
    /// An image.
    Image(Id),
    /// A repository.
    Repository(Id),
}

/// The pulls and pushes of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCounts {
    /// The day, in days since 1970 in UTC.
    pub day: i64,
    /// The pulls. A pull of a manifest that an index of the image names counts as part of the index's.
    pub pulls: i64,
    /// The pushes of manifests that the image did not hold.
    pub pushes: i64,
}

/// Makes the statement that adds the counts of a day of what a row of `$scopes` stands for.
macro_rules! add_sql {
    ($table:literal, $scope_id:literal, $scopes:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $scope_id,
            ", day, pulls, pushes)
             SELECT id, CAST(?2 AS BIGINT), CAST(?3 AS BIGINT), CAST(?4 AS BIGINT) FROM ",
            $scopes,
            " WHERE id = ?1
             ON CONFLICT (",
            $scope_id,
            ", day) DO UPDATE SET pulls = ",
            $table,
            ".pulls + excluded.pulls,
               pushes = ",
            $table,
            ".pushes + excluded.pushes"
        )
    };
}

/// Pulls and pushes that are not stored yet. All processes store them in one order, so that two of them never wait for
/// each other in a circle.
#[derive(Debug, Default)]
pub struct UnstoredDays(BTreeMap<(CountedScope, i64), DayCounts>);

impl UnstoredDays {
    /// Adds pulls and pushes of a day.
    pub fn add(&mut self, scope: CountedScope, counts: DayCounts) {
        let none = DayCounts { day: counts.day, pulls: 0, pushes: 0 };
        let sum = self.0.entry((scope, counts.day)).or_insert(none);
        sum.pulls += counts.pulls;
        sum.pushes += counts.pushes;
    }

    /// Adds all pulls and pushes to those that are stored. Images and repositories that were deleted in the meantime are
    /// skipped.
    pub fn store(&self, tx: &mut Tx<'_>) -> Result<(), MetaError> {
        for ((scope, day), DayCounts { pulls, pushes, .. }) in &self.0 {
            let (sql, id) = match scope {
                CountedScope::Image(id) => (add_sql!("image_days", "package_id", "packages"), id),
                CountedScope::Repository(id) => {
                    (add_sql!("repository_days", "repository_id", "repositories"), id)
                }
            };
            tx.execute(sql, params![id, *day, *pulls, *pushes])?;
        }
        Ok(())
    }
}

/// Makes the statement that returns the counts of days.
macro_rules! list_sql {
    ($table:literal, $scope_id:literal) => {
        concat!(
            "SELECT day, pulls, pushes FROM ",
            $table,
            " WHERE ",
            $scope_id,
            " = ?1 AND day >= ?2 ORDER BY day"
        )
    };
}

fn read_day(row: &SqlRow<'_>) -> Result<DayCounts, MetaError> {
    Ok(DayCounts { day: row.int(0)?, pulls: row.int(1)?, pushes: row.int(2)? })
}

/// Returns the days from `first` on that had a pull or a push, in their order.
pub fn list(tx: &mut Tx<'_>, scope: CountedScope, first: i64) -> Result<Vec<DayCounts>, MetaError> {
    let (sql, id) = match &scope {
        CountedScope::Image(id) => (list_sql!("image_days", "package_id"), id),
        CountedScope::Repository(id) => (list_sql!("repository_days", "repository_id"), id),
    };
    tx.query(sql, params![id, first], read_day)
}

/// Makes the statement that deletes the oldest days of a table.
macro_rules! forget_sql {
    ($table:literal, $scope_id:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $scope_id,
            ", day) IN
             (SELECT ",
            $scope_id,
            ", day FROM ",
            $table,
            " WHERE day < ?1 ORDER BY day LIMIT ?2)"
        )
    };
}

/// The tables with counts by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayTable {
    /// Pulls and pushes of images.
    Images,
    /// Pulls and pushes of repositories.
    Repositories,
    /// Pulls of versions.
    Versions,
}

impl DayTable {
    /// All tables.
    pub const ALL: [Self; 3] = [Self::Images, Self::Repositories, Self::Versions];

    /// The statement of [`forget`]. A test checks its query plan.
    pub(crate) fn forget_sql(self) -> &'static str {
        match self {
            Self::Images => forget_sql!("image_days", "package_id"),
            Self::Repositories => forget_sql!("repository_days", "repository_id"),
            Self::Versions => forget_sql!("pull_counts", "version_id"),
        }
    }
}

/// Deletes up to `limit` counts of days before `day`. Returns the number of counts deleted.
pub fn forget(tx: &mut Tx<'_>, table: DayTable, day: i64, limit: i64) -> Result<u64, MetaError> {
    tx.execute(table.forget_sql(), params![day, limit])
}
