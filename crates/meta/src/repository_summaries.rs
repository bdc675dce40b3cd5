//! Repositories and projects as the console lists them: how much they hold, and when something was pushed last.

use std::collections::BTreeMap;

use model::list_filter::SortDirection;
use model::name::{ProjectId, RepositoryName};
use model::repository::ModeName;

use crate::repositories::{mode_name_at, repository_name_at};
use crate::{Id, KeyList, MetaError, SqlParam, SqlRow, Tx, params};

/// A repository with its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySummary {
    /// The id of the repository.
    pub id: Id,
    /// The name of the repository.
    pub name: RepositoryName,
    /// The name of the mode.
    pub mode: ModeName,
    /// True if the tags are immutable.
    pub immutable_tags: bool,
    /// The number of images. A virtual repository has none of its own.
    pub images: i64,
    /// The number of bytes that the repository holds. Blobs that images share count once.
    pub stored_bytes: i64,
    /// The time of the last push of a manifest.
    pub last_push: Option<i64>,
}

/// The statement of [`read`], up to the list of ids. A test checks its query plan.
pub(crate) const READ_SQL: &str =
    "SELECT r.id, r.project, r.location, r.name, r.mode, r.immutable_tags,
       r.images + (SELECT CAST(coalesce(sum(d.images), 0) AS BIGINT) FROM usage_deltas d WHERE d.repository_id = r.id),
       r.size_bytes + (SELECT CAST(coalesce(sum(d.bytes), 0) AS BIGINT) FROM usage_deltas d WHERE d.repository_id = r.id),
       r.pushed_at, (SELECT max(d.pushed_at) FROM usage_deltas d WHERE d.repository_id = r.id)
     FROM repositories r WHERE r.state = ?1 AND r.id IN";

fn read_summary(row: &SqlRow<'_>) -> Result<RepositorySummary, MetaError> {
    Ok(RepositorySummary {
        id: row.id(0)?,
        name: repository_name_at(row, 1)?,
        mode: mode_name_at(row, 4)?,
        immutable_tags: row.bool(5)?,
        images: row.int(6)?,
        stored_bytes: row.int(7)?,
        last_push: row.opt_int(8)?.max(row.opt_int(9)?),
    })
}

/// Returns repositories with their counters, in the order of their ids in `repositories`. Those that are not there are
/// left out.
pub fn read(tx: &mut Tx<'_>, repositories: &[Id]) -> Result<Vec<RepositorySummary>, MetaError> {
    let keys: Vec<_> = repositories.iter().map(SqlParam::from).collect();
    let rows = tx.query_keys(
        KeyList { select: READ_SQL, first: "live".into(), keys: &keys },
        read_summary,
    )?;
    let mut found: BTreeMap<Id, RepositorySummary> =
        rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(repositories.iter().filter_map(|id| found.remove(id)).collect())
}

/// A repository in the list of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRepository {
    /// The id of the repository.
    pub id: Id,
    /// The last part of the repository's name.
    pub name: String,
    /// The location of the repository.
    pub location: String,
}

/// A position in the list of the repositories of a project.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryPosition<'a> {
    /// The last part of the repository's name.
    pub name: &'a str,
    /// The location of the repository.
    pub location: &'a str,
}

/// The statements of [`list`]: the ascending and the descending one. A test checks their query plans.
pub(crate) const LIST_SQL: [&str; 2] = [
    "SELECT id, name, location FROM repositories
     WHERE project = ?1 AND (name, location) > (?2, ?3) AND state = 'live' ORDER BY name, location LIMIT ?4",
    "SELECT id, name, location FROM repositories
     WHERE project = ?1 AND (name, location) < (?2, ?3) AND state = 'live'
     ORDER BY name DESC, location DESC LIMIT ?4",
];

/// Returns the repositories of a project, of all locations, after a position, in the order of name and location.
pub fn list(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    direction: SortDirection,
    last: RepositoryPosition<'_>,
    limit: i64,
) -> Result<Vec<ListedRepository>, MetaError> {
    let params = params![project.as_str(), last.name, last.location, limit];
    tx.query(direction.choose(LIST_SQL), params, |row| {
        Ok(ListedRepository { id: row.id(0)?, name: row.text(1)?, location: row.text(2)? })
    })
}

/// The content of all repositories of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectContent {
    /// The number of repositories.
    pub repositories: i64,
    /// The number of bytes that the repositories hold, without the changes of the last half minute.
    pub stored_bytes: i64,
    /// The time of the last push of a manifest, without the changes of the last half minute.
    pub last_push: Option<i64>,
}

/// The statement of [`sum_project`]. A test checks its query plan.
pub(crate) const PROJECT_SQL: &str =
    "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT), max(pushed_at)
     FROM repositories WHERE project = ?1 AND state = 'live'";

/// Adds up what the repositories of a project hold.
pub fn sum_project(tx: &mut Tx<'_>, project: &ProjectId) -> Result<ProjectContent, MetaError> {
    let found = tx.query_first(PROJECT_SQL, params![project.as_str()], |row| {
        Ok(ProjectContent {
            repositories: row.int(0)?,
            stored_bytes: row.int(1)?,
            last_push: row.opt_int(2)?,
        })
    })?;
    Ok(found.unwrap_or_default())
}
