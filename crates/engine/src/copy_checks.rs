//! The checks of copies that run now, which requests share, and the counts of their outcomes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob::FileTimes;
use meta::Id;
use tokio::sync::{Semaphore, watch};

/// The largest number of copies that are hashed at once for requests. The disk has to serve other requests meanwhile.
const MAX_RUNNING_CHECKS: usize = 2;
/// The largest number of copies with wrong bytes that are remembered.
const MAX_WRONG_COPIES: usize = 1024;

/// The outcome of the check of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The bytes match the digest.
    Sound,
    /// The bytes do not match the digest, or some are missing.
    Corrupt,
    /// The file is missing.
    Missing,
    /// The file cannot be opened or read, or is no regular file.
    Unreadable,
    /// The store or the machine could not answer. The state of the copy does not change.
    Unknown,
}

/// The outcomes of all checks in this process: those of reads, and those of the scrub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Copies whose bytes were read and match the digest.
    pub sound: u64,
    /// Copies that were taken out of service because their bytes do not match the digest.
    pub corrupt: u64,
    /// Copies that were taken out of service because their file is missing.
    pub missing: u64,
    /// Copies that were taken out of service because their file cannot be read.
    pub unreadable: u64,
    /// Copies that were out of service and turned out to be right.
    pub restored: u64,
    /// Bytes that the scrub has read.
    pub scrubbed_bytes: u64,
}

#[derive(Default)]
pub(crate) struct CheckCounters {
    pub(crate) sound: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) restored: AtomicU64,
    pub(crate) scrubbed_bytes: AtomicU64,
}

/// The checks that run now, and the memory of earlier ones.
pub(crate) struct CopyChecks {
    running: Mutex<HashMap<Id, RunningCheck>>,
    pub(crate) turns: Arc<Semaphore>,
    /// The copies whose bytes were wrong, with the times of their files. A file with the same times is not read
    /// again.
    wrong_copies: Mutex<HashMap<Id, FileTimes>>,
    pub(crate) counters: CheckCounters,
}

impl Default for CopyChecks {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            turns: Arc::new(Semaphore::new(MAX_RUNNING_CHECKS)),
            wrong_copies: Mutex::default(),
            counters: CheckCounters::default(),
        }
    }
}

/// A check that runs. Every clone of it waits for the same outcome.
#[derive(Clone)]
pub(crate) struct RunningCheck(pub(crate) watch::Receiver<Option<CheckOutcome>>);

impl RunningCheck {
    /// Waits until the check has ended, and returns its outcome.
    pub(crate) async fn outcome(mut self) -> CheckOutcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => (*outcome).unwrap_or(CheckOutcome::Unknown),
            Err(_) => CheckOutcome::Unknown,
        }
    }

    /// Returns whether the check has ended, or its task has died.
    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().is_err() || self.0.borrow().is_some()
    }
}

impl CopyChecks {
    /// Returns the checks that run, by the id of the copy.
    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<Id, RunningCheck>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the copies whose bytes were wrong, with the times of their files.
    pub(crate) fn wrong_copies(&self) -> MutexGuard<'_, HashMap<Id, FileTimes>> {
        self.wrong_copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that the scrub has read.
    pub(crate) fn count_scrubbed(&self, bytes: u64) {
        self.counters.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Remembers the times of the file of a copy with wrong bytes.
    pub(crate) fn remember_wrong_copy(&self, copy: &Id, times: FileTimes) {
        let mut wrong = self.wrong_copies();
        if wrong.len() >= MAX_WRONG_COPIES {
            wrong.clear();
        }
        wrong.insert(*copy, times);
    }
}
