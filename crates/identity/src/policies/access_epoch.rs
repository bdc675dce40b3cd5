//! The epoch of access, as this process read it last.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest time for which an epoch that was read is trusted.
const TRUSTED_FOR: Duration = Duration::from_secs(4);

/// The epoch of access that was read last, and when reading it began.
#[derive(Default)]
pub(crate) struct AccessEpoch(Mutex<Option<(i64, Instant)>>);

impl AccessEpoch {
    /// Returns the epoch, if it was read lately.
    pub(crate) fn trusted(&self) -> Option<i64> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(_, read_at)| read_at.elapsed() < TRUSTED_FOR).map(|(epoch, _)| epoch)
    }

    /// Records an epoch whose reading began at `started`. Of two readings that overtook each other, the one that began
    /// later counts; an epoch never falls.
    pub(crate) fn record(&self, epoch: i64, started: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((known, read_at)) if known > epoch || read_at > started => {}
            Some(_) | None => *last = Some((epoch, started)),
        }
    }
}
