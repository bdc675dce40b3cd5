//! The epoch of access, as this process saw it last.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old the last look may be.
const TRUSTED_FOR: Duration = Duration::from_secs(4);

/// The epoch as it was last seen.
#[derive(Default)]
pub(crate) struct AccessEpoch(Mutex<Option<(i64, Instant)>>);

impl AccessEpoch {
    /// The epoch, if it was looked at lately.
    pub(crate) fn trusted(&self) -> Option<i64> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(_, at)| at.elapsed() < TRUSTED_FOR).map(|(epoch, _)| epoch)
    }

    /// Notes the epoch that a look which began at `started` found. Of two looks that overtook each other, the later one
    /// counts; an epoch never falls.
    pub(crate) fn note(&self, epoch: i64, started: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((known, at)) if known > epoch || at > started => {}
            Some(_) | None => *seen = Some((epoch, started)),
        }
    }
}
