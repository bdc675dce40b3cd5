//! The images of repositories (table `packages`).
//!
//! An image that is being deleted is hidden: its name begins with a dot until its rows are deleted. No valid name
//! begins with a dot.

use model::list_filter::SortDirection;
use model::name::{ImagePath, Location};

use crate::{Id, MetaError, SqlRow, Tx, image_counters, params};

/// Returns the id of the image with this name.
pub fn find(tx: &mut Tx<'_>, repository: &Id, image: &str) -> Result<Option<Id>, MetaError> {
    tx.query_first(
        "SELECT id FROM packages WHERE repository_id = ?1 AND name = ?2",
        params![repository, image],
        |row| row.id(0),
    )
}

/// An image that a push found or created.
#[derive(Debug, Clone, Copy)]
pub struct EnsuredPackage {
    /// The id of the image.
    pub id: Id,
    /// True if the image is new.
    pub is_new: bool,
}

/// Returns the image at this path. The image is created if it is missing, with its counters at zero.
pub fn ensure(
    tx: &mut Tx<'_>,
    repository: &Id,
    path: &ImagePath,
    location: &Location,
    now: i64,
) -> Result<EnsuredPackage, MetaError> {
    if let Some(id) = find(tx, repository, path.image.as_str())? {
        return Ok(EnsuredPackage { id, is_new: false });
    }
    let id = Id::new();
    // If a repository of the same name is being deleted, its image may still have the path. That image gets another
    // path, which contains the new id, because the same path may become free many times.
    tx.execute(
        "UPDATE packages SET path = ?4 WHERE location = ?1 AND path = ?2 AND repository_id <> ?3",
        params![location.as_str(), path.path().as_str(), repository, format!("..{id}").as_str()],
    )?;
    tx.execute(
        "INSERT INTO packages (id, repository_id, name, location, path, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![&id, repository, path.image.as_str(), location.as_str(), path.path().as_str(), now],
    )?;
    image_counters::insert(tx, &id)?;
    Ok(EnsuredPackage { id, is_new: true })
}

/// Hides an image and frees its name. Its rows are deleted afterwards, some at a time, its counters at once. Returns the number of images
/// hidden, 0 or 1.
pub fn hide(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    let sql = "SELECT name FROM packages WHERE id = ?1";
    let Some(name) = tx.query_first(sql, params![id], |row| row.text(0))? else { return Ok(0) };
    // No valid name begins with a dot, and '.' sorts before '/' and before the first character of every valid name.
    let hidden = hidden_name(id, &name);
    image_counters::delete(tx, id)?;
    let sql = "UPDATE packages SET name = ?2, path = ?2 WHERE id = ?1";
    tx.execute(sql, params![id, hidden.as_str()])
}

/// Returns the name of an image or a repository after it is hidden. It is not a valid name, it is unique because of the
/// id, and it contains the old name.
pub(crate) fn hidden_name(id: &Id, name: &str) -> String {
    format!(".{id}/{name}")
}

/// Returns the name of an image or a repository. For a hidden one, this is the name before it was hidden. It is empty
/// if an older version of Berth hid the row without keeping the name.
pub(crate) fn shown_name(name: &str) -> &str {
    match name.strip_prefix('.') {
        Some(hidden) => hidden.split_once('/').map_or("", |(_, name)| name),
        None => name,
    }
}

/// The statement of [`is_any_deleting`]. A test checks its query plan.
pub(crate) const DELETING_SQL: &str =
    "SELECT 1 FROM packages WHERE repository_id = ?1 AND name < ?2 ORDER BY name LIMIT 1";

/// Returns whether an image of the repository is being deleted.
pub fn is_any_deleting(tx: &mut Tx<'_>, repository: &Id) -> Result<bool, MetaError> {
    let params = params![repository, BEFORE_SHOWN_NAMES];
    Ok(tx.query_first(DELETING_SQL, params, |row| row.int(0))?.is_some())
}

/// A text that sorts after the names of hidden images and before all other names.
const BEFORE_SHOWN_NAMES: &str = "/";

