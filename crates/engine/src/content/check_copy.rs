//! Checks of copies, which requests share, and the consequences of their outcomes.
//!
//! A copy that is missing, unreadable or corrupt is taken out of service: the blob answers 404, so that clients push
//! it again. Before that, the store must be known to be the one that was opened. A copy that turns out to be right is
//! back in service.

use std::sync::atomic::{AtomicU64, Ordering};

use blob::{BlobError, CopyDamage, CopyId, FileTimes};
use meta::Id;
use meta::blobs::{self, BlobCopy, CopyState};
use model::digest::Digest;
use tokio::sync::watch;

use crate::copy_checks::{CheckCounts, CheckOutcome, RunningCheck};
use crate::engine::Engine;
use crate::error::EngineError;

/// The largest number of checks that run or wait for their turn. Above it, no check begins that no request waits for.
const MAX_BEGUN_CHECKS: usize = 16;

impl Engine {
    /// Returns the outcomes of all checks of this process.
    pub fn check_counts(&self) -> CheckCounts {
        let counters = &self.checks.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CheckCounts {
            sound: count(&counters.sound),
            corrupt: count(&counters.corrupt),
            missing: count(&counters.missing),
            unreadable: count(&counters.unreadable),
            restored: count(&counters.restored),
            scrubbed_bytes: count(&counters.scrubbed_bytes),
        }
    }

    /// Checks a whole copy. Requests that ask for the same copy share one check, which runs to its end even if all of
    /// them leave.
    pub(crate) fn check_copy(&self, digest: &Digest, row: &BlobCopy) -> RunningCheck {
        let mut running = self.checks.running();
        if let Some(check) = running.get(&row.copy_id).filter(|check| !check.is_over()) {
            return check.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let check = RunningCheck(receiver);
        running.insert(row.copy_id, check.clone());
        let (engine, digest, row) = (self.clone(), digest.clone(), row.clone());
        tokio::spawn(async move {
            let outcome = engine.run_check(&digest, &row).await;
            sender.send_replace(Some(outcome));
            engine.checks.running().retain(|_, check| !check.is_over());
        });
        check
    }

    /// Begins a check that no request waits for. If too many checks have begun already, the next read asks again.
    pub(crate) fn check_in_background(&self, digest: &Digest, row: &BlobCopy) {
        if self.checks.running().len() < MAX_BEGUN_CHECKS {
            let _ = self.check_copy(digest, row);
        }
    }

    async fn run_check(&self, digest: &Digest, row: &BlobCopy) -> CheckOutcome {
        let _turn = self.checks.turns.acquire().await;
        let result = self.hash_copy(digest, row).await;
        let outcome = self.record_check(&row.copy_id, digest, result.as_ref().copied()).await;
        outcome.unwrap_or_else(|error| {
            tracing::warn!(
                blob.digest = %digest, %error,
                "could not record the check of blob {digest}: {error}"
            );
            CheckOutcome::Unknown
        })
    }

    /// Reads a whole copy and compares its digest. Returns the times of its file.
    async fn hash_copy(&self, digest: &Digest, row: &BlobCopy) -> Result<FileTimes, BlobError> {
        let reader = self.blobs.open(CopyId::from(row.copy_id.to_bytes())).await?;
        let times = reader.times();
        let known = self.checks.wrong_copies().get(&row.copy_id).copied();
        if known == Some(times) || reader.size() != row.size as u64 {
            return Err(BlobError::Corrupt);
        }
        if reader.compute_digest(digest.algorithm()).await? == *digest {
            return Ok(times);
        }
        self.checks.remember_wrong_copy(&row.copy_id, times);
        Err(BlobError::Corrupt)
    }

    /// Records what the reading of a copy has shown: the times of its file if its bytes are right, or else the error.
    pub(crate) async fn record_check(
        &self,
        copy: &Id,
        digest: &Digest,
        result: Result<FileTimes, &BlobError>,
    ) -> Result<CheckOutcome, EngineError> {
        let error = match result {
            Ok(times) => return self.record_sound(copy, digest, times).await,
            Err(error) => error,
        };
        let outcome = match error.copy_damage() {
            CopyDamage::Missing => CheckOutcome::Missing,
            CopyDamage::Unreadable => CheckOutcome::Unreadable,
            CopyDamage::Corrupt => CheckOutcome::Corrupt,
            CopyDamage::None => return Ok(CheckOutcome::Unknown),
        };
        self.blobs.check_location().await?;
        if outcome == CheckOutcome::Missing
            && self.blobs.open(CopyId::from(copy.to_bytes())).await.is_ok()
        {
            return Ok(CheckOutcome::Unknown);
        }
        self.quarantine(copy, digest, outcome, error).await?;
        Ok(outcome)
    }

    /// Takes a copy out of service. The blob answers 404, so that clients push it again.
    async fn quarantine(
        &self,
        copy: &Id,
        digest: &Digest,
        outcome: CheckOutcome,
        error: &BlobError,
    ) -> Result<(), EngineError> {
        let (id, now) = (*copy, self.clock.now());
        let quarantined = self.write(move |tx| {
            let quarantined = blobs::quarantine(tx, &id, now)?;
            if quarantined == 0 {
                blobs::mark_checked(tx, &id, now)?;
            }
            Ok(quarantined)
        });
        if quarantined.await? == 0 {
            return Ok(());
        }
        tracing::error!(
            blob.digest = %digest, copy.id = %copy, %error,
            "blob {digest} is quarantined until it is pushed again or its copy {copy} turns out to be right: {error}"
        );
        let counters = &self.checks.counters;
        let counter = match outcome {
            CheckOutcome::Missing => &counters.missing,
            CheckOutcome::Unreadable => &counters.unreadable,
            CheckOutcome::Corrupt | CheckOutcome::Sound | CheckOutcome::Unknown => {
                &counters.corrupt
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Records that a copy is right. A copy that was out of service is back.
    async fn record_sound(
        &self,
        copy: &Id,
        digest: &Digest,
        file_times: FileTimes,
    ) -> Result<CheckOutcome, EngineError> {
        let (id, now) = (*copy, self.clock.now());
        let FileTimes { mtime_ns, ctime_ns } = file_times;
        let state_before = self.write(move |tx| {
            let state = blobs::find_copy_state(tx, &id)?;
            blobs::mark_verified(tx, &id, mtime_ns, ctime_ns, now)?;
            Ok(state)
        });
        let state_before = state_before.await?;
        self.checks.wrong_copies().remove(copy);
        self.checks.counters.sound.fetch_add(1, Ordering::Relaxed);
        if state_before == Some(CopyState::Quarantined) {
            self.checks.counters.restored.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                blob.digest = %digest, copy.id = %copy,
                "blob {digest} is served again: its copy {copy} is right"
            );
        }
        Ok(CheckOutcome::Sound)
    }
}
