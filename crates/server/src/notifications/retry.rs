//! Decides which message to try next, and when, from the receiver's answers to earlier attempts.
//!
//! A message that did not arrive is tried again, and the others wait behind it: the receiver is down, and the messages
//! should come in order. After three refusals, the message itself may be the cause: then every second attempt is for
//! one of the next messages. If the receiver takes that one, the first message is tried once more, and put off if it is
//! refused again.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

/// The number of refusals in a row after which other messages are tried too.
const MAX_REFUSALS: u32 = 3;

/// The time for which a receiver is left alone after failures.
const REST: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

/// The time by which a refused message is put off.
const POSTPONEMENT: Backoff =
    Backoff { first: Duration::from_secs(600), max: Duration::from_secs(6 * 3600) };

/// A time that doubles with each repetition.
struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Returns the time after `times` repetitions.
    fn after(&self, times: u32) -> Duration {
        self.first.saturating_mul(1 << times.min(16)).min(self.max)
    }
}

/// The reason why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureCause {
    /// No receiver has looked at the message: it is down, busy, or may not be reached.
    Absent,
    /// The message may be the reason: the receiver refused it, or did not answer in time.
    Refused,
}

/// The recent failures of a receiver, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    /// The attempts that failed since the last success.
    failures: u32,
    /// The attempts among `failures` at which a message was refused.
    refusals: u32,
    /// The time at which the next attempt is due.
    rest_until: Option<Instant>,
    /// True if the first message was refused, and another one has been taken since.
    doubtful: bool,
}

impl RetryState {
    /// Returns whether the receiver has to be left alone for now.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Returns the index of the message to try, out of `waiting` messages.
    pub(super) fn choose(&self, waiting: usize) -> usize {
        match self.refusals.checked_sub(MAX_REFUSALS) {
            Some(more) if more % 2 == 0 => (more as usize / 2 + 1) % waiting,
            Some(_) | None => 0,
        }
    }

    /// Records that the message with this index was taken. Returns `Break` with the number of failures before it, if
    /// there were any.
    pub(super) fn record_taken(&mut self, chosen: usize) -> ControlFlow<u32> {
        let before = std::mem::take(self).failures;
        self.doubtful = chosen > 0;
        if before == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(before) }
    }

    /// Records that a message was not taken. Returns whether the others have to go before it.
    pub(super) fn record_failure(&mut self, cause: FailureCause, now: Instant) -> bool {
        let rest = REST.after(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = Some(now + jittered(rest, getrandom::u32().unwrap_or_default()));
        let refused = cause == FailureCause::Refused;
        self.refusals = self.refusals.saturating_add(refused.into());
        let put_off = refused && std::mem::take(&mut self.doubtful);
        if put_off {
            // The next message starts with no refusals.
            self.refusals = 0;
        }
        put_off
    }

    /// Returns whether the last attempt was the first one that failed.
    pub(super) fn has_just_begun_to_fail(&self) -> bool {
        self.failures == 1
    }
}

/// Returns how long to put off a message that was put off `times` times before.
pub(super) fn postponement(times: i64) -> Duration {
    POSTPONEMENT.after(u32::try_from(times).unwrap_or_default())
}

/// Returns a random part of `rest`, at least half, so that many attempts do not come at once.
fn jittered(rest: Duration, random: u32) -> Duration {
    rest / 2 + rest.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the delivery of messages until none is left, or a hundred attempts were made. Capital letters are
    /// refused, and the receiver is absent at the first `absent` attempts. Returns the attempts in order, and what was
    /// put off.
    fn play(messages: &str, absent: usize) -> (String, String) {
        let (mut retry, mut left) = (RetryState::default(), messages.to_owned());
        let (mut tried, mut put_off) = (String::new(), String::new());
        while !left.is_empty() && tried.len() < 100 {
            let chosen = retry.choose(left.len());
            let message = left.as_bytes()[chosen] as char;
            tried.push(message);
            let cause =
                if tried.len() <= absent { FailureCause::Absent } else { FailureCause::Refused };
            if cause == FailureCause::Refused && message.is_ascii_lowercase() {
                let _ = retry.record_taken(chosen);
                left.remove(chosen);
            } else if retry.record_failure(cause, Instant::now()) {
                put_off.push(left.remove(chosen));
            }
        }
        (tried, put_off)
    }

    #[tokio::test]
    async fn a_refused_message_lets_the_others_go() {
        let check = |messages: &str, tried: &str, put_off: &str| {
            assert_eq!(play(messages, 0), (tried.to_owned(), put_off.to_owned()));
        };
        check("abc", "abc", "");
        check("aBcd", "aBBBcBd", "B");
        check("ABcd", "AAABAcABBBdB", "AB");
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_keeps_the_order() {
        let (tried, put_off) = play("ABC", 0);
        assert!(tried.starts_with("AAABACAAABAC"), "{tried}");
        assert_eq!((tried.len(), put_off.as_str()), (100, ""));
        assert_eq!(play("abc", 9), ("aaaaaaaaaabc".to_owned(), String::new()));
    }

    #[tokio::test]
    async fn it_rests_longer_each_time() {
        let (mut retry, now) = (RetryState::default(), Instant::now());
        assert!(!retry.rests(now));
        assert!(!retry.record_failure(FailureCause::Absent, now));
        assert!(retry.has_just_begun_to_fail());
        assert!(retry.rests(now + REST.first / 2 - Duration::from_millis(1)));
        assert!(!retry.rests(now + REST.first));
        for _ in 0..1_000 {
            retry.record_failure(FailureCause::Refused, now);
        }
        assert!(!retry.has_just_begun_to_fail());
        assert!(retry.rests(now + REST.max / 2 - Duration::from_millis(1)));
        assert!(!retry.rests(now + REST.max));
        assert_eq!(retry.record_taken(0), ControlFlow::Break(1_001));
        assert!(!retry.rests(now));
        assert_eq!(retry.record_taken(0), ControlFlow::Continue(()));
        assert_eq!(
            (postponement(0), postponement(1), postponement(99)),
            (POSTPONEMENT.first, POSTPONEMENT.first * 2, POSTPONEMENT.max)
        );
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let rest = Duration::from_secs(8);
        assert_eq!(jittered(rest, 0), rest / 2);
        assert_eq!(jittered(rest, u32::MAX), rest);
    }
}
