//! Lines of the log about what strangers make happen as often as they like.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is said.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Lets one line through once in a while.
#[derive(Debug)]
pub struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// Lets the first line through.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns whether it is time for a line, which is then taken for written.
    pub fn is_time(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| last.elapsed() >= SAID_EVERY);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }
}
