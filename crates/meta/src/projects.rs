//! Table `projects`.

use crate::{Id, MetaError, Row, Tx, params};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id, which people chose.
    pub id: String,
    /// Its number, which nobody chose.
    pub number: i64,
    /// For people.
    pub name: String,
    /// A JSON object of texts.
    pub labels: String,
    /// Whether it can be used.
    pub active: bool,
    /// When it was created.
    pub created_at: i64,
}

fn project(row: &Row<'_>) -> Result<Project, MetaError> {
    Ok(Project {
        id: row.text(0)?,
        number: row.int(1)?,
        name: row.text(2)?,
        labels: row.text(3)?,
        active: row.bool(4)?,
        created_at: row.int(5)?,
    })
}

/// The project of that id, whether it can be used or not.
pub fn find(tx: &mut Tx<'_>, id: &str) -> Result<Option<Project>, MetaError> {
    tx.opt(
        "SELECT id, number, name, labels, state = 'ACTIVE', created_at FROM projects WHERE id = ?1",
        params![id],
        project,
    )
}

/// Creates a project. `false`: the id is taken.
pub fn insert(tx: &mut Tx<'_>, new: &Project) -> Result<bool, MetaError> {
    let inserted = tx.exec(
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

/// The project of that id, made where it is missing.
pub fn ensure(tx: &mut Tx<'_>, id: &str, now: i64) -> Result<(), MetaError> {
    let (name, labels) = (id.to_owned(), "{}".to_owned());
    let id = id.to_owned();
    insert(tx, &Project { id, number: new_number(), name, labels, active: true, created_at: now })?;
    Ok(())
}

/// A number that no project has yet: twelve digits, as in Google's.
pub fn new_number() -> i64 {
    let random = u64::from_le_bytes(Id::random().to_bytes()[..8].try_into().expect("eight bytes"));
    100_000_000_000 + (random % 900_000_000_000) as i64
}

/// Asks for the project's end: nobody can use it any more, and its id stays taken.
pub fn request_delete(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE projects SET state = 'DELETE_REQUESTED' WHERE id = ?1 AND state = 'ACTIVE'",
        params![id],
    )
}

/// Makes a project usable whose end was asked for. Returns how many there were.
pub fn undelete(tx: &mut Tx<'_>, id: &str) -> Result<u64, MetaError> {
    tx.exec("UPDATE projects SET state = 'ACTIVE' WHERE id = ?1 AND state <> 'ACTIVE'", params![id])
}

/// The statement of [`list`], for the test that looks at its plan.
pub const LIST_SQL: &str =
    "SELECT id, number, name, labels, state = 'ACTIVE', created_at FROM projects
     WHERE id > ?1 ORDER BY id LIMIT ?2";

/// The projects after `last`, by id.
pub fn list(tx: &mut Tx<'_>, last: &str, limit: i64) -> Result<Vec<Project>, MetaError> {
    tx.query(LIST_SQL, params![last, limit], project)
}
