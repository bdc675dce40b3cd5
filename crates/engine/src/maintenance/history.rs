//! The end of old history: events, changes of tags, and counts of pulls and pushes by day. The last change of each tag
//! stays, so that a tag can be put back to what it named before, however long ago that was.

use std::ops::ControlFlow;

use identity::{Micros, micros};
use meta::day_counts::DayTable;
use meta::{Id, MetaError, Tx, activity, day_counts, tag_history};

use crate::artifacts::tag_table::DAY_MICROS;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The name of the lease of this work.
const HISTORY_LEASE: &str = "history";

/// The number of rows that one transaction looks at or deletes.
const ROWS_AT_ONCE: i64 = 500;

impl Engine {
    /// Deletes events, changes of tags and counts of days that are older than the settings keep them, unless another
    /// process does. The days that lists and pages show stay in any case. `progress` is called after each transaction,
    /// and decides whether to go on.
    pub async fn forget_history(
        &self,
        mut progress: impl FnMut() -> ControlFlow<()> + Send,
    ) -> Result<(), EngineError> {
        let Some(keep) = self.settings.history_kept else { return Ok(()) };
        let before = self.clock.now() - micros(keep);
        let day = self.first_day().min(before / DAY_MICROS);
        let forget_events = move |tx: &mut Tx<'_>| activity::forget(tx, before, ROWS_AT_ONCE);
        let mut goes_on = self.forget_rows(forget_events, &mut progress).await?;
        for table in DayTable::ALL {
            if goes_on.is_continue() {
                let forget_days =
                    move |tx: &mut Tx<'_>| day_counts::forget(tx, table, day, ROWS_AT_ONCE);
                goes_on = self.forget_rows(forget_days, &mut progress).await?;
            }
        }
        let mut last = Some(Id::from([0; 16])).filter(|_| goes_on.is_continue());
        while let Some(from) = last {
            last = self.forget_superseded(from, before).await?;
            if progress().is_break() || !self.hold_lease(HISTORY_LEASE, BACKGROUND_LEASE).await? {
                break;
            }
        }
        self.release_lease(HISTORY_LEASE).await
    }

    /// Deletes rows, some at a time, until `forget` finds fewer than it may delete. Breaks off where another process does
    /// this work.
    async fn forget_rows(
        &self,
        forget: impl Fn(&mut Tx<'_>) -> Result<u64, MetaError> + Copy + Send + 'static,
        progress: &mut (impl FnMut() -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        loop {
            if !self.hold_lease(HISTORY_LEASE, BACKGROUND_LEASE).await? {
                return Ok(ControlFlow::Break(()));
            }
            let forgotten = self.write(move |tx| Ok(forget(tx)?)).await?;
            let goes_on = progress();
            if goes_on.is_break() || (forgotten as i64) < ROWS_AT_ONCE {
                return Ok(goes_on);
            }
        }
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
