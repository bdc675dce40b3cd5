//! Limits for how often something is done, for each key.

use std::hash::Hash;
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota};

/// The most keys that are counted separately.
const MAX_KEYS: usize = 10_000;

/// Allows each key a number of times at once, and then a number of times a second.
#[derive(Debug)]
pub struct RateLimiter<K: Clone + Eq + Hash>(DefaultKeyedRateLimiter<K>);

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Creates a limiter that allows each key `at_once` times at once, and `a_second` times a second after that.
    pub fn new(at_once: NonZeroU32, a_second: NonZeroU32) -> Self {
        Self(governor::RateLimiter::keyed(Quota::per_second(a_second).allow_burst(at_once)))
    }

    /// Counts once for a key, and returns whether the key is within its limit. Returns `None` if there are too many
    /// keys to count them separately.
    pub fn try_acquire(&self, key: &K) -> Option<bool> {
        if self.0.len() >= MAX_KEYS {
            self.0.retain_recent();
        }
        (self.0.len() < MAX_KEYS).then(|| self.0.check_key(key).is_ok())
    }
}
