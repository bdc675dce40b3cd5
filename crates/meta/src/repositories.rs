//! Table `repositories`: what a repository is and how it is set. Content is in the other tables.

use model::name::{Location, ProjectId, RepositoryName};
use model::repository::{ModeName, RepositoryMode};

use crate::packages::{hidden_name, shown_name};
use crate::{Id, MetaError, Row, Tx, params};

/// A repository as it is loaded for every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The row's id.
    pub id: Id,
    /// Whether manifests may name content that is not here.
    pub sparse: bool,
    /// The mode, with the upstreams that it reads from.
    pub mode: RepositoryMode,
    /// Whether there are rules about downloads.
    pub has_download_rules: bool,
}

fn repository(row: &Row<'_>) -> Result<Repository, MetaError> {
    Ok(Repository {
        id: row.id(0)?,
        sparse: row.bool(1)?,
        mode: mode_at(row, 2)?,
        has_download_rules: row.int(4)? > 0,
    })
}

/// The mode that stands in two columns: its name, and the document that it is read from.
fn mode_at(row: &Row<'_>, column: usize) -> Result<RepositoryMode, MetaError> {
    match mode_name_at(row, column)? {
        ModeName::Standard => Ok(RepositoryMode::Standard),
        mode => RepositoryMode::parse(mode, &row.text(column + 1)?)
            .map_err(|_| MetaError::corrupt("a repository's upstreams")),
    }
}

fn mode_name_at(row: &Row<'_>, column: usize) -> Result<ModeName, MetaError> {
    let mode = ModeName::parse(&row.text(column)?);
    mode.ok_or_else(|| MetaError::corrupt("a repository's mode"))
}

