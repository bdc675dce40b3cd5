//! Whether copies are what they should be: checks that requests share, and what follows from them.
//!
//! A copy that is missing, cannot be read or has other bytes is taken out of service: the blob answers 404, so that
//! clients push it again. Before that is believed, the store has to be itself. One that turns out right is back.

use std::sync::atomic::{AtomicU64, Ordering};

use blob::{BlobError, CopyDamage, CopyId, FileTimes};
use meta::Id;
use meta::blobs::{self, BlobCopy, CopyState};
use model::digest::Digest;
use tokio::sync::watch;

use crate::copy_checks::{CheckCounts, CheckOutcome, RunningCheck};
use crate::engine::Engine;
use crate::error::EngineError;

/// How many checks are begun, or wait for their turn, that no request waits for.
const MAX_BEGUN_CHECKS: usize = 16;

impl Engine {
    /// How many copies this process found to be what.
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

    /// Checks a whole copy, once for all who ask meanwhile. It runs to its end, whoever leaves.
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

    /// Begins with a check that nobody waits for, unless too many are begun already: the next read asks again.
    pub(crate) fn check_in_background(&self, digest: &Digest, row: &BlobCopy) {
        if self.checks.running().len() < MAX_BEGUN_CHECKS {
            let _ = self.check_copy(digest, row);
        }
    }

    async fn run_check(&self, digest: &Digest, row: &BlobCopy) -> CheckOutcome {
        let _turn = self.checks.turns.acquire().await;
        let found = self.hash_copy(digest, row).await;
        let settled = self.settle(&row.copy_id, digest, found.as_ref().copied()).await;
        settled.unwrap_or_else(|error| {
            tracing::warn!(
                blob.digest = %digest, %error,
                "could not write down the check of blob {digest}: {error}"
            );
            CheckOutcome::Unknown
        })
    }

    /// Reads a copy from its beginning to its end. Answers what its file looked like.
    async fn hash_copy(&self, digest: &Digest, row: &BlobCopy) -> Result<FileTimes, BlobError> {
        let reader = self.blobs.open(CopyId::from(row.copy_id.to_bytes())).await?;
        let stamp = reader.times();
        let known = self.checks.wrong().get(&row.copy_id).copied();
        if known == Some(stamp) || reader.size() != row.size as u64 {
            return Err(BlobError::Corrupt);
        }
        if reader.compute_digest(digest.algorithm()).await? == *digest {
            return Ok(stamp);
        }
        self.checks.remember(&row.copy_id, stamp);
        Err(BlobError::Corrupt)
    }

    /// Writes down what reading a copy has shown: its file's times where its bytes are right, or why not.
    pub(crate) async fn settle(
        &self,
        copy: &Id,
        digest: &Digest,
        found: Result<FileTimes, &BlobError>,
    ) -> Result<CheckOutcome, EngineError> {
        let error = match found {
            Ok(stamp) => return self.keep(copy, digest, stamp).await,
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
        self.set_aside(copy, digest, (outcome, error)).await?;
        Ok(outcome)
    }

    /// Takes a copy out of service: the blob answers 404, so that clients push it again.
    async fn set_aside(
        &self,
        copy: &Id,
        digest: &Digest,
        (outcome, error): (CheckOutcome, &BlobError),
    ) -> Result<(), EngineError> {
        let (id, now) = (*copy, self.clock.now());
        let write = move |tx: &mut meta::Tx<'_>| {
            let set_aside = blobs::quarantine(tx, &id, now)?;
            if set_aside == 0 {
                blobs::mark_checked(tx, &id, now)?;
            }
            Ok::<_, EngineError>(set_aside)
        };
        if self.meta.write(write).await? == 0 {
            return Ok(());
        }
        tracing::error!(
            blob.digest = %digest, copy.id = %copy, %error,
            "blob {digest} is quarantined until it is pushed again or its copy {copy} turns out right: {error}"
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

    /// Writes down that a copy is right. One that was out of service is back.
    async fn keep(
        &self,
        copy: &Id,
        digest: &Digest,
        stamp: FileTimes,
    ) -> Result<CheckOutcome, EngineError> {
        let (id, now) = (*copy, self.clock.now());
        let write = move |tx: &mut meta::Tx<'_>| {
            let before = blobs::find_copy_state(tx, &id)?;
            blobs::mark_verified(tx, &id, stamp.mtime_ns, stamp.ctime_ns, now)?;
            Ok::<_, EngineError>(before)
        };
        let before = self.meta.write(write).await?;
        self.checks.wrong().remove(copy);
        self.checks.counters.sound.fetch_add(1, Ordering::Relaxed);
        if before == Some(CopyState::Quarantined) {
            self.checks.counters.restored.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                blob.digest = %digest, copy.id = %copy,
                "blob {digest} is served again: its copy {copy} is right after all"
            );
        }
        Ok(CheckOutcome::Sound)
    }
}
