//! Repositories and their settings (table `repositories`). Their content is in other tables.

use model::digest::Digest;
use model::name::{Location, ProjectId, RepositoryName};
use model::remote_rules::RemoteRules;
use model::repository::{ModeName, RepositoryMode};

use crate::packages::{hidden_name, shown_name};
use crate::{Id, MetaError, SqlParam, SqlRow, Tx, params};

/// The columns of a repository that every request for its content reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// The id of the repository.
    pub id: Id,
    /// True if manifests may name content that the repository does not hold.
    pub allows_missing_content: bool,
    /// The name of the mode.
    pub mode: ModeName,
    /// True if the repository has rules about downloads.
    pub has_download_rules: bool,
}

fn read_repository(row: &SqlRow<'_>) -> Result<RepositoryRow, MetaError> {
    Ok(RepositoryRow {
        id: row.id(0)?,
        allows_missing_content: row.bool(1)?,
        mode: mode_name_at(row, 2)?,
        has_download_rules: row.int(3)? > 0,
    })
}

pub(crate) fn mode_name_at(row: &SqlRow<'_>, column: usize) -> Result<ModeName, MetaError> {
    let mode = ModeName::parse(row.text_ref(column)?);
    mode.ok_or_else(|| MetaError::corrupt("a repository's mode"))
}

