//! Table `repositories`: what a repository is and how it is set. Content is in the other tables.

use model::name::RepositoryName;

use crate::{Id, MetaError, Row, Tx, params};

/// A repository as it is loaded for every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The row's id.
    pub id: Id,
    /// Whether manifests may name content that is not here.
    pub sparse: bool,
}

fn repository(row: &Row<'_>) -> Result<Repository, MetaError> {
    Ok(Repository { id: row.id(0)?, sparse: row.bool(1)? })
}

/// The repository of that name.
pub fn find(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Option<Repository>, MetaError> {
    tx.opt(
        "SELECT id, sparse FROM repositories WHERE project = ?1 AND location = ?2 AND name = ?3",
        params![name.project.as_str(), name.location.as_str(), name.repository.as_str()],
        repository,
    )
}

/// Creates the repository, or leaves an existing one as it is. Answers whether it is new.
pub fn insert(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    sparse: bool,
    now: i64,
) -> Result<bool, MetaError> {
    let created = tx.exec(
        "INSERT INTO repositories (id, project, location, name, sparse, size_bytes, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6) ON CONFLICT (project, location, name) DO NOTHING",
        params![
            &Id::new(),
            name.project.as_str(),
            name.location.as_str(),
            name.repository.as_str(),
            sparse,
            now
        ],
    )?;
    Ok(created == 1)
}

/// The bytes that the repository holds: the folded sum and the deltas that wait to be folded.
pub fn size_bytes(tx: &mut Tx<'_>, id: &Id) -> Result<Option<i64>, MetaError> {
    tx.opt(
        "SELECT size_bytes + (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage_deltas WHERE repository_id = ?1)
         FROM repositories WHERE id = ?1",
        params![id],
        |row| row.int(0),
    )
}
