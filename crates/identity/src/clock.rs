//! The clock: the one source of the time, so that tests can move it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 in UTC.
pub type Micros = i64;

/// A source of the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all other code asks")]
    fn now(&self) -> Micros {
        // A clock that stands before 1970 is wrong anyway. 0 keeps the order of times.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
    }
}

/// Returns a length of time in microseconds.
pub fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2)
}
