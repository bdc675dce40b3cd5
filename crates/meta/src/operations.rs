//! The results of long-running operations (table `operations`).

use crate::{MetaError, Tx, params};

/// A long-running operation that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// The resource name of the operation.
    pub name: String,
    /// The principal that started the operation.
    pub principal: String,
    /// The result, in the encoding that the API chose.
    pub content: Vec<u8>,
}

/// Stores an operation.
pub fn insert(tx: &mut Tx<'_>, operation: &OperationRow, now: i64) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO operations (name, principal, content, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![
            operation.name.as_str(),
            operation.principal.as_str(),
            operation.content.as_slice(),
            now
        ],
    )?;
    Ok(())
}

/// The statement of [`delete_old`]. A test checks its query plan.
pub(crate) const FORGET_SQL: &str = "DELETE FROM operations WHERE name IN
     (SELECT name FROM operations WHERE created_at < ?1 ORDER BY created_at, name LIMIT ?2)";

/// Deletes up to `limit` operations that were stored before a time, the oldest first. Returns the number deleted.
pub fn delete_old(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64, MetaError> {
    tx.execute(FORGET_SQL, params![before, limit])
}

/// Returns the operation with this name.
pub fn find(tx: &mut Tx<'_>, name: &str) -> Result<Option<OperationRow>, MetaError> {
    tx.query_first(
        "SELECT name, principal, content FROM operations WHERE name = ?1",
        params![name],
        |row| {
            Ok(OperationRow { name: row.text(0)?, principal: row.text(1)?, content: row.bytes(2)? })
        },
    )
}
