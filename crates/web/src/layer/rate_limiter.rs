//! How often somebody does something, counted by who it is.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota};

/// The most that are told apart.
const MAX_KEYS: usize = 10_000;

/// Lets each do something so many times at once, and then so many times a second.
#[derive(Debug)]
pub struct RateLimiter<K: Clone + Eq + Hash>(DefaultKeyedRateLimiter<K>);

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// So many times at once, and so many times a second after that.
    pub fn new(at_once: NonZeroU32, a_second: NonZeroU32) -> Self {
        Self(governor::RateLimiter::keyed(Quota::per_second(a_second).allow_burst(at_once)))
    }

    /// Whether there may be one more. `None`: there are so many that they cannot be told apart.
    pub fn try_acquire(&self, key: &K) -> Option<bool> {
        if self.0.len() >= MAX_KEYS {
            self.0.retain_recent();
        }
        (self.0.len() < MAX_KEYS).then(|| self.0.check_key(key).is_ok())
    }
}

/// Who has one address of IPv6 has all of its network.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}
