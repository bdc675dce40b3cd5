//! Draining: reading request bytes that no handler wants, so that their sender receives the answer. The time, the bytes
//! and the number of connections are limited.
//!
//! Closing a connection while bytes are on their way resets it, and a client that is still writing loses the answer
//! that waits for it. So these bytes are read and thrown away. A client that sends for ever holds a place. There are
//! few places, and no connection waits for one: if none is left, the place that was taken first is given up.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// The most bytes of one request that are drained. A client that sends more within the time limit does not have a slow
/// line.
const MAX_BYTES: u64 = 256 << 20;
/// The longest pause of a sender.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The number of connections for which there is one place.
const CONNECTIONS_PER_PLACE: usize = 8;

/// The places for connections of a listener that are drained. Cheap to clone; every clone has the same places.
#[derive(Debug, Clone)]
pub struct DrainBudget(Arc<Mutex<DrainState>>);

#[derive(Debug)]
struct DrainState {
    places: usize,
    next: u64,
    /// The taken places, the oldest first. A sender is dropped to give its place up.
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

impl DrainBudget {
    /// Creates the places for a listener with at most so many connections.
    pub fn new(connections: usize) -> Self {
        let places = (connections / CONNECTIONS_PER_PLACE).max(1);
        Self(Arc::new(Mutex::new(DrainState { places, next: 0, open: BTreeMap::new() })))
    }

    /// Takes a place for at most `patience`. If none is left, the oldest one is given up.
    pub fn begin(&self, patience: Duration) -> DrainPlace {
        let (wanted, given_up) = oneshot::channel();
        let mut state = self.state();
        while state.open.len() >= state.places {
            state.open.pop_first();
        }
        let id = state.next;
        state.next += 1;
        state.open.insert(id, wanted);
        drop(state);
        let pause = patience.min(MAX_PAUSE);
        DrainPlace {
            drains: self.clone(),
            id,
            given_up,
            left: MAX_BYTES,
            end: Box::pin(sleep(patience)),
            pause,
            paused: Box::pin(sleep(pause)),
        }
    }

    fn state(&self) -> MutexGuard<'_, DrainState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, with the limits of its draining.
#[derive(Debug)]
pub struct DrainPlace {
    drains: DrainBudget,
    id: u64,
    given_up: oneshot::Receiver<()>,
    left: u64,
    end: Pin<Box<Sleep>>,
    pause: Duration,
    paused: Pin<Box<Sleep>>,
}

impl DrainPlace {
    /// Returns ready when the connection must not be drained any longer.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_over = self.left == 0
            || Pin::new(&mut self.given_up).poll(cx).is_ready()
            || self.end.as_mut().poll(cx).is_ready()
            || self.paused.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Counts bytes that were drained.
    pub fn came(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
        self.paused.as_mut().reset(Instant::now() + self.pause);
    }

    /// Reads a body to its end. Returns `false` if a limit was reached before.
    pub async fn read_to_end(mut self, mut body: Incoming) -> bool {
        std::future::poll_fn(|cx| {
            loop {
                if self.poll_over(cx).is_ready() {
                    return Poll::Ready(false);
                }
                match std::task::ready!(Pin::new(&mut body).poll_frame(cx)) {
                    Some(Ok(frame)) => self.came(frame.data_ref().map_or(0, bytes::Bytes::len)),
                    Some(Err(_)) | None => return Poll::Ready(true),
                }
            }
        })
        .await
    }
}

impl Drop for DrainPlace {
    fn drop(&mut self) {
        self.drains.state().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_over(drain: &mut DrainPlace) -> bool {
        drain.poll_over(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn the_oldest_gives_way_and_nobody_waits() {
        let drains = DrainBudget::new(2 * CONNECTIONS_PER_PLACE);
        let begin = || drains.begin(Duration::from_secs(3_600));
        let [mut first, mut second] = [begin(), begin()];
        assert!(!is_over(&mut first) && !is_over(&mut second));
        let mut third = begin();
        assert!(is_over(&mut first) && !is_over(&mut second) && !is_over(&mut third));
        // A place that was given up is not given back a second time.
        drop((first, third));
        let mut fourth = begin();
        assert!(!is_over(&mut second) && !is_over(&mut fourth));
    }

    #[tokio::test]
    async fn bytes_are_bounded() {
        let mut drain = DrainBudget::new(1).begin(Duration::from_secs(3_600));
        drain.came(MAX_BYTES as usize - 1);
        assert!(!is_over(&mut drain));
        drain.came(1);
        assert!(is_over(&mut drain));
    }
}
