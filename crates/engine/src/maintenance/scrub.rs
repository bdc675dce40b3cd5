//! The scrub, which reads all copies from the disk now and then, the longest unchecked first, so that silent damage
//! is found before a client needs the bytes.

use std::ops::ControlFlow;
use std::time::Duration;

use blob::{BlobError, CopyId, FileTimes};
use futures_util::StreamExt;
use identity::micros;
use meta::blobs::{self, BlobCopy, CheckPosition, DueCopy};
use tokio::time::{Instant, sleep_until};

use crate::copy_checks::CheckOutcome;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The number of copies that are listed at once.
const COPIES_AT_ONCE: i64 = 100;
/// The interval at which progress is reported while a copy is read.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The interval at which the lease is renewed meanwhile. Each renewal is a commit.
const RENEW_INTERVAL: Duration = Duration::from_secs(15);

/// The copies that a scrub checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrubScope {
    /// The copies whose last check is as old as the setting says.
    Due,
    /// All copies.
    All,
}

/// The counts of a scrub so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Copies that were checked.
    pub checked: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Copies that are right.
    pub sound: u64,
    /// Copies whose bytes do not match the digest.
    pub corrupt: u64,
    /// Copies without a file.
    pub missing: u64,
    /// Copies that cannot be read.
    pub unreadable: u64,
    /// Copies that could not be checked now.
    pub unknown: u64,
    /// `true` if another process scrubs, so that this one stopped or did nothing.
    pub busy: bool,
}

impl ScrubReport {
    fn add(&mut self, outcome: CheckOutcome) {
        self.checked += 1;
        let count = match outcome {
            CheckOutcome::Sound => &mut self.sound,
            CheckOutcome::Corrupt => &mut self.corrupt,
            CheckOutcome::Missing => &mut self.missing,
            CheckOutcome::Unreadable => &mut self.unreadable,
            CheckOutcome::Unknown => &mut self.unknown,
        };
        *count += 1;
    }
}

/// A scrub that runs: its counts, its speed limit, its lease, and the callback for its progress.
struct ScrubRun<P> {
    report: ScrubReport,
    pace: ReadPace,
    work: &'static str,
    reported: Instant,
    /// The time at which the lease was last taken or renewed, if it was.
    renewed: Option<Instant>,
    progress: P,
}

impl Engine {
    /// Checks copies, the longest unchecked first, at no more than `rate` bytes a second, where 0 is no limit.
    /// `progress` is called once a second, and decides whether to go on. The checks that were done are recorded.
    pub async fn scrub(
        &self,
        scope: ScrubScope,
        rate: u64,
        progress: impl FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    ) -> Result<ScrubReport, EngineError> {
        // A scrub of all copies has a lease of its own, and so does not wait for the one in the background.
        let (work, age) = match scope {
            ScrubScope::Due => ("scrub", micros(self.settings.verify_after)),
            ScrubScope::All => ("scrub_all", 0),
        };
        // A copy that is checked from now on is not due any more.
        let until = self.clock.now() - age.max(1);
        let (report, pace) = (ScrubReport::default(), ReadPace::new(rate));
        let reported = Instant::now();
        let mut scrub = ScrubRun { report, pace, work, reported, renewed: None, progress };
        let mut last = CheckPosition::start();
        loop {
            self.check_stores_present()?;
            let after = last;
            let due =
                self.read(move |tx| Ok(blobs::list_due_copies(tx, until, after, COPIES_AT_ONCE)?));
            let due = due.await?;
            let Some(end) = due.last() else { break };
            let BlobCopy { verified_at, copy_id, .. } = end.blob;
            last = CheckPosition { verified_at, copy_id };
            if self.scrub_some(&due, &mut scrub).await?.is_break() {
                break;
            }
        }
        if scrub.renewed.is_some() {
            self.release_lease(work).await?;
        }
        Ok(scrub.report)
    }

