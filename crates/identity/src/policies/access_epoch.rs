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
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(_, at)| at.elapsed() < TRUSTED_FOR).map(|(epoch, _)| epoch)
    }

    /// Records an epoch whose reading began at `started`. Of two readings that overtook each other, the one that began
    /// later counts; an epoch never falls.
    pub(crate) fn note(&self, epoch: i64, started: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((known, at)) if known > epoch || at > started => {}
            Some(_) | None => *seen = Some((epoch, started)),
        }
    }
}
