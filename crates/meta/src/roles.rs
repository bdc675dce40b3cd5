//! The custom roles (table `roles`).

use crate::{MetaError, SqlRow, Tx, params};

/// A custom role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// The name of the organization or of the project.
    pub parent: String,
    /// The id, which is unique below the parent.
    pub id: String,
    /// A name for people to read.
    pub title: String,
    /// A text for people to read.
    pub description: String,
    /// The name of the launch stage.
    pub stage: String,
    /// The names of the permissions, as JSON.
    pub permissions: String,
    /// A value that is different after each change of the role.
    pub etag: Vec<u8>,
    /// The time of the last change.
    pub updated_at: i64,
    /// The time at which the role was deleted, or `None`.
    pub deleted_at: Option<i64>,
}

fn read_role(row: &SqlRow<'_>) -> Result<RoleRow, MetaError> {
    Ok(RoleRow {
        parent: row.text(0)?,
        id: row.text(1)?,
        title: row.text(2)?,
        description: row.text(3)?,
        stage: row.text(4)?,
        permissions: row.text(5)?,
        etag: row.bytes(6)?,
        updated_at: row.int(7)?,
        deleted_at: row.opt_int(8)?,
    })
}

/// Returns a role, deleted or not.
pub fn find(tx: &mut Tx<'_>, parent: &str, id: &str) -> Result<Option<RoleRow>, MetaError> {
    tx.query_first(
        "SELECT parent, id, title, description, stage, permissions, etag, updated_at, deleted_at
         FROM roles WHERE parent = ?1 AND id = ?2",
        params![parent, id],
        read_role,
    )
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str =
    "SELECT parent, id, title, description, stage, permissions, etag, updated_at, deleted_at
     FROM roles WHERE parent = ?1 AND id > ?2 AND (deleted_at IS NULL OR deleted_at > ?3)
     ORDER BY id LIMIT ?4";

/// Returns the roles of a parent whose ids sort after `last`, in the order of their ids. A deleted role is among them if
/// it was deleted after `deleted_after`.
pub fn list(
    tx: &mut Tx<'_>,
    parent: &str,
    last: &str,
    deleted_after: i64,
    limit: i64,
) -> Result<Vec<RoleRow>, MetaError> {
    tx.query(LIST_SQL, params![parent, last, deleted_after, limit], read_role)
}

/// Returns the number of the roles that [`list`] returns without a limit.
pub fn count(tx: &mut Tx<'_>, parent: &str, deleted_after: i64) -> Result<i64, MetaError> {
    let count = tx.query_first(
        "SELECT count(*) FROM roles WHERE parent = ?1 AND (deleted_at IS NULL OR deleted_at > ?2)",
        params![parent, deleted_after],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// Creates a role. Returns `false` if the id is taken, by a deleted role too.
pub fn insert(tx: &mut Tx<'_>, new: &RoleRow) -> Result<bool, MetaError> {
    let inserted = tx.execute(
        "INSERT INTO roles
           (parent, id, title, description, stage, permissions, etag, updated_at, deleted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (parent, id) DO NOTHING",
        params![
            new.parent.as_str(),
            new.id.as_str(),
            new.title.as_str(),
            new.description.as_str(),
            new.stage.as_str(),
            new.permissions.as_str(),
            new.etag.as_slice(),
            new.updated_at,
            new.deleted_at
        ],
    )?;
    Ok(inserted == 1)
}

/// Writes all of a role that exists. Returns the number of roles changed, 0 or 1.
pub fn update(tx: &mut Tx<'_>, role: &RoleRow) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE roles SET title = ?3, description = ?4, stage = ?5, permissions = ?6, etag = ?7,
           updated_at = ?8, deleted_at = ?9
         WHERE parent = ?1 AND id = ?2",
        params![
            role.parent.as_str(),
            role.id.as_str(),
            role.title.as_str(),
            role.description.as_str(),
            role.stage.as_str(),
            role.permissions.as_str(),
            role.etag.as_slice(),
            role.updated_at,
            role.deleted_at
        ],
    )
}

/// The statement of [`find_deleted_before`]. A test checks its query plan.
pub(crate) const DELETED_BEFORE_SQL: &str =
    "SELECT parent, id, title, description, stage, permissions, etag, updated_at, deleted_at
     FROM roles WHERE deleted_at IS NOT NULL AND deleted_at <= ?1 ORDER BY deleted_at LIMIT 1";

/// Returns the role that was deleted first, if that was at `time` or before.
pub fn find_deleted_before(tx: &mut Tx<'_>, time: i64) -> Result<Option<RoleRow>, MetaError> {
    tx.query_first(DELETED_BEFORE_SQL, params![time], read_role)
}

/// Deletes the row of a role. Returns the number of rows deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, parent: &str, id: &str) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM roles WHERE parent = ?1 AND id = ?2", params![parent, id])
}
