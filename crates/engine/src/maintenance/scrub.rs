//! Reading all copies from the disk now and then, those first that were not read for longest: what rots in silence is
//! found before somebody needs it.

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

/// How many copies are asked for at once.
const BATCH: i64 = 100;
/// How often progress is told, while a copy is read.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often the lease is renewed meanwhile: each time is a commit.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// Which copies are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrubScope {
    /// Those that were not checked for as long as the setting says.
    Due,
    /// Every one.
    All,
}

/// What a scrub has checked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Copies that were checked.
    pub checked: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Copies that are right.
    pub sound: u64,
    /// Copies with other bytes.
    pub corrupt: u64,
    /// Copies without a file.
    pub missing: u64,
    /// Copies that cannot be read.
    pub unreadable: u64,
    /// Copies that could not be checked now.
    pub unknown: u64,
    /// Whether another process is at it, so that this one did nothing.
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

/// A scrub that runs: what it has found, how fast it may read, and whom it tells.
struct ScrubRun<P> {
    report: ScrubReport,
    pace: ReadPace,
    work: &'static str,
    told: Instant,
    /// When the lease was taken or renewed; `None`: not yet.
    renewed: Option<Instant>,
    progress: P,
}

impl Engine {
    /// Checks copies, the longest unchecked first, at no more than `rate` bytes a second; 0 is as fast as it can.
    /// `progress` hears once a second how far it is, and says whether to go on: what was checked is written down.
    pub async fn scrub(
        &self,
        scope: ScrubScope,
        rate: u64,
        progress: impl FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    ) -> Result<ScrubReport, EngineError> {
        // Whoever asks for all of it waits for nobody.
        let (work, age) = match scope {
            ScrubScope::Due => ("scrub", micros(self.settings.verify_after)),
            ScrubScope::All => ("scrub_all", 0),
        };
        // What is checked from now on is not due any more.
        let until = self.clock.now() - age.max(1);
        let (report, pace) = (ScrubReport::default(), ReadPace::new(rate));
        let told = Instant::now();
        let mut scrub = ScrubRun { report, pace, work, told, renewed: None, progress };
        let mut last = CheckPosition::start();
        loop {
            self.check_present()?;
            let after = last;
            let due = move |tx: &mut meta::Tx<'_>| {
                Ok::<_, EngineError>(blobs::list_due_copies(tx, until, after, BATCH)?)
            };
            let due = self.meta.read(due).await?;
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

    /// Takes or renews the lease, now and then. `false`: another process has it.
    async fn keep_lease<P>(&self, scrub: &mut ScrubRun<P>) -> Result<bool, EngineError> {
        if scrub.renewed.is_some_and(|renewed| renewed.elapsed() < RENEW_EVERY) {
            return Ok(true);
        }
        let is_ours = self.hold_lease(scrub.work, BACKGROUND_LEASE).await?;
        scrub.report.busy = !is_ours;
        scrub.renewed = is_ours.then(Instant::now);
        Ok(is_ours)
    }

    /// How many copies are out of service, up to a thousand, and when the longest unchecked copy was checked.
    pub async fn check_state(&self) -> Result<(i64, Option<i64>), EngineError> {
        const MOST: i64 = 1000;
        self.meta.read(|tx| Ok::<_, EngineError>(blobs::summarize_checks(tx, MOST)?)).await
    }

    async fn scrub_copy<P>(
        &self,
        copy: &DueCopy,
        scrub: &mut ScrubRun<P>,
    ) -> Result<ControlFlow<()>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        let found = match self.read_paced(copy, scrub).await? {
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
            ControlFlow::Continue(found) => found,
        };
        let found = found.as_ref().copied();
        let outcome = self.settle(&copy.blob.copy_id, &copy.digest, found).await?;
        scrub.report.add(outcome);
        self.tell(scrub).await
    }

    /// Reads a copy from the disk, not from memory.
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
            if self.tell(scrub).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        reader.drop_page_cache();
        Ok(ControlFlow::Continue(Ok(reader.times())))
    }

    /// Keeps the lease, and says once a second how far it is.
    async fn tell<P>(&self, scrub: &mut ScrubRun<P>) -> Result<ControlFlow<()>, EngineError>
    where
        P: FnMut(&ScrubReport) -> ControlFlow<()> + Send,
    {
        if !self.keep_lease(scrub).await? {
            return Ok(ControlFlow::Break(()));
        }
        if scrub.told.elapsed() < TELL_EVERY {
            return Ok(ControlFlow::Continue(()));
        }
        scrub.told = Instant::now();
        Ok((scrub.progress)(&scrub.report))
    }
}

/// A speed that is not exceeded. Time that was not used is not made up for.
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
            sleep_until(self.end_of(bytes, Instant::now())).await;
        }
    }

    /// When these bytes may have been read, at the earliest.
    fn end_of(&mut self, bytes: u64, now: Instant) -> Instant {
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
            assert_eq!(pace.end_of(256 << 10, begun), begun + second / 4 * quarters);
        }
        assert_eq!(pace.end_of(1 << 20, begun + second * 60), begun + second * 61);
    }
}
