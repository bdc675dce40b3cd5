//! Whether a connection is still worth its place: whether its readers read, and whether it is used at all.
//!
//! TCP ends connections that take no bytes, but it does not see that an HTTP/2 client gives a stream no window, or
//! that somebody takes just enough to look alive. So what was taken of each answer is compared, a few times within
//! the reader's patience. Requests only put themselves on a list, and bytes cost one addition: no clock is read.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use web::layer::in_flight::InFlightRequest;

/// An answer that has not got on by as much as this in [`PATIENCE`] looks is stuck. About half a kilobyte a second
/// with the default settings: slower than any line, and than any disk that unpacks meanwhile.
const PROGRESS: u64 = 64 << 10;
/// With two looks in each `idle_timeout`, between three and a half and four of them.
const PATIENCE: u32 = 8;
/// Looks that find no request on an HTTP/2 connection before it is ended.
const IDLE: u32 = 2;

/// How often a connection is looked at.
pub(super) fn period(idle_timeout: Duration) -> Duration {
    // A period of zero would never rest.
    (idle_timeout / 2).max(Duration::from_millis(1))
}

/// What a look at a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// Somebody is served, or was a moment ago.
    InUse,
    /// Nothing was asked for a while.
    Idle,
    /// A reader does not read.
    Stuck,
}

/// The exchanges of one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionWatch {
    state: Mutex<WatchState>,
    /// Told when the memory of answers that are not read is needed.
    end: Arc<Notify>,
}

#[derive(Debug, Default)]
struct WatchState {
    open: Vec<OpenAnswer>,
    /// Whether a request came since the last look.
    asked: bool,
    /// Looks that found nothing.
    idle: u32,
}

#[derive(Debug)]
struct OpenAnswer {
    exchange: Weak<InFlightRequest>,
    /// What was taken when it last got on..
    taken: u64,
    /// ..and how many looks ago that was.
    looks: u32,
}

impl ConnectionWatch {
    /// Adds an exchange that begins.
    pub(super) fn add(&self, exchange: &Arc<InFlightRequest>) {
        exchange.set_connection(self.end.clone());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        // Those that are over go when there is no room: a connection without parallel requests never grows.
        if state.open.len() == state.open.capacity() {
            state.open.retain(|open| open.exchange.strong_count() > 0);
        }
        state.open.push(OpenAnswer { exchange: Arc::downgrade(exchange), taken: 0, looks: 0 });
    }

    /// Waits until the connection has to end, because others need what its readers do not read.
    pub(super) async fn end_is_wanted(&self) {
        self.end.notified().await;
    }

    /// Looks again.
    pub(super) fn look(&self) -> ConnectionState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.retain_mut(|open| {
            let Some(exchange) = open.exchange.upgrade() else { return false };
            open.look(exchange.taken());
            true
        });
        state.idle = if state.asked || !state.open.is_empty() { 0 } else { state.idle + 1 };
        state.asked = false;
        if state.open.iter().any(|open| open.looks >= PATIENCE) {
            ConnectionState::Stuck
        } else if state.idle >= IDLE {
            ConnectionState::Idle
        } else {
            ConnectionState::InUse
        }
    }
}

impl OpenAnswer {
    /// `None`: the handler is at it, and nobody waits for the reader yet.
    fn look(&mut self, taken: Option<u64>) {
        match taken {
            Some(taken) if taken - self.taken < PROGRESS => self.looks += 1,
            Some(taken) => (self.taken, self.looks) = (taken, 0),
            None => self.looks = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at an answer of which so much was taken each time, and says after how many looks it was stuck.
    #[track_caller]
    fn check(taken: impl Iterator<Item = Option<u64>>, expected: Option<u32>) {
        let mut open = OpenAnswer { exchange: Weak::new(), taken: 0, looks: 0 };
        let mut looks = taken.map(|taken| {
            open.look(taken);
            open.looks >= PATIENCE
        });
        let stuck = looks.position(|stuck| stuck).map(|before| before as u32 + 1);
        assert_eq!(stuck, expected);
    }

    #[test]
    fn who_gets_on_is_waited_for() {
        check((0..100).map(|_| Some(0)), Some(PATIENCE));
        check((0..100).map(|look| Some(look * 100)), Some(PATIENCE));
        check((0..100).map(|look| Some(look * PROGRESS / 4)), None);
        check((0..100).map(|_| None), None);
        let then_stuck =
            (0..10).map(|look| Some(look * PROGRESS)).chain([Some(10 * PROGRESS); 100]);
        check(then_stuck, Some(10 + 1 + PATIENCE));
        check([None; 100].into_iter().chain([Some(5); 100]), Some(100 + PATIENCE));
    }

    #[test]
    fn who_asks_nothing_is_idle() {
        let watch = ConnectionWatch::default();
        let looks = |count: u32| (0..count).map(|_| watch.look()).collect::<Vec<_>>();
        assert_eq!(
            looks(3),
            [ConnectionState::InUse, ConnectionState::Idle, ConnectionState::Idle]
        );
        watch.state.lock().expect("not poisoned").asked = true;
        assert_eq!(
            looks(3),
            [ConnectionState::InUse, ConnectionState::InUse, ConnectionState::Idle]
        );
    }
}
