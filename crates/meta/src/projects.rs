//! Projects (table `projects`).

use model::list_filter::SortDirection;

use crate::{Id, MetaError, SqlRow, Tx, params};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// The id, which the creator chose.
    pub id: String,
    /// The number, which the server chose at random.
    pub number: i64,
    /// A name for people to read.
    pub name: String,
    /// The labels as a JSON object of texts.
    pub labels: String,
    /// True if the project can be used: its deletion was not requested.
    pub active: bool,
    /// The time of its creation.
    pub created_at: i64,
}

fn read_project(row: &SqlRow<'_>) -> Result<ProjectRow, MetaError> {
    Ok(ProjectRow {
        id: row.text(0)?,
        number: row.int(1)?,
        name: row.text(2)?,
        labels: row.text(3)?,
        active: row.bool(4)?,
        created_at: row.int(5)?,
    })
}

/// Returns the project with this id, active or not.
pub fn find(tx: &mut Tx<'_>, id: &str) -> Result<Option<ProjectRow>, MetaError> {
    tx.query_first(
        "SELECT id, number, name, labels, state = 'ACTIVE', created_at FROM projects WHERE id = ?1",
        params![id],
        read_project,
    )
}

/// Creates a project. Returns `false` if the id is taken.
pub fn insert(tx: &mut Tx<'_>, new: &ProjectRow) -> Result<bool, MetaError> {
    let inserted = tx.execute(
        "INSERT INTO projects (id, number, name, labels, state, created_at)
         VALUES (?1, ?2, ?3, ?4, 'ACTIVE', ?5) ON CONFLICT (id) DO NOTHING",
        params![
            new.id.as_str(),
            new.number,
            new.name.as_str(),
            new.labels.as_str(),
            new.created_at
        ],
    )?;
    Ok(inserted == 1)
}

/// Creates the project with this id if it is missing.
pub fn ensure(tx: &mut Tx<'_>, id: &str, now: i64) -> Result<(), MetaError> {
    let (name, labels) = (id.to_owned(), "{}".to_owned());
    let id = id.to_owned();
    insert(
        tx,
        &ProjectRow { id, number: random_number(), name, labels, active: true, created_at: now },
    )?;
    Ok(())
}

/// Makes a random project number of twelve digits, the length of Google's project numbers.
pub fn random_number() -> i64 {
    let random = u64::from_le_bytes(Id::random().to_bytes()[..8].try_into().expect("eight bytes"));
    100_000_000_000 + (random % 900_000_000_000) as i64
}

/// Requests the deletion of a project. From then on the project cannot be used, but its id stays taken. Returns the
/// number of projects changed, 0 or 1.
pub fn request_delete(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE projects SET state = 'DELETE_REQUESTED' WHERE id = ?1 AND state = 'ACTIVE'",
        params![id],
    )
}

/// Makes a project usable again after its deletion was requested. Returns the number of projects changed, 0 or 1.
pub fn undelete(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE projects SET state = 'ACTIVE' WHERE id = ?1 AND state <> 'ACTIVE'",
        params![id],
    )
}

/// The statements of [`list`]: the ascending and the descending one. A test checks their query plans.
pub(crate) const LIST_SQL: [&str; 2] = [
    "SELECT id, number, name, labels, state = 'ACTIVE', created_at FROM projects
     WHERE id > ?1 ORDER BY id LIMIT ?2",
    "SELECT id, number, name, labels, state = 'ACTIVE', created_at FROM projects
     WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
];

/// Returns the projects after `last`, in the order of their ids.
pub fn list(
    tx: &mut Tx<'_>,
    direction: SortDirection,
    last: &str,
    limit: i64,
) -> Result<Vec<ProjectRow>, MetaError> {
    tx.query(direction.choose(LIST_SQL), params![last, limit], read_project)
}
