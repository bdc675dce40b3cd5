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
const TOTAL_PER_PAUSE: u32 = 4;

/// The memory of all bodies. Cheap to clone; every clone is the same memory.
#[derive(Clone)]
pub struct BodyBudget(Arc<Mutex<BudgetState>>);

struct BudgetState {
    left: usize,
    next: u64,
    /// The bodies that are not complete yet, the oldest first.
    incomplete: BTreeMap<u64, PendingBody>,
}

struct PendingBody {
    bytes: usize,
    /// Dropped to give the body up: the receiver of this channel then fails.
    _keep: oneshot::Sender<()>,
}

/// The limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyBounds {
    /// The largest size in bytes.
    pub max_bytes: usize,
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
    _reservation: Reservation,
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
        Self(Arc::new(Mutex::new(BudgetState {
            left: bytes,
            next: 0,
            incomplete: BTreeMap::new(),
        })))
    }

    /// Receives a body of at most `max_bytes`, which may not pause for longer than `idle`.
    pub async fn receive(
        &self,
        body: Body,
        max_bytes: usize,
        idle: Duration,
    ) -> Result<BufferedBody, WholeError> {
        let total = idle * TOTAL_PER_PAUSE;
        self.receive_within(body, BodyBounds { max_bytes, idle, total, head: 0 }).await
    }

    /// Receives a body within its limits.
    pub async fn receive_within(
        &self,
        body: Body,
        bounds: BodyBounds,
    ) -> Result<BufferedBody, WholeError> {
        let BodyBounds { max_bytes, idle, total, head } = bounds;
        let (mut reservation, given_up) = self.enter();
        reservation.take(head)?;
        let collected =
            tokio::time::timeout(total, collect(body, &mut reservation, max_bytes, idle));
        let received = tokio::select! {
            biased;
            _ = given_up => return Err(WholeError::GivenUp),
            received = collected => received,
        };
        let bytes = received.unwrap_or(Err(WholeError::Stalled))?;
        reservation.mark_complete();
        Ok(BufferedBody { bytes: bytes.into(), _reservation: reservation })
    }

    fn enter(&self) -> (Reservation, oneshot::Receiver<()>) {
        let (keep, given_up) = oneshot::channel();
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.incomplete.insert(id, PendingBody { bytes: 0, _keep: keep });
        drop(state);
        (Reservation { budget: self.clone(), id, complete_bytes: 0 }, given_up)
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn collect(
    body: Body,
    reservation: &mut Reservation,
    max_bytes: usize,
    idle: Duration,
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
        if bytes.len() + data.len() > max_bytes {
            return Err(WholeError::TooLarge);
        }
        reservation.take(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The memory of one body, given back when dropped.
struct Reservation {
    budget: BodyBudget,
    id: u64,
    /// The memory in bytes, once the body is complete; 0 before.
    complete_bytes: usize,
}

impl Reservation {
    /// Takes more memory. If there is not enough, the oldest incomplete bodies are given up, which may be this one.
    fn take(&self, bytes: usize) -> Result<(), WholeError> {
        let mut state = self.budget.state();
        while state.left < bytes
            && let Some((_, oldest)) = state.incomplete.pop_first()
        {
            state.left += oldest.bytes;
        }
        let BudgetState { left, incomplete, .. } = &mut *state;
        match (left.checked_sub(bytes), incomplete.get_mut(&self.id)) {
            (Some(rest), Some(own)) => {
                *left = rest;
                own.bytes += bytes;
                Ok(())
            }
            _ => Err(WholeError::GivenUp),
        }
    }

    /// Marks the body as complete: from now on, it is not given up for others.
    fn mark_complete(&mut self) {
        if let Some(own) = self.budget.state().incomplete.remove(&self.id) {
            self.complete_bytes = own.bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        let incomplete = state.incomplete.remove(&self.id).map_or(0, |own| own.bytes);
        state.left += incomplete + self.complete_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_not_complete_makes_room() {
        let budget = BodyBudget::new(100);
        let (mut complete, _given_up) = budget.enter();
        let (old, mut old_given_up) = budget.enter();
        let (young, mut young_given_up) = budget.enter();
        complete.take(40).expect("room");
        complete.mark_complete();
        old.take(40).expect("room");
        young.take(30).expect("room is made");
        assert_eq!(old.take(1), Err(WholeError::GivenUp));
        assert_eq!(old_given_up.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(young_given_up.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        young.take(30).expect("exactly");
        assert_eq!(young.take(1), Err(WholeError::GivenUp), "no other incomplete body is left");
        drop((complete, old, young));
        assert_eq!(budget.state().left, 100);
    }
}
