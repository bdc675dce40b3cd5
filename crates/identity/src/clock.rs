//! The one place where the time comes from, so that tests can move it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 in UTC.
pub type Micros = i64;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
    fn now(&self) -> Micros {
        // A clock before 1970 is wrong anyway; 0 keeps everything in order.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
    }
}

/// A length of time in microseconds.
pub fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2)
}
