//! The end of old history: events, and changes of tags. The last change of each tag stays, so that a tag can be put back
//! to what it named before, however long ago that was.

use std::ops::ControlFlow;

use identity::{Micros, micros};
use meta::{Id, activity, tag_history};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The name of the lease of this work.
const HISTORY_LEASE: &str = "history";

/// The number of rows that one transaction looks at or deletes.
const ROWS_AT_ONCE: i64 = 500;

impl Engine {
    /// Deletes events and changes of tags that are older than the settings keep them, unless another process does.
    /// `progress` is called after each transaction, and decides whether to go on.
    pub async fn forget_history(
        &self,
        mut progress: impl FnMut() -> ControlFlow<()> + Send,
    ) -> Result<(), EngineError> {
        let Some(keep) = self.settings.history_kept else { return Ok(()) };
        let before = self.clock.now() - micros(keep);
        loop {
            if !self.hold_lease(HISTORY_LEASE, BACKGROUND_LEASE).await? {
                return Ok(());
            }
            let forget = self.write(move |tx| Ok(activity::forget(tx, before, ROWS_AT_ONCE)?));
            let is_last = (forget.await? as i64) < ROWS_AT_ONCE;
            if progress().is_break() {
                return self.release_lease(HISTORY_LEASE).await;
            }
            if is_last {
                break;
            }
        }
        let mut last = Some(Id::from([0; 16]));
        while let Some(from) = last {
            last = self.forget_superseded(from, before).await?;
            if progress().is_break() || !self.hold_lease(HISTORY_LEASE, BACKGROUND_LEASE).await? {
                break;
            }
        }
        self.release_lease(HISTORY_LEASE).await
    }

    /// Deletes those of the next changes of tags that others followed. Returns the last change that was looked at, or
    /// `None` at the end.
    async fn forget_superseded(&self, from: Id, before: Micros) -> Result<Option<Id>, EngineError> {
        let read = self.read(move |tx| Ok(tag_history::list_old(tx, &from, before, ROWS_AT_ONCE)?));
        let changes = read.await?;
        let last = changes.last().map(|change| change.id);
        let superseded: Vec<Id> =
            changes.iter().filter(|change| change.is_superseded).map(|change| change.id).collect();
        if !superseded.is_empty() {
            let forget = self.write(move |tx| {
                for change in &superseded {
                    tag_history::forget(tx, change)?;
                }
                Ok(())
            });
            forget.await?;
        }
        Ok(last.filter(|_| changes.len() as i64 == ROWS_AT_ONCE))
    }
}
