//! The upstreams of virtual repositories (table `upstreams`). Their order and priorities are in the settings of the
//! virtual repository.

use model::name::RepositoryName;
use model::resource::Resource;

use crate::repositories::repository_name_at;
use crate::{Id, MetaError, SqlRow, Tx, params};

/// An upstream of a virtual repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRow {
    /// The name of the upstream.
    pub upstream: RepositoryName,
    /// The id of the repository that had this name when it was added.
    pub upstream_id: Id,
    /// The principal that added the upstream.
    pub added_by: String,
    /// The time at which the upstream was added.
    pub added_at: i64,
    /// The stop of the upstream by its administrators, if there is one.
    pub stop: Option<UpstreamStop>,
}

/// A stop: the upstream is not read any more by the virtual repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStop {
    /// The principal that stopped the upstream.
    pub by: String,
    /// The time of the stop.
    pub at: i64,
}

fn read_stop(row: &SqlRow<'_>, column: usize) -> Result<Option<UpstreamStop>, MetaError> {
    let (by, at) = (row.opt_text(column)?, row.opt_int(column + 1)?);
    Ok(by.zip(at).map(|(by, at)| UpstreamStop { by, at }))
}

/// Returns the upstreams of a virtual repository.
pub fn list(tx: &mut Tx<'_>, repository: &Id) -> Result<Vec<UpstreamRow>, MetaError> {
    tx.query(
        "SELECT upstream, upstream_id, added_by, added_at, stopped_by, stopped_at FROM upstreams
         WHERE repository_id = ?1 ORDER BY upstream",
        params![repository],
        |row| {
            let Ok(Resource::Repository(upstream)) = row.text(0)?.parse() else {
                return Err(MetaError::corrupt("the name of an upstream"));
            };
            Ok(UpstreamRow {
                upstream,
                upstream_id: row.id(1)?,
                added_by: row.text(2)?,
                added_at: row.int(3)?,
                stop: read_stop(row, 4)?,
            })
        },
    )
}

/// Adds an upstream to a virtual repository.
pub fn insert(tx: &mut Tx<'_>, repository: &Id, new: &UpstreamRow) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO upstreams (repository_id, upstream, upstream_id, added_by, added_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            repository,
            new.upstream.to_string().as_str(),
            &new.upstream_id,
            new.added_by.as_str(),
            new.added_at
        ],
    )?;
    Ok(())
}

/// Takes an upstream out of a virtual repository. Returns the number of upstreams deleted, 0 or 1.
pub fn delete(
    tx: &mut Tx<'_>,
    repository: &Id,
    upstream: &RepositoryName,
) -> Result<u64, MetaError> {
    let sql = "DELETE FROM upstreams WHERE repository_id = ?1 AND upstream = ?2";
    tx.execute(sql, params![repository, upstream.to_string().as_str()])
}

/// Deletes all upstreams of a virtual repository.
pub fn delete_all(tx: &mut Tx<'_>, repository: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM upstreams WHERE repository_id = ?1", params![repository])
}

/// A virtual repository that reads an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualReader {
    /// The name of the virtual repository.
    pub repository: RepositoryName,
    /// The principal that added the upstream.
    pub added_by: String,
    /// The time at which the upstream was added.
    pub added_at: i64,
    /// The stop of the upstream, if there is one.
    pub stop: Option<UpstreamStop>,
}

/// The statement of [`list_readers`]. A test checks its query plan.
pub(crate) const READERS_SQL: &str =
    "SELECT r.project, r.location, r.name, u.added_by, u.added_at, u.stopped_by, u.stopped_at
     FROM upstreams u JOIN repositories r ON r.id = u.repository_id
     WHERE u.upstream_id = ?1 ORDER BY u.repository_id LIMIT ?2";

/// Returns the virtual repositories that read an upstream, the oldest first.
pub fn list_readers(
    tx: &mut Tx<'_>,
    upstream: &Id,
    limit: i64,
) -> Result<Vec<VirtualReader>, MetaError> {
    tx.query(READERS_SQL, params![upstream, limit], |row| {
        Ok(VirtualReader {
            repository: repository_name_at(row, 0)?,
            added_by: row.text(3)?,
            added_at: row.int(4)?,
            stop: read_stop(row, 5)?,
        })
    })
}

/// Stops an upstream for a virtual repository, or lets the repository read it again. Returns the number of upstreams
/// changed: 0 if the repository does not read the upstream.
pub fn set_stop(
    tx: &mut Tx<'_>,
    repository: &Id,
    upstream: &Id,
    stop: Option<&UpstreamStop>,
) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE upstreams SET stopped_by = ?3, stopped_at = ?4
         WHERE repository_id = ?1 AND upstream_id = ?2",
        params![repository, upstream, stop.map(|stop| stop.by.as_str()), stop.map(|stop| stop.at)],
    )
}
