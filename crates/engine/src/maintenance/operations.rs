//! Long-running operations, kept for those who ask again.

use std::time::Duration;

use identity::{Caller, micros};
use meta::Id;
use meta::operations::{self, OperationRow};

use crate::engine::Engine;
use crate::error::EngineError;

/// How long an operation is kept: clients ask for it while they wait, and those who come back the next day.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// The last part of a new operation's name.
pub fn new_operation_id() -> String {
    Id::random().to_string()
}

impl Engine {
    /// Keeps an operation that is over. Its content is the surface's own.
    pub async fn keep_operation(
        &self,
        caller: &Caller,
        name: String,
        content: Vec<u8>,
    ) -> Result<(), EngineError> {
        let operation = OperationRow { name, principal: caller.principal.to_string(), content };
        let now = self.clock.now();
        self.meta
            .write(move |tx| Ok::<_, EngineError>(operations::insert(tx, &operation, now)?))
            .await
    }

    /// Forgets some that are old. Answers whether that was all.
    pub(crate) async fn forget_operations(&self) -> Result<bool, EngineError> {
        const SLICE: i64 = 500;
        let before = self.clock.now() - micros(KEPT_FOR);
        let forgotten = self
            .meta
            .write(move |tx| Ok::<_, EngineError>(operations::delete_old(tx, before, SLICE)?))
            .await?;
        Ok(forgotten < SLICE as u64)
    }

    /// An operation that the caller started. Anybody else's is as unknown as one that never was.
    pub async fn operation(&self, caller: &Caller, name: &str) -> Result<Vec<u8>, EngineError> {
        let unknown = || EngineError::ResourceUnknown(format!("Operation {name}"));
        // No name of ours holds anything else, and PostgreSQL takes no NUL.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unknown());
        }
        let (wanted, principal) = (name.to_owned(), caller.principal.to_string());
        let found = self
            .meta
            .read_by_key(move |tx| Ok::<_, EngineError>(operations::find(tx, &wanted)?))
            .await?;
        let found = found.filter(|operation| operation.principal == principal);
        found.map(|operation| operation.content).ok_or_else(unknown)
    }
}