/// One line of the catalog: the path of an image, and its repository.
#[derive(Debug, Clone)]
pub struct CatalogEntry {
    /// The path PROJECT/REPOSITORY/IMAGE.
    pub path: String,
    /// The id of the project, for the permission check.
    pub project: String,
    /// The name of the repository, for the permission check.
    pub repository: String,
}

/// The statement of [`list_catalog`]. A test checks its query plan.
pub(crate) const CATALOG_SQL: &str = "SELECT p.path, r.project, r.name FROM packages p
     JOIN repositories r ON r.id = p.repository_id
     WHERE p.location = ?1 AND p.path > ?2 AND r.state = 'live' ORDER BY p.path LIMIT ?3";

/// Returns the images of a location whose paths sort after `last`, in byte order of their paths.
pub fn list_catalog(
    tx: &mut Tx<'_>,
    location: &Location,
    last: &str,
    limit: i64,
) -> Result<Vec<CatalogEntry>, MetaError> {
    tx.query(CATALOG_SQL, params![location.as_str(), last.max(BEFORE_SHOWN_NAMES), limit], |row| {
        Ok(CatalogEntry { path: row.text(0)?, project: row.text(1)?, repository: row.text(2)? })
    })
}

/// An image as the API shows it.
#[derive(Debug, Clone)]
pub struct PackageDetails {
    /// The id of the image.
    pub id: Id,
    /// The name of the image.
    pub name: String,
    /// The time at which the first manifest was pushed.
    pub created_at: i64,
    /// The time of the last push of a manifest or of the last change of a tag.
    pub updated_at: i64,
    /// The annotations as a JSON object of texts.
    pub annotations: String,
}

/// Makes a query for the images of a repository, from `packages p`.
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

/// The ascending and the descending statement of [`list`]. A test checks their query plans.
pub(crate) const LIST_SQL: [&str; 2] = [
    select!("p.name > ?2 ORDER BY p.name LIMIT ?3"),
    select!("p.name < ?2 AND p.name > '/' ORDER BY p.name DESC LIMIT ?3"),
];

fn read_package(row: &SqlRow<'_>) -> Result<PackageDetails, MetaError> {
    let (name, created_at, updated_at) = (row.text(1)?, row.int(2)?, row.int(3)?);
    Ok(PackageDetails { id: row.id(0)?, name, created_at, updated_at, annotations: row.text(4)? })
}

/// Returns the images of a repository whose names come after `last` in the given direction.
pub fn list(
    tx: &mut Tx<'_>,
    direction: SortDirection,
    repository: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<PackageDetails>, MetaError> {
    let last = direction.choose([last.max(BEFORE_SHOWN_NAMES), last]);
    tx.query(direction.choose(LIST_SQL), params![repository, last, limit], read_package)
}

/// Returns the image with this name as the API shows it.
pub fn find_details(
    tx: &mut Tx<'_>,
    repository: &Id,
    image: &str,
) -> Result<Option<PackageDetails>, MetaError> {
    tx.query_first(select!("p.name = ?2"), params![repository, image], read_package)
}

/// Sets the annotations of an image. Returns the number of images changed, 0 or 1.
pub fn set_annotations(tx: &mut Tx<'_>, package: &Id, annotations: &str) -> Result<u64, MetaError> {
    let sql = "UPDATE packages SET annotations = ?2 WHERE id = ?1";
    tx.execute(sql, params![package, annotations])
}

/// The statement of [`list_names_between`]. A test checks its query plan.
pub(crate) const BETWEEN_SQL: &str =
    "SELECT name FROM packages WHERE repository_id = ?1 AND name >= ?2 AND name < ?3
     ORDER BY name LIMIT ?4";

/// Returns the names of the images from `from` (included) to `to` (excluded), in byte order.
pub fn list_names_between(
    tx: &mut Tx<'_>,
    repository: &Id,
    from: &str,
    to: &str,
    limit: i64,
) -> Result<Vec<String>, MetaError> {
    tx.query(BETWEEN_SQL, params![repository, from.max(BEFORE_SHOWN_NAMES), to, limit], |row| {
        row.text(0)
    })
}
