//! Counts of pulls and sizes, written without rows that every request updates.

use std::collections::BTreeSet;

use identity::{Micros, micros};
use meta::capacity::CapacityReport;
use meta::day_counts::{CountedScope, DayCounts, UnstoredDays};
use meta::versions::ImageAddress;
use meta::{Id, cache_limits, usage};

use crate::cache_reads::{CachedBlobKey, LastRead};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::pull_counter::PullTotals;

impl Engine {
    /// Writes the pulls that were counted since the last flush. If a write fails, its pulls are kept for the next
    /// flush.
    pub async fn flush_pulls(&self) -> Result<(), EngineError> {
        const SLICE: usize = 150;
        let mut seen: Vec<_> = self.pulls.take().into_iter().collect();
        // All processes write in one order, so that two flushes never wait for each other in a circle.
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
        // Recording the pulls of children twice does no harm, so it comes first: after an error, the whole slice is
        // written again.
        for ((version, _), PullTotals { last, .. }) in
            slice.iter().filter(|(_, seen)| seen.is_index)
        {
            self.touch_children(*version, *last).await?;
        }
        let rows = slice.to_vec();
        self.write(move |tx| {
            let mut days = UnstoredDays::default();
            for ((version, day), PullTotals { pulls, last, .. }) in &rows {
                if let Some(image) = usage::add_pulls(tx, version, *day, *pulls, *last)?
                    && !image.is_part
                {
                    let counts = DayCounts { day: *day, pulls: *pulls, pushes: 0 };
                    days.add(CountedScope::Image(image.package), counts);
                    days.add(CountedScope::Repository(image.repository), counts);
                }
            }
            Ok(days.store(tx)?)
        })
        .await
    }

    /// Records a pull of an index for its manifests. A client that pulled the index may have had the manifests
    /// already, but uses them all the same.
    async fn touch_children(&self, index: Id, last: Micros) -> Result<(), EngineError> {
        const SLICE: i64 = 250;
        let mut after = Some(-1);
        while let Some(position) = after {
            after = self
                .write(move |tx| {
                    Ok(usage::record_pulls_of_children(tx, &index, position, SLICE, last)?)
                })
                .await?;
        }
        Ok(())
    }

    /// Writes down which cached blobs were read since the last flush. If a write fails, its reads are kept for the next
    /// flush.
    pub(crate) async fn flush_cache_reads(&self) -> Result<(), EngineError> {
        const SLICE: usize = 250;
        let mut reads = self.cache_reads.take();
        // All processes write in one order, as in `flush_pulls`.
        reads.sort();
        while !reads.is_empty() {
            let slice = reads.split_off(reads.len().saturating_sub(SLICE));
            let (rows, old) =
                (slice.clone(), self.clock.now() - micros(self.settings.cache_margin));
            let written = self.write(move |tx| {
                for LastRead { blob, read_at } in &rows {
                    let CachedBlobKey { repository, image, digest } = blob;
                    cache_limits::record_read(
                        tx,
                        ImageAddress { repository, image },
                        digest,
                        *read_at,
                    )?;
                }
                let repositories: BTreeSet<_> =
                    rows.iter().map(|read| read.blob.repository).collect();
                for repository in &repositories {
                    cache_limits::forget_reads(tx, repository, old, SLICE as i64)?;
                }
                Ok(())
            });
            if let Err(error) = written.await {
                self.cache_reads.give_back(&slice);
                self.cache_reads.give_back(&reads);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Folds waiting changes into the counters of repositories and images.
    pub async fn fold_usage(&self) -> Result<(), EngineError> {
        // Each takes up to six rows.
        const SLICE: i64 = 150;
        loop {
            let now = self.clock.now();
            let folded = self.write(move |tx| Ok(usage::fold_deltas(tx, now, SLICE)?)).await?;
            if folded < SLICE as usize {
                return Ok(());
            }
        }
    }

    /// Returns how much content is stored, and how many reviews and notifications wait.
    pub async fn capacity(&self) -> Result<CapacityReport, EngineError> {
        let now = self.clock.now();
        self.read(move |tx| Ok(meta::capacity::measure(tx, now)?)).await
    }
}
