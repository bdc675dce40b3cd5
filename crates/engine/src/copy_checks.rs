//! The checks of copies that run, which requests share, and their counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob::FileTimes;
use meta::Id;
use tokio::sync::{Semaphore, watch};

/// How many copies are hashed at once for requests: a disk has to serve these meanwhile.
const MAX_RUNNING_CHECKS: usize = 2;
/// How many copies are remembered whose bytes were wrong.
const MAX_WRONG_COPIES: usize = 1024;

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
pub(crate) struct CheckCounters {
    pub(crate) sound: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) restored: AtomicU64,
    pub(crate) scrubbed_bytes: AtomicU64,
}

/// The checks that run.
pub(crate) struct CopyChecks {
    running: Mutex<HashMap<Id, RunningCheck>>,
    pub(crate) turns: Arc<Semaphore>,
    /// Copies whose bytes were wrong, and what their files looked like: to read them again would show the same.
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

/// A check that runs, for whoever wants to know.
#[derive(Clone)]
pub(crate) struct RunningCheck(pub(crate) watch::Receiver<Option<CheckOutcome>>);

impl RunningCheck {
    /// Waits for its end.
    pub(crate) async fn outcome(mut self) -> CheckOutcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => (*outcome).unwrap_or(CheckOutcome::Unknown),
            Err(_) => CheckOutcome::Unknown,
        }
    }

    /// Whether it ended, or broke.
    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().is_err() || self.0.borrow().is_some()
    }
}

impl CopyChecks {
    /// The checks that run, by the copy.
    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<Id, RunningCheck>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copies whose bytes were wrong.
    pub(crate) fn wrong(&self) -> MutexGuard<'_, HashMap<Id, FileTimes>> {
        self.wrong_copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that the scrub has read.
    pub(crate) fn count_scrubbed(&self, bytes: u64) {
        self.counters.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Remembers what the file of a copy with wrong bytes looks like.
    pub(crate) fn remember(&self, copy: &Id, stamp: FileTimes) {
        let mut wrong = self.wrong();
        if wrong.len() >= MAX_WRONG_COPIES {
            wrong.clear();
        }
        wrong.insert(*copy, stamp);
    }
}
