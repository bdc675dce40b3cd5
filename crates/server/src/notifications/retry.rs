//! What to try next, and when: decided from what the receiver did before.
//!
//! A message that did not arrive is tried again, and the others wait behind it: the receiver is down, and what it
//! misses shall come in order. One that was refused three times may be what is wrong: then every second attempt is for
//! one of the next ones. If the receiver takes that, the first is tried once more, and put off if it is refused again.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

/// After so many refusals in a row, other messages are tried.
const PATIENCE: u32 = 3;

/// How long a receiver is left alone after its first failure, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a message is put off the first time, and at most.
const LATER: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(6 * 3600));

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureCause {
    /// Nobody was there who would have looked at it.
    Absent,
    /// It may be the message.
    Refused,
}

/// How a receiver has done lately.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    /// Attempts that failed since the last one that did not.
    failures: u32,
    /// Those among them at which a message was refused.
    refusals: u32,
    /// When the next attempt is due.
    rest_until: Option<Instant>,
    /// Whether the first message was refused and another one taken since.
    doubtful: bool,
}

impl RetryState {
    /// Whether the receiver is to be left alone.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Which of so many waiting messages to try.
    pub(super) fn choose(&self, waiting: usize) -> usize {
        match self.refusals.checked_sub(PATIENCE) {
            Some(more) if more % 2 == 0 => (more as usize / 2 + 1) % waiting,
            Some(_) | None => 0,
        }
    }

    /// The message with this number was taken. Breaks off a row of failures, if there was one, and says how long it
    /// was.
    pub(super) fn taken(&mut self, chosen: usize) -> ControlFlow<u32> {
        let before = std::mem::take(self).failures;
        self.doubtful = chosen > 0;
        if before == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(before) }
    }

    /// A message was not taken. Answers whether the others are to go before it.
    pub(super) fn failed(&mut self, cause: FailureCause, now: Instant) -> bool {
        let rest = doubled(REST, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = Some(now + jittered(rest, getrandom::u32().unwrap_or_default()));
        let refused = cause == FailureCause::Refused;
        self.refusals = self.refusals.saturating_add(refused.into());
        let put_off = refused && std::mem::take(&mut self.doubtful);
        if put_off {
            // The next one has patience of its own.
            self.refusals = 0;
        }
        put_off
    }

    /// Whether the last attempt was the first one that failed.
    pub(super) fn has_just_begun_to_fail(&self) -> bool {
        self.failures == 1
    }
}

/// How long a message is put off that was put off so often.
pub(super) fn later(times: i64) -> Duration {
    doubled(LATER, u32::try_from(times).unwrap_or_default())
}

fn doubled((first, most): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

/// Between half of it and all, so that many do not come at once.
fn jittered(rest: Duration, random: u32) -> Duration {
    rest / 2 + rest.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays what comes of messages until nothing is left, or a hundred attempts were made. Capitals are refused, and
    /// nobody is there for the first `absent` attempts. Answers the order of attempts, and what was put off.
    fn play(messages: &str, absent: usize) -> (String, String) {
        let (mut course, mut left) = (RetryState::default(), messages.to_owned());
        let (mut tried, mut put_off) = (String::new(), String::new());
        while !left.is_empty() && tried.len() < 100 {
            let chosen = course.choose(left.len());
            let message = left.as_bytes()[chosen] as char;
            tried.push(message);
            let cause =
                if tried.len() <= absent { FailureCause::Absent } else { FailureCause::Refused };
            if cause == FailureCause::Refused && message.is_ascii_lowercase() {
                let _ = course.taken(chosen);
                left.remove(chosen);
            } else if course.failed(cause, Instant::now()) {
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
        let (mut course, now) = (RetryState::default(), Instant::now());
        assert!(!course.rests(now));
        assert!(!course.failed(FailureCause::Absent, now));
        assert!(course.has_just_begun_to_fail());
        assert!(course.rests(now + REST.0 / 2 - Duration::from_millis(1)));
        assert!(!course.rests(now + REST.0));
        for _ in 0..1_000 {
            course.failed(FailureCause::Refused, now);
        }
        assert!(!course.has_just_begun_to_fail());
        assert!(course.rests(now + REST.1 / 2 - Duration::from_millis(1)));
        assert!(!course.rests(now + REST.1));
        assert_eq!(course.taken(0), ControlFlow::Break(1_001));
        assert!(!course.rests(now));
        assert_eq!(course.taken(0), ControlFlow::Continue(()));
        assert_eq!((later(0), later(1), later(99)), (LATER.0, LATER.0 * 2, LATER.1));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let rest = Duration::from_secs(8);
        assert_eq!(jittered(rest, 0), rest / 2);
        assert_eq!(jittered(rest, u32::MAX), rest);
    }
}