/// Returns the repository with this name.
pub fn find(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Option<RepositoryRow>, MetaError> {
    tx.query_first(
        "SELECT id, sparse, mode, download_rules FROM repositories
         WHERE project = ?1 AND location = ?2 AND name = ?3",
        params![name.project.as_str(), name.location.as_str(), name.repository.as_str()],
        read_repository,
    )
}

/// Returns the mode of a repository, with the upstreams that it reads from.
pub fn find_mode(tx: &mut Tx<'_>, id: &Id) -> Result<Option<RepositoryMode>, MetaError> {
    let sql = "SELECT mode, settings FROM repositories WHERE id = ?1";
    tx.query_first(sql, params![id], |row| {
        RepositoryMode::parse(mode_name_at(row, 0)?, &row.text(1)?)
            .map_err(|_| MetaError::corrupt("a repository's upstreams"))
    })
}

/// Returns the rules of a remote repository.
pub fn find_remote_rules(tx: &mut Tx<'_>, id: &Id) -> Result<Option<RemoteRules>, MetaError> {
    let rules = find_settings(tx, id)?.map(|settings| RemoteRules::parse(&settings)).transpose();
    rules.map_err(|_| MetaError::corrupt("a repository's rules"))
}

/// Returns the settings of a repository, as the JSON of the API.
pub fn find_settings(tx: &mut Tx<'_>, id: &Id) -> Result<Option<String>, MetaError> {
    let sql = "SELECT settings FROM repositories WHERE id = ?1";
    tx.query_first(sql, params![id], |row| row.text(0))
}

/// The number of repositories with an image of one name from which on not all of them are looked at.
pub(crate) const MAX_HOLDERS: i64 = 65;

/// The statement that finds the repositories with an image of one name. A test checks its query plan.
pub(crate) const HOLDERS_SQL: &str = "SELECT repository_id FROM packages WHERE name = ?1 LIMIT ?2";

/// The conditions of [`list_with_image`] and [`list_with_blob`]. A test checks the query plans.
pub(crate) const HOLDING_SQL: [&str; 2] = [
    "SELECT 1 FROM packages p WHERE p.repository_id = r.id AND p.name = ?1",
    "SELECT 1 FROM manifest_refs m WHERE m.repository_id = r.id AND m.blob_digest = ?1",
];

/// Makes a query for those of some repositories for which another query finds a row.
pub(crate) fn holding_sql(condition: &str, count: usize) -> String {
    let numbers: Vec<_> = (2..count + 2).map(|number| format!("?{number}")).collect();
    let numbers = numbers.join(", ");
    format!(
        "SELECT r.id FROM repositories r
         WHERE r.id IN ({numbers}) AND r.state = 'live' AND EXISTS ({condition})"
    )
}

/// Returns the ids of those of some repositories, in any order, that hold an image of this name.
pub fn list_with_image(tx: &mut Tx<'_>, among: &[Id], image: &str) -> Result<Vec<Id>, MetaError> {
    let holders = tx.query(HOLDERS_SQL, params![image, MAX_HOLDERS], |row| row.id(0))?;
    if holders.len() < MAX_HOLDERS as usize {
        return Ok(holders.into_iter().filter(|id| among.contains(id)).collect());
    }
    // Very many repositories have an image of this name, so these are asked one by one.
    list_holding(tx, among, image, HOLDING_SQL[0])
}

/// Returns the ids of those of some repositories, in any order, that hold a manifest which names this blob.
pub fn list_with_blob(
    tx: &mut Tx<'_>,
    among: &[Id],
    digest: &Digest,
) -> Result<Vec<Id>, MetaError> {
    list_holding(tx, among, digest.as_str(), HOLDING_SQL[1])
}

fn list_holding(
    tx: &mut Tx<'_>,
    among: &[Id],
    key: &str,
    condition: &str,
) -> Result<Vec<Id>, MetaError> {
    let Some(last) = among.last() else { return Ok(Vec::new()) };
    // The last id is repeated, so that few different statements have to be prepared.
    let count = among.len().next_power_of_two();
    let ids = among.iter().chain(std::iter::repeat_n(last, count - among.len()));
    let params: Vec<_> =
        std::iter::once(SqlParam::from(key)).chain(ids.map(SqlParam::from)).collect();
    tx.query(&holding_sql(condition, count), &params, |row| row.id(0))
}

/// Creates a repository, or leaves an existing one as it is. Returns whether the repository is new.
pub fn insert(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    sparse: bool,
    now: i64,
) -> Result<bool, MetaError> {
    let created = tx.execute(
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

/// Returns whether a repository exists and is not being deleted. A transaction that adds content asks this first.
pub fn is_live(tx: &mut Tx<'_>, id: &Id) -> Result<bool, MetaError> {
    let sql = "SELECT 1 FROM repositories WHERE id = ?1 AND state = 'live'";
    Ok(tx.query_first(sql, params![id], |row| row.int(0))?.is_some())
}

/// Returns whether the tags of a repository are immutable, and whether it has rules about tags.
///
/// The transaction that would move a tag asks this, and on PostgreSQL the row stays locked until that transaction ends.
/// Serializable isolation alone is not enough: it may order the transaction before a change of the settings that was
/// committed while the transaction ran. An administrator could then see a tag move after the tags became immutable.
pub fn find_tag_mutability(tx: &mut Tx<'_>, id: &Id) -> Result<(bool, bool), MetaError> {
    let lock = tx.for_share();
    let sql = format!("SELECT immutable_tags, tag_rules FROM repositories WHERE id = ?1{lock}");
    let found = tx.query_first(&sql, params![id], |row| Ok((row.bool(0)?, row.int(1)? > 0)))?;
    Ok(found.unwrap_or_default())
}

/// Returns the number of bytes that a repository holds: the sum in its row plus the deltas that are not in the sum yet.
pub fn find_size_bytes(tx: &mut Tx<'_>, id: &Id) -> Result<Option<i64>, MetaError> {
    tx.query_first(
        "SELECT size_bytes + (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage_deltas WHERE repository_id = ?1)
         FROM repositories WHERE id = ?1",
        params![id],
        |row| row.int(0),
    )
}

/// All that the API shows of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryDetails {
    /// The id of the repository.
    pub id: Id,
    /// The name of the repository.
    pub name: RepositoryName,
    /// The name of the mode.
    pub mode: ModeName,
    /// A text for people to read.
    pub description: String,
    /// The labels as a JSON object of texts.
    pub labels: String,
    /// True if the tags are immutable.
    pub immutable_tags: bool,
    /// The other settings of the API as a JSON object. The cleanup policies are among them.
    pub settings: String,
    /// The number of bytes that the repository holds.
    pub size_bytes: i64,
    /// The time of its creation.
    pub created_at: i64,
    /// The time of the last change of its settings.
    pub updated_at: i64,
}

/// Reads the name of a repository from three columns: project, location and name.
pub(crate) fn repository_name_at(
    row: &SqlRow<'_>,
    column: usize,
) -> Result<RepositoryName, MetaError> {
    let corrupt = |_| MetaError::corrupt("a repository's name");
    Ok(RepositoryName {
        project: row.text(column)?.parse().map_err(corrupt)?,
        location: row.text(column + 1)?.parse().map_err(corrupt)?,
        repository: row.text(column + 2)?.parse().map_err(corrupt)?,
    })
}

fn read_details(row: &SqlRow<'_>) -> Result<RepositoryDetails, MetaError> {
    Ok(RepositoryDetails {
        id: row.id(0)?,
        name: repository_name_at(row, 1)?,
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

/// Makes a query for all that the API shows of repositories of a project and location.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.project, r.location, r.name, r.mode, r.description, r.labels, r.immutable_tags, r.settings,
               r.size_bytes + (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM usage_deltas WHERE repository_id = r.id),
               r.created_at, r.updated_at
             FROM repositories r WHERE r.project = ?1 AND r.location = ?2 AND ",
            $rest
        )
    };
}

/// Returns the repository with this name as the API shows it.
pub fn find_details(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
) -> Result<Option<RepositoryDetails>, MetaError> {
    tx.query_first(
        select!("r.name = ?3"),
        params![name.project.as_str(), name.location.as_str(), name.repository.as_str()],
        read_details,
    )
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    select!("r.name > ?3 AND r.state = 'live' ORDER BY r.name LIMIT ?4");

/// Returns the repositories of a project and location whose names sort after `last`, in the order of their names.
pub fn list(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    location: &Location,
    last: &str,
    limit: i64,
) -> Result<Vec<RepositoryDetails>, MetaError> {
    tx.query(LIST_SQL, params![project.as_str(), location.as_str(), last, limit], read_details)
}

/// Writes the settings of a repository. Returns the number of repositories changed, 0 or 1.
pub fn update(tx: &mut Tx<'_>, repository: &RepositoryDetails) -> Result<u64, MetaError> {
    tx.execute(
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

/// Returns the name of a repository. For a hidden one, that is the name before it was hidden.
pub fn find_name(tx: &mut Tx<'_>, id: &Id) -> Result<Option<RepositoryName>, MetaError> {
    let name = tx.query_first(
        "SELECT project, location, name FROM repositories WHERE id = ?1",
        params![id],
        |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?)),
    )?;
    // A repository that an older version of Berth hid has no name any more.
    Ok(name.and_then(|(project, location, name)| {
        Some(RepositoryName {
            project: project.parse().ok()?,
            location: location.parse().ok()?,
            repository: shown_name(&name).parse().ok()?,
        })
    }))
}

/// Hides a repository and frees its name. Its content is deleted afterwards, some at a time. Returns the number of
/// repositories hidden, 0 or 1.
pub fn hide(tx: &mut Tx<'_>, id: &Id, now: i64) -> Result<u64, MetaError> {
    let sql = "SELECT name FROM repositories WHERE id = ?1";
    let Some(name) = tx.query_first(sql, params![id], |row| row.text(0))? else { return Ok(0) };
    // No valid name begins with a dot.
    let hidden = hidden_name(id, &name);
    tx.execute(
        "UPDATE repositories SET state = 'deleting', name = ?2, updated_at = ?3 WHERE id = ?1",
        params![id, hidden.as_str(), now],
    )
}
