//! Table `packages`: the images of a repository.

use model::filter::Direction;
use model::name::{ImagePath, Location};

use crate::{Id, MetaError, Row, Tx, params};

/// The image of that name.
pub fn find(tx: &mut Tx<'_>, repository: &Id, image: &str) -> Result<Option<Id>, MetaError> {
    tx.opt(
        "SELECT id FROM packages WHERE repository_id = ?1 AND name = ?2",
        params![repository, image],
        |row| row.id(0),
    )
}

/// The image of that name, created when it is missing.
pub fn ensure(
    tx: &mut Tx<'_>,
    repository: &Id,
    (path, location): (&ImagePath, &Location),
    now: i64,
) -> Result<Id, MetaError> {
    if let Some(id) = find(tx, repository, path.image.as_str())? {
        return Ok(id);
    }
    let id = Id::new();
    // The path of a repository's image that is being removed is free again, as often as that happens.
    tx.exec(
        "UPDATE packages SET path = ?4 WHERE location = ?1 AND path = ?2 AND repository_id <> ?3",
        params![location.as_str(), path.path().as_str(), repository, format!("..{id}").as_str()],
    )?;
    tx.exec(
        "INSERT INTO packages (id, repository_id, name, location, path, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![&id, repository, path.image.as_str(), location.as_str(), path.path().as_str(), now],
    )?;
    Ok(id)
}

/// Makes an image invisible and its name free. What it holds is removed afterwards, some at a time.
pub fn hide(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    let sql = "SELECT name FROM packages WHERE id = ?1";
    let Some(name) = tx.opt(sql, params![id], |row| row.text(0))? else { return Ok(0) };
    // No name that parses begins with a dot, and '.' stands before '/' and all that names begin with.
    let hidden = hidden_name(id, &name);
    let sql = "UPDATE packages SET name = ?2, path = ?2 WHERE id = ?1";
    tx.exec(sql, params![id, hidden.as_str()])
}

/// What is called otherwise from now on: nothing that anybody can name, and what it was.
pub(crate) fn hidden_name(id: &Id, name: &str) -> String {
    format!(".{id}/{name}")
}

/// What an image or a repository is called, or was before it was hidden.
pub(crate) fn shown_name(name: &str) -> &str {
    match name.strip_prefix('.') {
        Some(hidden) => hidden.split_once('/').map_or("", |(_, name)| name),
        None => name,
    }
}

/// What stands before all images but those that are hidden.
const BEFORE_ALL: &str = "/";

/// One line of the catalog: the image's path and the repository it belongs to.
#[derive(Debug, Clone)]
pub struct CatalogEntry {
    /// PROJECT/REPOSITORY/IMAGE.
    pub path: String,
    /// The project, for the permission check.
    pub project: String,
    /// The repository's name, for the permission check.
    pub repository: String,
}

/// The statement of [`catalog`], for the test that looks at its plan.
pub const CATALOG_SQL: &str = "SELECT p.path, r.project, r.name FROM packages p
     JOIN repositories r ON r.id = p.repository_id
     WHERE p.location = ?1 AND p.path > ?2 AND r.state = 'live' ORDER BY p.path LIMIT ?3";

/// The images of a location after `last`, in byte order of their paths.
pub fn catalog(
    tx: &mut Tx<'_>,
    location: &Location,
    last: &str,
    limit: i64,
) -> Result<Vec<CatalogEntry>, MetaError> {
    tx.query(CATALOG_SQL, params![location.as_str(), last.max(BEFORE_ALL), limit], |row| {
        Ok(CatalogEntry { path: row.text(0)?, project: row.text(1)?, repository: row.text(2)? })
    })
}

/// An image as the APIs list it.
#[derive(Debug, Clone)]
pub struct Package {
    /// The row's id.
    pub id: Id,
    /// The image's name.
    pub name: String,
    /// When the first manifest came.
    pub created_at: i64,
    /// When a manifest last came, or a tag moved.
    pub updated_at: i64,
    /// A JSON object of texts.
    pub annotations: String,
}

/// What is selected of each, from `packages p`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.name, p.created_at, coalesce((SELECT v.updated_at FROM versions v
               WHERE v.package_id = p.id ORDER BY v.updated_at DESC, v.id DESC LIMIT 1), p.created_at),
               p.annotations
             FROM packages p WHERE p.repository_id = ?1 AND ",
            $rest
        )
    };
}

/// The statements of [`list`]: upwards and downwards.
pub const LIST_SQL: [&str; 2] = [
    select!("p.name > ?2 ORDER BY p.name LIMIT ?3"),
    select!("p.name < ?2 AND p.name > '/' ORDER BY p.name DESC LIMIT ?3"),
];

fn package(row: &Row<'_>) -> Result<Package, MetaError> {
    let (name, created_at, updated_at) = (row.text(1)?, row.int(2)?, row.int(3)?);
    Ok(Package { id: row.id(0)?, name, created_at, updated_at, annotations: row.text(4)? })
}

/// The images of a repository that stand after `last`.
pub fn list(
    tx: &mut Tx<'_>,
    direction: Direction,
    repository: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<Package>, MetaError> {
    let last = direction.choose([last.max(BEFORE_ALL), last]);
    tx.query(direction.choose(LIST_SQL), params![repository, last, limit], package)
}

/// The image of that name, as the APIs describe it.
pub fn describe(
    tx: &mut Tx<'_>,
    repository: &Id,
    image: &str,
) -> Result<Option<Package>, MetaError> {
    tx.opt(select!("p.name = ?2"), params![repository, image], package)
}

/// Sets the annotations of an image.
pub fn annotate(tx: &mut Tx<'_>, package: &Id, annotations: &str) -> Result<u64, MetaError> {
    let sql = "UPDATE packages SET annotations = ?2 WHERE id = ?1";
    tx.exec(sql, params![package, annotations])
}

/// The statement of [`between`], for the test that looks at its plan.
pub const BETWEEN_SQL: &str =
    "SELECT name FROM packages WHERE repository_id = ?1 AND name >= ?2 AND name < ?3
     ORDER BY name LIMIT ?4";

/// The images whose names stand in a half-open range, in byte order.
pub fn between(
    tx: &mut Tx<'_>,
    repository: &Id,
    (from, to): (&str, &str),
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(BETWEEN_SQL, params![repository, from.max(BEFORE_ALL), to, limit], |row| row.text(0))
}
