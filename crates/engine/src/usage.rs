//! Counting pulls and sizes without hot rows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meta::{Id, usage};

use crate::{Engine, EngineError, Micros};

const DAY: Micros = 24 * 3600 * 1_000_000;

/// Pulls that this process saw since its last flush, by version and day.
#[derive(Debug, Default)]
pub(crate) struct PullCounter {
    seen: Mutex<HashMap<(Id, i64), Seen>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    pulls: i64,
    last: Micros,
}

impl PullCounter {
    pub(crate) fn count(&self, version: Id, now: Micros) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry((version, now / DAY)).or_default();
        entry.pulls += 1;
        entry.last = entry.last.max(now);
    }

    fn take(&self) -> HashMap<(Id, i64), Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, taken: Vec<((Id, i64), Seen)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, lost) in taken {
            let entry = seen.entry(key).or_default();
            entry.pulls += lost.pulls;
            entry.last = entry.last.max(lost.last);
        }
    }
}

impl Engine {
    /// Writes the pulls seen since the last flush down. What could not be written is kept for the next one.
    pub async fn flush_pulls(&self) -> Result<(), EngineError> {
        const SLICE: usize = 250;
        let mut seen: Vec<_> = self.pulls.take().into_iter().collect();
        // In one order in every process, so that two flushes never wait for each other in a circle.
        seen.sort_by_key(|(key, _)| *key);
        while !seen.is_empty() {
            let slice = seen.split_off(seen.len().saturating_sub(SLICE));
            let rows = slice.clone();
            let written = self
                .meta
                .write(move |tx| {
                    for ((version, day), Seen { pulls, last }) in &rows {
                        usage::add_pulls(tx, version, (*day, *pulls), *last)?;
                    }
                    Ok::<_, EngineError>(())
                })
                .await;
            if let Err(error) = written {
                self.pulls.give_back(slice);
                self.pulls.give_back(seen);
                return Err(error);
            }
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
}
