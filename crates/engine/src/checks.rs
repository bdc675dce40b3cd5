//! Whether copies are what they should be: checks that requests share, and what follows from them.
//!
//! A copy that is missing, cannot be read or has other bytes is taken out of service: the blob answers 404, so that
//! clients push it again. Before that is believed, the store has to be itself. One that turns out right is back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob::{Blame, BlobError, CopyId, Stamp};
use meta::Id;
use meta::blobs::{self, Blob};
use model::digest::Digest;
use tokio::sync::{Semaphore, watch};

use crate::{Engine, EngineError};

/// How many copies are hashed at once for requests: a disk has to serve these meanwhile.
const CHECKS_AT_ONCE: usize = 2;
/// How many checks are begun, or wait for their turn, that no request waits for.
const MOST_BEGUN: usize = 16;
/// How many copies are remembered whose bytes were wrong.
const MOST_WRONG: usize = 1024;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The bytes are right.
    Sound,
    /// The bytes are others, or fewer.
    Corrupt,
    /// There is no file.
    Missing,
    /// The file cannot be opened or read, or is none.
    Unreadable,
    /// The store or the machine could not answer. The copy stays what it was.
    Unknown,
}

/// How many copies were found to be what, by everything that reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Copies whose bytes were read and are right.
    pub sound: u64,
    /// Copies that were taken out of service for other bytes.
    pub corrupt: u64,
    /// Copies that were taken out of service without a file.
    pub missing: u64,
    /// Copies that were taken out of service because they could not be read.
    pub unreadable: u64,
    /// Copies that are back.
    pub restored: u64,
    /// Bytes that the scrub has read.
    pub scrubbed_bytes: u64,
}

#[derive(Default)]
struct Counters {
    sound: AtomicU64,
    corrupt: AtomicU64,
    missing: AtomicU64,
    unreadable: AtomicU64,
    restored: AtomicU64,
    scrubbed_bytes: AtomicU64,
}

/// The checks that run.
pub(crate) struct Checks {
    running: Mutex<HashMap<Id, Check>>,
    turns: Arc<Semaphore>,
    /// Copies whose bytes were wrong, and what their files looked like: to read them again would show the same.
    wrong: Mutex<HashMap<Id, Stamp>>,
    counters: Counters,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            turns: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            wrong: Mutex::default(),
            counters: Counters::default(),
        }
    }
}

/// A check that runs, for whoever wants to know.
#[derive(Clone)]
pub(crate) struct Check(watch::Receiver<Option<CheckOutcome>>);

impl Check {
    /// Waits for its end.
    pub(crate) async fn outcome(mut self) -> CheckOutcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => (*outcome).unwrap_or(CheckOutcome::Unknown),
            Err(_) => CheckOutcome::Unknown,
        }
    }

    /// Whether it ended, or broke.
    fn is_over(&self) -> bool {
        self.0.has_changed().is_err() || self.0.borrow().is_some()
    }
}

impl Checks {
    fn running(&self) -> MutexGuard<'_, HashMap<Id, Check>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self) -> MutexGuard<'_, HashMap<Id, Stamp>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that the scrub has read.
    pub(crate) fn count_scrubbed(&self, bytes: u64) {
        self.counters.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Remembers what the file of a copy with wrong bytes looks like.
    fn remember(&self, copy: &Id, stamp: Stamp) {
        let mut wrong = self.wrong();
        if wrong.len() >= MOST_WRONG {
            wrong.clear();
        }
        wrong.insert(*copy, stamp);
    }
}

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
    pub(crate) fn check_copy(&self, digest: &Digest, row: &Blob) -> Check {
        let mut running = self.checks.running();
        if let Some(check) = running.get(&row.copy_id).filter(|check| !check.is_over()) {
            return check.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let check = Check(receiver);
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
    pub(crate) fn check_in_background(&self, digest: &Digest, row: &Blob) {
        if self.checks.running().len() < MOST_BEGUN {
            let _ = self.check_copy(digest, row);
        }
    }

    async fn run_check(&self, digest: &Digest, row: &Blob) -> CheckOutcome {
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
    async fn hash_copy(&self, digest: &Digest, row: &Blob) -> Result<Stamp, BlobError> {
        let reader = self.blobs.open(CopyId::from(row.copy_id.to_bytes())).await?;
        let stamp = reader.stamp();
        let known = self.checks.wrong().get(&row.copy_id).copied();
        if known == Some(stamp) || reader.size() != row.size as u64 {
            return Err(BlobError::Corrupt);
        }
        if reader.verify(digest.algorithm()).await? == *digest {
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
        found: Result<Stamp, &BlobError>,
    ) -> Result<CheckOutcome, EngineError> {
        let error = match found {
            Ok(stamp) => return self.keep(copy, digest, stamp).await,
            Err(error) => error,
        };
        let outcome = match error.blame() {
            Blame::Missing => CheckOutcome::Missing,
            Blame::Unreadable => CheckOutcome::Unreadable,
            Blame::Corrupt => CheckOutcome::Corrupt,
            Blame::Nothing => return Ok(CheckOutcome::Unknown),
        };
        self.blobs.check_place().await?;
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
                blobs::set_looked_at(tx, &id, now)?;
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
        stamp: Stamp,
    ) -> Result<CheckOutcome, EngineError> {
        let (id, now, times) = (*copy, self.clock.now(), (stamp.mtime_ns, stamp.ctime_ns));
        let write = move |tx: &mut meta::Tx<'_>| {
            let before = blobs::copy_state(tx, &id)?;
            blobs::set_verified(tx, &id, times, now)?;
            Ok::<_, EngineError>(before)
        };
        let before = self.meta.write(write).await?;
        self.checks.wrong().remove(copy);
        self.checks.counters.sound.fetch_add(1, Ordering::Relaxed);
        if before.as_deref() == Some("quarantined") {
            self.checks.counters.restored.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                blob.digest = %digest, copy.id = %copy,
                "blob {digest} is served again: its copy {copy} is right after all"
            );
        }
        Ok(CheckOutcome::Sound)
    }
}
