//! A limit of wrong passwords for each network, whatever accounts they are for: somebody who tries one password at each of
//! many accounts never comes to the delay of one of them (`sign_in_delays`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::client_network::network;

use crate::clock::Micros;

const SECOND: Micros = 1_000_000;
/// The wrong passwords that a network has free. People share an address, and mistype.
const FREE_TRIES: i64 = 50;
/// The time after which a network has one more.
const INTERVAL: Micros = 10 * SECOND;
/// The most networks that are counted. Beyond that, the one with the fewest wrong passwords is forgotten.
const MAX_COUNTED: usize = 10_000;

/// Counts the wrong passwords of networks in this process: for each network, the time at which all its tries are free
/// again.
#[derive(Default)]
pub(crate) struct SignInRates(Mutex<HashMap<Option<IpAddr>, Micros>>);

impl SignInRates {
    /// Counts a try, which is taken for a wrong one until [`SignInRates::take_back`]. If the network has no try left,
    /// this counts nothing and returns the seconds to wait.
    pub(crate) fn begin(&self, address: Option<IpAddr>, now: Micros) -> Result<(), u64> {
        let (mut counted, network) = (self.lock(), address.map(network));
        // A clock that was set back must not make the wait longer.
        let latest = now + FREE_TRIES * INTERVAL;
        let free_at = counted.get(&network).map_or(now, |free_at| *free_at).clamp(now, latest);
        let left = free_at + INTERVAL - latest;
        if left > 0 {
            return Err(left.unsigned_abs().div_ceil(SECOND.unsigned_abs()));
        }
        if !counted.contains_key(&network) && counted.len() >= MAX_COUNTED {
            make_room(&mut counted, now);
        }
        counted.insert(network, free_at + INTERVAL);
        Ok(())
    }

    /// Takes one try back, because its password was right, or nobody found that out.
    pub(crate) fn take_back(&self, address: Option<IpAddr>) {
        if let Some(free_at) = self.lock().get_mut(&address.map(network)) {
            *free_at -= INTERVAL;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Micros>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the networks whose tries are all free, or else the one whose tries are free first.
fn make_room(counted: &mut HashMap<Option<IpAddr>, Micros>, now: Micros) {
    counted.retain(|_, free_at| *free_at > now);
    if counted.len() >= MAX_COUNTED {
        let first = counted.iter().min_by_key(|(_, free_at)| **free_at);
        if let Some(network) = first.map(|(network, _)| *network) {
            counted.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_network_has_some_tries_and_then_one_at_a_time() {
        let (rates, here) = (SignInRates::default(), address("192.0.2.1"));
        for _ in 0..FREE_TRIES {
            assert_eq!(rates.begin(here, 0), Ok(()));
        }
        assert_eq!(rates.begin(here, 0), Err(10));
        assert_eq!(rates.begin(here, 1), Err(10));
        assert_eq!(rates.begin(here, INTERVAL - 1), Err(1));
        assert_eq!(rates.begin(here, INTERVAL), Ok(()));
        assert_eq!(rates.begin(here, INTERVAL), Err(10));
        assert_eq!(rates.begin(address("192.0.2.2"), 0), Ok(()), "another network");
        // After a long time there are no more than at first.
        for _ in 0..FREE_TRIES {
            assert_eq!(rates.begin(here, 1_000 * INTERVAL), Ok(()));
        }
        assert_eq!(rates.begin(here, 1_000 * INTERVAL), Err(10));
        assert_eq!(rates.begin(here, 0), Err(10), "a clock that was set back");
    }

    #[test]
    fn right_passwords_do_not_count() {
        let (rates, here) = (SignInRates::default(), address("192.0.2.1"));
        for _ in 0..3 * FREE_TRIES {
            assert_eq!(rates.begin(here, 0), Ok(()));
            rates.take_back(here);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_a_64() {
        let rates = SignInRates::default();
        for n in 0..FREE_TRIES {
            assert_eq!(rates.begin(address(&format!("2001:db8::{n:x}")), 0), Ok(()));
        }
        assert_eq!(rates.begin(address("2001:db8::ffff"), 0), Err(10));
        assert_eq!(rates.begin(address("2001:db8:0:1::1"), 0), Ok(()));
    }

    #[test]
    fn the_memory_is_bounded() {
        let rates = SignInRates::default();
        let busy = address("192.0.2.1");
        for _ in 0..FREE_TRIES {
            assert_eq!(rates.begin(busy, 0), Ok(()));
        }
        for n in 0..MAX_COUNTED {
            let somebody = address(&format!("10.0.{}.{}", n / 256, n % 256));
            assert_eq!(rates.begin(somebody, 0), Ok(()));
        }
        assert_eq!(rates.lock().len(), MAX_COUNTED);
        assert_eq!(rates.begin(busy, 0), Err(10), "the busy one is remembered");
    }
}
