//! Bodies that are needed as a whole, such as manifests: received within a time, and within one budget of memory.
//!
//! A client that sends slowly holds memory for a long time. So no request waits for memory: where it runs out, the
//! incomplete body that began first is given up. A body that comes as fast as its line allows is hardly ever the
//! oldest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::body::{StallError, with_idle_timeout};

/// The longest time for a body, as a multiple of the longest pause.
const PATIENCE: u32 = 4;

/// The memory of all bodies. Cheap to clone; every clone is the same memory.
#[derive(Clone)]
pub struct BodyBudget(Arc<Mutex<BudgetState>>);

struct BudgetState {
    left: usize,
    next: u64,
    /// The bodies that are not complete yet, the oldest first.
    coming: BTreeMap<u64, PendingBody>,
}

struct PendingBody {
    bytes: usize,
    /// Dropped to give the body up: the receiver of this channel then fails.
    _wanted: oneshot::Sender<()>,
}

/// The limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyBounds {
    /// The largest size in bytes.
    pub most: usize,
    /// The longest pause.
    pub idle: Duration,
    /// The longest time in total.
    pub total: Duration,
    /// The bytes that the rest of the request takes of the memory.
    pub head: usize,
}

/// A complete body, with its part of the memory.
pub struct BufferedBody {
    /// The bytes of the body.
    pub bytes: Bytes,
    _place: Reservation,
}

/// The reason why a body was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeError {
    /// The body is larger than its limit.
    TooLarge,
    /// The body paused for too long, or took too long in total.
    Stalled,
    /// The connection ended before the body.
    Closed,
    /// Other bodies need the memory.
    GivenUp,
}

impl BodyBudget {
    /// Creates a budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(BudgetState { left: bytes, next: 0, coming: BTreeMap::new() })))
    }

    /// Receives a body of at most `max_bytes`, which may not pause for longer than `idle`.
    pub async fn receive(
        &self,
        body: Body,
        (most, idle): (usize, Duration),
    ) -> Result<BufferedBody, WholeError> {
        self.receive_within(body, BodyBounds { most, idle, total: idle * PATIENCE, head: 0 }).await
    }

    /// Receives a body within its limits.
    pub async fn receive_within(
        &self,
        body: Body,
        bounds: BodyBounds,
    ) -> Result<BufferedBody, WholeError> {
        let BodyBounds { most, idle, total, head } = bounds;
        let (mut place, unwanted) = self.enter();
        place.take(head)?;
        let received = tokio::select! {
            biased;
            _ = unwanted => return Err(WholeError::GivenUp),
            received = tokio::time::timeout(total, collect(body, &mut place, (most, idle))) => received,
        };
        let bytes = received.unwrap_or(Err(WholeError::Stalled))?;
        place.arrived();
        Ok(BufferedBody { bytes: bytes.into(), _place: place })
    }

    fn enter(&self) -> (Reservation, oneshot::Receiver<()>) {
        let (wanted, unwanted) = oneshot::channel();
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.coming.insert(id, PendingBody { bytes: 0, _wanted: wanted });
        drop(state);
        (Reservation { bodies: self.clone(), id, arrived: 0 }, unwanted)
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn collect(
    body: Body,
    place: &mut Reservation,
    (most, idle): (usize, Duration),
) -> Result<Vec<u8>, WholeError> {
    let mut frames = with_idle_timeout(body, idle);
    let mut bytes = Vec::new();
    while let Some(frame) = frames.frame().await {
        let frame = frame.map_err(|error| match error.is::<StallError>() {
            true => WholeError::Stalled,
            false => WholeError::Closed,
        })?;
        // Trailers are ignored.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(WholeError::TooLarge);
        }
        place.take(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The memory of one body, given back when dropped.
struct Reservation {
    bodies: BodyBudget,
    id: u64,
    /// The memory in bytes, once the body is complete; 0 before.
    arrived: usize,
}

impl Reservation {
    /// Takes more memory. If there is not enough, the oldest incomplete bodies are given up, which may be this one.
    fn take(&self, bytes: usize) -> Result<(), WholeError> {
        let mut state = self.bodies.state();
        while state.left < bytes
            && let Some((_, oldest)) = state.coming.pop_first()
        {
            state.left += oldest.bytes;
        }
        let BudgetState { left, coming, .. } = &mut *state;
        match (left.checked_sub(bytes), coming.get_mut(&self.id)) {
            (Some(rest), Some(own)) => {
                *left = rest;
                own.bytes += bytes;
                Ok(())
            }
            _ => Err(WholeError::GivenUp),
        }
    }

    /// Marks the body as complete: from now on, it is not given up for others.
    fn arrived(&mut self) {
        if let Some(own) = self.bodies.state().coming.remove(&self.id) {
            self.arrived = own.bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.bodies.state();
        let coming = state.coming.remove(&self.id).map_or(0, |own| own.bytes);
        state.left += coming + self.arrived;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_not_complete_makes_room() {
        let bodies = BodyBudget::new(100);
        let (mut complete, _wanted) = bodies.enter();
        let ((old, mut unwanted), (young, mut wanted)) = (bodies.enter(), bodies.enter());
        complete.take(40).expect("room");
        complete.arrived();
        old.take(40).expect("room");
        young.take(30).expect("made");
        assert_eq!(old.take(1), Err(WholeError::GivenUp));
        unwanted.try_recv().expect_err("told");
        assert_eq!(unwanted.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(wanted.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        young.take(30).expect("exactly");
        assert_eq!(young.take(1), Err(WholeError::GivenUp), "nobody else is left to give way");
        drop((complete, old, young));
        assert_eq!(bodies.state().left, 100);
    }
}