/// The repository of that name.
pub fn find(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Option<Repository>, MetaError> {
    tx.opt(
        "SELECT id, sparse, mode, CASE mode WHEN 'STANDARD_REPOSITORY' THEN '' ELSE settings END, download_rules
         FROM repositories
         WHERE project = ?1 AND location = ?2 AND name = ?3",
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

/// Whether it is there, and not being removed. Asked in the transaction that would put something into it.
pub fn is_live(tx: &mut Tx<'_>, id: &Id) -> Result<bool, MetaError> {
    let sql = "SELECT 1 FROM repositories WHERE id = ?1 AND state = 'live'";
    Ok(tx.opt(sql, params![id], |row| row.int(0))?.is_some())
}

/// Whether its tags stay where they are, and whether there are rules about that. Asked in the transaction that would
/// move one, and so until that is decided: serializable transactions alone may be put before a change that was answered
/// while they ran, and whoever made it would see a tag move afterwards.
pub fn tag_mutability(tx: &mut Tx<'_>, id: &Id) -> Result<(bool, bool), MetaError> {
    let lock = tx.for_share();
    let sql = format!("SELECT immutable_tags, tag_rules FROM repositories WHERE id = ?1{lock}");
    let found = tx.opt(&sql, params![id], |row| Ok((row.bool(0)?, row.int(1)? > 0)))?;
    Ok(found.unwrap_or_default())
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

/// A repository as it is administered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The row's id.
    pub id: Id,
    /// Its name.
    pub name: RepositoryName,
    /// The name of its mode.
    pub mode: ModeName,
    /// For people.
    pub description: String,
    /// A JSON object of texts.
    pub labels: String,
    /// Whether tags stay where they are.
    pub immutable_tags: bool,
    /// A JSON object of what nothing here acts on.
    pub settings: String,
    /// How many bytes it holds.
    pub size_bytes: i64,
    /// When it was created.
    pub created_at: i64,
    /// When it was last set.
    pub updated_at: i64,
}

/// The name that stands in three columns.
pub(crate) fn name_at(row: &Row<'_>, column: usize) -> Result<RepositoryName, MetaError> {
    let corrupt = |_| MetaError::corrupt("a repository's name");
    Ok(RepositoryName {
        project: row.text(column)?.parse().map_err(corrupt)?,
        location: row.text(column + 1)?.parse().map_err(corrupt)?,
        repository: row.text(column + 2)?.parse().map_err(corrupt)?,
    })
}

fn described(row: &Row<'_>) -> Result<Described, MetaError> {
    Ok(Described {
        id: row.id(0)?,
        name: name_at(row, 1)?,
        mode: mode_name_at(row, 4)?,
        description: row.text(5)?,
        labels: row.text(6)?,
        immutable_tags: row.bool(7)?,
        settings: row.text(8)?,
        size_bytes: row.int(9)?,
        created_at: row.int(10)?,
        updated_at: row.int(11)?,
    })
}

/// What a repository is.
pub fn describe(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Option<Described>, MetaError> {
    tx.opt(
        "SELECT r.id, r.project, r.location, r.name, r.mode, r.description, r.labels, r.immutable_tags, r.settings,
           r.size_bytes + (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage_deltas WHERE repository_id = r.id),
           r.created_at, r.updated_at
         FROM repositories r WHERE r.project = ?1 AND r.location = ?2 AND r.name = ?3",
        params![name.project.as_str(), name.location.as_str(), name.repository.as_str()],
        described,
    )
}

/// The statement of [`list`], for the test that looks at its plan.
pub const LIST_SQL: &str =
    "SELECT r.id, r.project, r.location, r.name, r.mode, r.description, r.labels, r.immutable_tags, r.settings,
       r.size_bytes + (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage_deltas WHERE repository_id = r.id),
       r.created_at, r.updated_at
     FROM repositories r WHERE r.project = ?1 AND r.location = ?2 AND r.name > ?3 AND r.state = 'live'
     ORDER BY r.name LIMIT ?4";

/// The repositories of a project's location after `last`, by name.
pub fn list(
    tx: &mut Tx<'_>,
    (project, location): (&ProjectId, &Location),
    last: &str,
    limit: i64,
) -> Result<Vec<Described>, MetaError> {
    tx.query(LIST_SQL, params![project.as_str(), location.as_str(), last, limit], described)
}

/// Writes what is set on a repository.
pub fn set(tx: &mut Tx<'_>, repository: &Described) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE repositories SET mode = ?4, description = ?5, labels = ?6, immutable_tags = ?7, settings = ?8,
           updated_at = ?9
         WHERE project = ?1 AND location = ?2 AND name = ?3",
        params![
            repository.name.project.as_str(),
            repository.name.location.as_str(),
            repository.name.repository.as_str(),
            repository.mode.as_str(),
            repository.description.as_str(),
            repository.labels.as_str(),
            repository.immutable_tags,
            repository.settings.as_str(),
            repository.updated_at
        ],
    )
}

/// What a repository is called, or was before it was hidden.
pub fn shown(tx: &mut Tx<'_>, id: &Id) -> Result<Option<RepositoryName>, MetaError> {
    let name = tx.opt(
        "SELECT project, location, name FROM repositories WHERE id = ?1",
        params![id],
        |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?)),
    )?;
    // One that an older berth has hidden forgot its name.
    Ok(name.and_then(|(project, location, name)| {
        Some(RepositoryName {
            project: project.parse().ok()?,
            location: location.parse().ok()?,
            repository: shown_name(&name).parse().ok()?,
        })
    }))
}

/// Makes a repository invisible and its name free. What it holds is removed afterwards, some at a time.
pub fn hide(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    let sql = "SELECT name FROM repositories WHERE id = ?1";
    let Some(name) = tx.opt(sql, params![id], |row| row.text(0))? else { return Ok(0) };
    // No name that parses begins with a dot.
    let hidden = hidden_name(id, &name);
    tx.exec(
        "UPDATE repositories SET state = 'deleting', name = ?2, updated_at = ?3 WHERE id = ?1",
        params![id, hidden.as_str(), now],
    )
}
