//! Table `operations`: what long-running operations came to.

use crate::{MetaError, Tx, params};

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its resource name.
    pub name: String,
    /// Who started it.
    pub principal: String,
    /// What it came to, in the form that its surface chose.
    pub content: Vec<u8>,
}

/// Writes an operation down.
pub fn insert(tx: &mut Tx<'_>, operation: &Operation, now: i64) -> Result<(), MetaError> {
    tx.exec(
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

/// The statement of [`forget`], for the test that looks at its plan.
pub const FORGET_SQL: &str = "DELETE FROM operations WHERE name IN
     (SELECT name FROM operations WHERE created_at < ?1 ORDER BY created_at, name LIMIT ?2)";

/// Removes the oldest of those that were written before a time, and answers how many.
pub fn forget(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64, MetaError> {
    tx.exec(FORGET_SQL, params![before, limit])
}

/// The operation of that name.
pub fn find(tx: &mut Tx<'_>, name: &str) -> Result<Option<Operation>, MetaError> {
    tx.opt(
        "SELECT name, principal, content FROM operations WHERE name = ?1",
        params![name],
        |row| Ok(Operation { name: row.text(0)?, principal: row.text(1)?, content: row.bytes(2)? }),
    )
}
