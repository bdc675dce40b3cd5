//! Counting pulls and sizes without hot rows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meta::capacity::Capacity;
use meta::versions::Version;
use meta::{Id, usage};
use model::media_type::Kind;

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
    /// Whether it names manifests, for which its pull counts as a use.
    is_index: bool,
}

impl PullCounter {
    pub(crate) fn count(&self, version: &Version, now: Micros) {
        let is_index = Kind::of(&version.media_type) == Some(Kind::Index);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry((version.id, now / DAY)).or_default().add(Seen {
            pulls: 1,
            last: now,
            is_index,
        });
    }

    fn take(&self) -> HashMap<(Id, i64), Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, taken: Vec<((Id, i64), Seen)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, lost) in taken {
            seen.entry(key).or_default().add(lost);
        }
    }
}

impl Seen {
    fn add(&mut self, more: Self) {
        self.pulls += more.pulls;
        self.last = self.last.max(more.last);
        self.is_index |= more.is_index;
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
            if let Err(error) = self.write_pulls(&slice).await {
                self.pulls.give_back(slice);
                self.pulls.give_back(seen);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_pulls(&self, slice: &[((Id, i64), Seen)]) -> Result<(), EngineError> {
        // First what may be done twice: after an error all of the slice is written again.
        for ((version, _), Seen { last, .. }) in slice.iter().filter(|(_, seen)| seen.is_index) {
            self.touch_children(*version, *last).await?;
        }
        let rows = slice.to_vec();
        self.meta
            .write(move |tx| {
                for ((version, day), Seen { pulls, last, .. }) in &rows {
                    usage::add_pulls(tx, version, (*day, *pulls), *last)?;
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
            let children = (position, SLICE);
            after = self
                .meta
                .write(move |tx| {
                    Ok::<_, EngineError>(usage::pulled_children(tx, &index, children, last)?)
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
    pub async fn capacity(&self) -> Result<Capacity, EngineError> {
        let now = self.clock.now();
        self.meta.read(move |tx| Ok(meta::capacity::measure(tx, now)?)).await
    }
}
