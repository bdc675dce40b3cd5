//! Long-running operations, which are stored for clients that ask for their result.

use std::time::Duration;

use identity::{Caller, micros};
use meta::Id;
use meta::operations::{self, OperationRow};

use crate::engine::Engine;
use crate::error::EngineError;

/// The time for which an operation is stored: for clients that wait for it, and for those that ask again the next
/// day.
const MAX_OPERATION_AGE: Duration = Duration::from_secs(24 * 3600);

/// Returns the last part of the name of a new operation.
pub fn new_operation_id() -> String {
    Id::random().to_string()
}

impl Engine {
    /// Stores an operation that has ended. The API that stores it chooses the format of the content.
    pub async fn store_operation(
        &self,
        caller: &Caller,
        name: String,
        content: Vec<u8>,
    ) -> Result<(), EngineError> {
        let operation = OperationRow { name, principal: caller.principal.to_string(), content };
        let now = self.clock.now();
        self.write(move |tx| Ok(operations::insert(tx, &operation, now)?)).await
    }

    /// Deletes some old operations. Returns whether all old ones are deleted.
    pub(crate) async fn delete_old_operations(&self) -> Result<bool, EngineError> {
        const ROWS_AT_ONCE: i64 = 500;
        let before = self.clock.now() - micros(MAX_OPERATION_AGE);
        let deleted =
            self.write(move |tx| Ok(operations::delete_old(tx, before, ROWS_AT_ONCE)?)).await?;
        Ok(deleted < ROWS_AT_ONCE as u64)
    }

    /// Returns the content of an operation that the caller started. Operations of other callers are as unknown as
    /// those that do not exist.
    pub async fn find_operation(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<u8>, EngineError> {
        let unknown = || EngineError::ResourceUnknown(format!("Operation {name}"));
        // No operation has another character in its name, and PostgreSQL refuses NUL.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unknown());
        }
        let (wanted, principal) = (name.to_owned(), caller.principal.to_string());
        let operation = self.read_by_key(move |tx| Ok(operations::find(tx, &wanted)?)).await?;
        let own = operation.filter(|operation| operation.principal == principal);
        own.map(|operation| operation.content).ok_or_else(unknown)
    }
}