    async fn scrub_some<P>(
        &self,
        due: &[DueCopy],
        scrub: &mut ScrubRun<P>,
    ) -> Result<ControlFlow<()>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        for copy in due {
            if !self.keep_lease(scrub).await? || self.scrub_copy(copy, scrub).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes or renews the lease, if the last time was long enough ago. Returns `false` if another process holds it.
    async fn keep_lease<P>(&self, scrub: &mut ScrubRun<P>) -> Result<bool, EngineError> {
        if scrub.renewed.is_some_and(|renewed| renewed.elapsed() < RENEW_INTERVAL) {
            return Ok(true);
        }
        let is_ours = self.hold_lease(scrub.work, BACKGROUND_LEASE).await?;
        scrub.report.busy = !is_ours;
        scrub.renewed = is_ours.then(Instant::now);
        Ok(is_ours)
    }

    /// Returns the number of copies that are out of service, up to a thousand, and the time of the oldest check of a
    /// copy.
    pub async fn summarize_checks(&self) -> Result<(i64, Option<i64>), EngineError> {
        const MAX_COUNTED: i64 = 1000;
        self.read(|tx| Ok(blobs::summarize_checks(tx, MAX_COUNTED)?)).await
    }

    async fn scrub_copy<P>(
        &self,
        copy: &DueCopy,
        scrub: &mut ScrubRun<P>,
    ) -> Result<ControlFlow<()>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        let result = match self.read_paced(copy, scrub).await? {
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
            ControlFlow::Continue(result) => result,
        };
        let result = result.as_ref().copied();
        let outcome = self.record_check(&copy.blob.copy_id, &copy.digest, result).await?;
        scrub.report.add(outcome);
        self.report_progress(scrub).await
    }

    /// Reads a copy from the disk, bypassing the page cache.
    async fn read_paced<P>(
        &self,
        copy: &DueCopy,
        scrub: &mut ScrubRun<P>,
    ) -> Result<ControlFlow<(), Result<FileTimes, BlobError>>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        let reader = match self.blobs.open(CopyId::from(copy.blob.copy_id.to_bytes())).await {
            Ok(reader) if reader.size() == copy.blob.size as u64 => reader,
            Ok(_) => return Ok(ControlFlow::Continue(Err(BlobError::Corrupt))),
            Err(error) => return Ok(ControlFlow::Continue(Err(error))),
        };
        reader.drop_page_cache();
        let mut stream = reader.clone().stream_verified(copy.digest.clone());
        while let Some(frame) = stream.next().await {
            let length = match frame {
                Ok(frame) => frame.len() as u64,
                Err(error) => return Ok(ControlFlow::Continue(Err(error))),
            };
            scrub.report.bytes += length;
            self.checks.count_scrubbed(length);
            scrub.pace.wait_for(length).await;
            if self.report_progress(scrub).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        reader.drop_page_cache();
        Ok(ControlFlow::Continue(Ok(reader.times())))
    }

    /// Renews the lease, and reports progress once a second.
    async fn report_progress<P>(
        &self,
        scrub: &mut ScrubRun<P>,
    ) -> Result<ControlFlow<()>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        if !self.keep_lease(scrub).await? {
            return Ok(ControlFlow::Break(()));
        }
        if scrub.reported.elapsed() < REPORT_INTERVAL {
            return Ok(ControlFlow::Continue(()));
        }
        scrub.reported = Instant::now();
        Ok((scrub.progress)(&scrub.report))
    }
}

/// A speed limit. Time in which less was read is not made up for later.
struct ReadPace {
    rate: u64,
    next: Instant,
}

impl ReadPace {
    fn new(rate: u64) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Waits until these bytes may have been read.
    async fn wait_for(&mut self, bytes: u64) {
        if self.rate > 0 {
            sleep_until(self.earliest_end(bytes, Instant::now())).await;
        }
    }

    /// Returns the earliest time at which these bytes may have been read.
    fn earliest_end(&mut self, bytes: u64, now: Instant) -> Instant {
        let took = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.next = self.next.max(now) + took;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_and_nothing_is_made_up_for() {
        let begun = Instant::now();
        let mut pace = ReadPace { rate: 1 << 20, next: begun };
        let second = Duration::from_secs(1);
        for quarters in 1..=8 {
            assert_eq!(pace.earliest_end(256 << 10, begun), begun + second / 4 * quarters);
        }
        assert_eq!(pace.earliest_end(1 << 20, begun + second * 60), begun + second * 61);
    }
}
