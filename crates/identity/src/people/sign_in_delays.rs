//! Delays after wrong passwords. They grow with each wrong one for an account from a network, and nobody else waits for
//! them: a stranger cannot lock a person out.
//!
//! The limit of guesses at other credentials (`GuessThrottle` of the doors) changes only the answers to wrong ones. Its
//! thousand free guesses are few for a key, and many for a password.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::client_network::network;
use model::digest::Digest;

use crate::clock::Micros;

const SECOND: Micros = 1_000_000;
/// The wrong passwords in a row after which the next try is delayed.
const FREE_TRIES: u32 = 5;
/// The longest delay.
const MAX_DELAY: Micros = 60 * SECOND;
/// The time after the last wrong password at which the ones before are forgotten.
const FORGOTTEN_AFTER: Micros = 3600 * SECOND;
/// The most accounts and networks that wrong passwords are counted for. Beyond that, the oldest is forgotten.
const MAX_COUNTED: usize = 10_000;

/// The account that somebody tries to sign in to, and the network that they do it from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SignInTarget {
    /// The hash of the address as it was sent, which may be long.
    account: Digest,
    network: Option<IpAddr>,
}

impl SignInTarget {
    pub(crate) fn new(email: &str, address: Option<IpAddr>) -> Self {
        let account = Digest::of(email.to_ascii_lowercase().as_bytes());
        Self { account, network: address.map(network) }
    }
}

/// The wrong passwords for one account from one network.
#[derive(Debug, Clone, Copy)]
struct WrongPasswords {
    count: u32,
    last_at: Micros,
    /// The time from which the next try is allowed.
    next_at: Micros,
}

/// Counts wrong passwords in this process.
#[derive(Default)]
pub(crate) struct SignInDelays(Mutex<HashMap<SignInTarget, WrongPasswords>>);

impl SignInDelays {
    /// Counts a try, which is taken for a wrong one until [`SignInDelays::forget`]: so tries at the same time count too.
    /// If the try is too early, this counts nothing and returns the seconds to wait.
    pub(crate) fn begin(&self, target: &SignInTarget, now: Micros) -> Result<(), u64> {
        let mut counted = self.lock();
        let known = counted.get(target).filter(|known| now - known.last_at < FORGOTTEN_AFTER);
        let count = known.map_or(0, |known| known.count);
        // A clock that was set back must not make the delay longer.
        if let Some(left) =
            known.map(|known| known.next_at - now).filter(|left| (1..=MAX_DELAY).contains(left))
        {
            return Err(left.div_euclid(SECOND).unsigned_abs() + u64::from(left % SECOND > 0));
        }
        let wrong =
            WrongPasswords { count: count + 1, last_at: now, next_at: now + delay(count + 1) };
        if !counted.contains_key(target) && counted.len() >= MAX_COUNTED {
            make_room(&mut counted, now);
        }
        counted.insert(target.clone(), wrong);
        Ok(())
    }

    /// Forgets all tries, because the password of one was right.
    pub(crate) fn forget(&self, target: &SignInTarget) {
        self.lock().remove(target);
    }

    /// Takes one try back, because nobody found out whether its password is right.
    pub(crate) fn take_back(&self, target: &SignInTarget) {
        let mut counted = self.lock();
        if let Some(wrong) = counted.get_mut(target) {
            wrong.count = wrong.count.saturating_sub(1);
            wrong.next_at = wrong.last_at + delay(wrong.count);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SignInTarget, WrongPasswords>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the delay after this many wrong passwords in a row.
fn delay(count: u32) -> Micros {
    match count.checked_sub(FREE_TRIES) {
        None => 0,
        Some(more) => (SECOND << more.min(10)).min(MAX_DELAY),
    }
}

/// Forgets what is old, or else the oldest.
fn make_room(counted: &mut HashMap<SignInTarget, WrongPasswords>, now: Micros) {
    counted.retain(|_, wrong| now - wrong.last_at < FORGOTTEN_AFTER);
    if counted.len() >= MAX_COUNTED {
        let oldest = counted.iter().min_by_key(|(_, wrong)| wrong.last_at);
        if let Some(oldest) = oldest.map(|(target, _)| target.clone()) {
            counted.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(email: &str, address: &str) -> SignInTarget {
        SignInTarget::new(email, Some(address.parse().expect("an address")))
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let (delays, alice) = (SignInDelays::default(), target("alice@example.com", "192.0.2.1"));
        let mut now = 0;
        for _ in 0..FREE_TRIES {
            assert_eq!(delays.begin(&alice, now), Ok(()));
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(delays.begin(&alice, now), Err(seconds));
            // A try that was refused does not make the delay longer.
            assert_eq!(delays.begin(&alice, now + 1), Err(seconds));
            now += seconds as Micros * SECOND;
            assert_eq!(delays.begin(&alice, now - 1), Err(1));
            assert_eq!(delays.begin(&alice, now), Ok(()), "after {seconds} s");
        }
        assert_eq!(delays.begin(&alice, now - 2 * MAX_DELAY), Ok(()), "a clock that was set back");
    }

    #[test]
    fn only_the_same_account_from_the_same_network_waits() {
        let delays = SignInDelays::default();
        let alice = target("alice@example.com", "192.0.2.1");
        for _ in 0..FREE_TRIES {
            assert_eq!(delays.begin(&alice, 0), Ok(()));
        }
        assert_eq!(delays.begin(&target("Alice@Example.com", "192.0.2.1"), 0), Err(1));
        assert_eq!(delays.begin(&target("alice@example.com", "192.0.2.2"), 0), Ok(()));
        assert_eq!(delays.begin(&target("bob@example.com", "192.0.2.1"), 0), Ok(()));
        delays.forget(&alice);
        assert_eq!(delays.begin(&alice, 0), Ok(()));
    }

    #[test]
    fn tries_that_found_nothing_out_do_not_count() {
        let (delays, alice) = (SignInDelays::default(), target("alice@example.com", "192.0.2.1"));
        for _ in 0..3 * FREE_TRIES {
            assert_eq!(delays.begin(&alice, 0), Ok(()));
            delays.take_back(&alice);
        }
    }

    #[test]
    fn wrong_passwords_of_an_hour_ago_are_forgotten() {
        let (delays, alice) = (SignInDelays::default(), target("alice@example.com", "192.0.2.1"));
        for now in [0, FORGOTTEN_AFTER] {
            for _ in 0..FREE_TRIES {
                assert_eq!(delays.begin(&alice, now), Ok(()));
            }
            assert_eq!(delays.begin(&alice, now), Err(1));
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let delays = SignInDelays::default();
        for number in 0..=MAX_COUNTED {
            let somebody = target(&format!("u{number}@example.com"), "192.0.2.1");
            assert_eq!(delays.begin(&somebody, number as Micros), Ok(()));
        }
        let counted = delays.lock();
        assert_eq!(counted.len(), MAX_COUNTED);
        assert!(!counted.contains_key(&target("u0@example.com", "192.0.2.1")), "the oldest went");
    }
}
