//! Counting pulls and sizes without hot rows.

use identity::Micros;
use meta::capacity::CapacityReport;
use meta::{Id, usage};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::pull_counter::PullTotals;

impl Engine {
    /// Writes the pulls seen since the last flush down. What could not be written is kept for the next one.
    pub async fn flush_pulls(&self) -> Result<(), EngineError> {
        const SLICE: usize = 250;
        let mut seen: Vec<_> = self.pulls.take().into_iter().collect();
        // In one order in every process, so that two flushes never wait for each other in a circle.
        seen.sort_by_key(|(key, _)| *key);
        while !seen.is_empty() {
            let slice = seen.split_off(seen.len().saturating_sub(SLICE));
            if let Err(error) = self.write_pulls(&slice).await {
                self.pulls.give_back(slice);
                self.pulls.give_back(seen);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_pulls(&self, slice: &[((Id, i64), PullTotals)]) -> Result<(), EngineError> {
        // First what may be done twice: after an error all of the slice is written again.
        for ((version, _), PullTotals { last, .. }) in
            slice.iter().filter(|(_, seen)| seen.is_index)
        {
            self.touch_children(*version, *last).await?;
        }
        let rows = slice.to_vec();
        self.meta
            .write(move |tx| {
                for ((version, day), PullTotals { pulls, last, .. }) in &rows {
                    usage::add_pulls(tx, version, *day, *pulls, *last)?;
                }
                Ok::<_, EngineError>(())
            })
            .await
    }

    /// Whoever pulled an index may have had its manifests already: they are of use all the same.
    async fn touch_children(&self, index: Id, last: Micros) -> Result<(), EngineError> {
        const SLICE: i64 = 250;
        let mut after = Some(-1);
        while let Some(position) = after {
            after = self
                .meta
                .write(move |tx| {
                    Ok::<_, EngineError>(usage::record_pulls_of_children(
                        tx, &index, position, SLICE, last,
                    )?)
                })
                .await?;
        }
        Ok(())
    }

    /// Folds waiting size changes into their repositories.
    pub async fn fold_usage(&self) -> Result<(), EngineError> {
        const SLICE: i64 = 250;
        loop {
            let folded =
                self.meta.write(|tx| Ok::<_, EngineError>(usage::fold_deltas(tx, SLICE)?)).await?;
            if folded < SLICE as usize {
                return Ok(());
            }
        }
    }

    /// Returns how much the registry holds and how much waits.
    pub async fn capacity(&self) -> Result<CapacityReport, EngineError> {
        let now = self.clock.now();
        self.meta.read(move |tx| Ok(meta::capacity::measure(tx, now)?)).await
    }
}
