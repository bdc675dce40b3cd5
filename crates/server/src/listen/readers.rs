//! Decides whether a connection is still worth its place: it is used, and its client reads its answers.
//!
//! TCP ends connections that take no bytes, but does not notice an HTTP/2 client that gives a stream no window, or one
//! that takes just enough to look alive. So each connection is looked at a few times within `idle_timeout`, and the
//! bytes taken of each answer are compared with the last look. A request costs an entry in a list, and bytes cost one
//! addition: no clock is read.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use web::layer::in_flight::InFlightRequest;

/// The number of bytes that must be taken of an answer within [`MAX_STUCK_LOOKS`] looks; otherwise it is stuck. That is
/// about half a kilobyte a second with the default settings: slower than any line, and than any disk that unpacks
/// meanwhile.
const MIN_PROGRESS_BYTES: u64 = 64 << 10;
/// The number of looks without progress after which an answer is stuck. There are two looks in each `idle_timeout`, so
/// it is stuck after three and a half to four of them.
const MAX_STUCK_LOOKS: u32 = 8;
/// The number of looks without a request after which an HTTP/2 connection is idle.
const MAX_IDLE_LOOKS: u32 = 2;

/// Returns the interval at which a connection is looked at.
pub(super) fn look_period(idle_timeout: Duration) -> Duration {
    // A period of zero would keep a processor busy.
    (idle_timeout / 2).max(Duration::from_millis(1))
}

/// The state of a connection at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// A request is served, or was since the last look.
    InUse,
    /// No request came for a while.
    Idle,
    /// The client does not read an answer.
    Stuck,
}

/// The requests in flight on one connection, and the looks at them.
#[derive(Debug, Default)]
pub(super) struct ConnectionWatch {
    state: Mutex<WatchState>,
    /// Notified when the memory of answers that are not read is needed by others.
    end: Arc<Notify>,
}

#[derive(Debug, Default)]
struct WatchState {
    open: Vec<OpenAnswer>,
    /// True if a request came since the last look.
    asked: bool,
    /// The number of looks in a row without a request.
    idle_looks: u32,
}

#[derive(Debug)]
struct OpenAnswer {
    exchange: Weak<InFlightRequest>,
    /// The bytes that had been taken when the answer last made progress.
    taken: u64,
    /// The number of looks since then.
    looks: u32,
}

impl ConnectionWatch {
    /// Adds a request that begins.
    pub(super) fn add(&self, exchange: &Arc<InFlightRequest>) {
        exchange.set_connection(self.end.clone());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        // Finished requests are dropped when the list is full: without parallel requests it never grows.
        if state.open.len() == state.open.capacity() {
            state.open.retain(|open| open.exchange.strong_count() > 0);
        }
        state.open.push(OpenAnswer { exchange: Arc::downgrade(exchange), taken: 0, looks: 0 });
    }

    /// Waits until the connection has to end, because others need the memory of the answers that its client does not
    /// read.
    pub(super) async fn end_is_wanted(&self) {
        self.end.notified().await;
    }

    /// Looks at the connection, and compares with the last look.
    pub(super) fn look(&self) -> ConnectionState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.retain_mut(|open| {
            let Some(exchange) = open.exchange.upgrade() else { return false };
            open.look(exchange.taken());
            true
        });
        state.idle_looks =
            if state.asked || !state.open.is_empty() { 0 } else { state.idle_looks + 1 };
        state.asked = false;
        if state.open.iter().any(|open| open.looks >= MAX_STUCK_LOOKS) {
            ConnectionState::Stuck
        } else if state.idle_looks >= MAX_IDLE_LOOKS {
            ConnectionState::Idle
        } else {
            ConnectionState::InUse
        }
    }
}

impl OpenAnswer {
    /// Compares with the last look. `None`: the handler has not answered yet, so that nobody waits for the client.
    fn look(&mut self, taken: Option<u64>) {
        match taken {
            Some(taken) if taken - self.taken < MIN_PROGRESS_BYTES => self.looks += 1,
            Some(taken) => (self.taken, self.looks) = (taken, 0),
            None => self.looks = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at an answer of which `taken` gives the bytes at each look, and checks after how many looks it is stuck.
    #[track_caller]
    fn check(taken: impl Iterator<Item = Option<u64>>, expected: Option<u32>) {
        let mut open = OpenAnswer { exchange: Weak::new(), taken: 0, looks: 0 };
        let mut looks = taken.map(|taken| {
            open.look(taken);
            open.looks >= MAX_STUCK_LOOKS
        });
        let stuck = looks.position(|stuck| stuck).map(|before| before as u32 + 1);
        assert_eq!(stuck, expected);
    }

    #[test]
    fn a_client_that_makes_progress_is_waited_for() {
        check((0..100).map(|_| Some(0)), Some(MAX_STUCK_LOOKS));
        check((0..100).map(|look| Some(look * 100)), Some(MAX_STUCK_LOOKS));
        check((0..100).map(|look| Some(look * MIN_PROGRESS_BYTES / 4)), None);
        check((0..100).map(|_| None), None);
        let then_stuck = (0..10)
            .map(|look| Some(look * MIN_PROGRESS_BYTES))
            .chain([Some(10 * MIN_PROGRESS_BYTES); 100]);
        check(then_stuck, Some(10 + 1 + MAX_STUCK_LOOKS));
        check([None; 100].into_iter().chain([Some(5); 100]), Some(100 + MAX_STUCK_LOOKS));
    }

    #[test]
    fn a_connection_without_requests_is_idle() {
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
