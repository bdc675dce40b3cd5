//! A lane: batches that wait for one worker, which has a thread for as long as there are any.
//!
//! A worker that finds the next batch waiting goes on at once; to start it anew for each batch costs two
//! changes of threads, which on fast disks took a third of the time. Between two batches that do not follow
//! each other closely it holds no thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::{Batch, BlobError};

/// How many batches wait at most: one is enough to go on with while the next is received.
const DEPTH: usize = 2;

/// What a batch is brought to.
pub(crate) trait Worker: Send + 'static {
    /// Takes the next batch.
    fn take(&mut self, batch: &Batch) -> Result<(), BlobError>;
}

/// Batches on their way to a worker.
pub(crate) struct Lane<W>(Arc<Shared<W>>);

struct Shared<W> {
    state: Mutex<State<W>>,
    /// Told whenever the state changes. Only the lane's owner waits.
    changed: Notify,
}

struct State<W> {
    waiting: VecDeque<Arc<Batch>>,
    /// The worker, while it has nothing to do.
    idle: Option<W>,
    failed: Option<BlobError>,
}

impl<W: Worker> Lane<W> {
    pub(crate) fn new(worker: W) -> Self {
        let state = State { waiting: VecDeque::new(), idle: Some(worker), failed: None };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Queues a batch, once there is room.
    pub(crate) async fn push(&self, batch: Arc<Batch>) -> Result<(), BlobError> {
        loop {
            {
                let mut state = self.0.state();
                state.check()?;
                if state.waiting.len() < DEPTH {
                    state.waiting.push_back(batch);
                    if let Some(worker) = state.idle.take() {
                        let shared = self.0.clone();
                        spawn_blocking(move || shared.work(worker));
                    }
                    return Ok(());
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// The worker, when every batch was brought to it. The lane is of no use afterwards.
    pub(crate) async fn finish(&self) -> Result<W, BlobError> {
        loop {
            {
                let mut state = self.0.state();
                state.check()?;
                if state.waiting.is_empty()
                    && let Some(worker) = state.idle.take()
                {
                    return Ok(worker);
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// Gives the worker of [`Lane::finish`] back.
    pub(crate) fn resume(&self, worker: W) {
        self.0.state().idle = Some(worker);
    }
}

impl<W> State<W> {
    /// What failed is told once; what came after it is lost, like itself.
    fn check(&mut self) -> Result<(), BlobError> {
        match self.failed.replace(BlobError::Lost) {
            Some(error) => Err(error),
            None => {
                self.failed = None;
                Ok(())
            }
        }
    }
}

impl<W: Worker> Shared<W> {
    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings batches to the worker until none is left.
    fn work(&self, mut worker: W) {
        loop {
            let next = {
                let mut state = self.state();
                let next = state.waiting.pop_front();
                if next.is_none() {
                    state.idle = Some(worker);
                    self.changed.notify_one();
                    return;
                }
                next
            };
            self.changed.notify_one();
            let taken = next.map_or(Ok(()), |batch| worker.take(&batch));
            if let Err(error) = taken {
                let mut state = self.state();
                state.failed = Some(error);
                state.waiting.clear();
                self.changed.notify_one();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::UploadBudget;

    /// Collects bytes, and fails at an empty batch.
    #[derive(Default)]
    struct Collect(Vec<u8>);

    impl Worker for Collect {
        fn take(&mut self, batch: &Batch) -> Result<(), BlobError> {
            if batch.length() == 0 {
                return Err(BlobError::Full);
            }
            batch.frames.iter().for_each(|frame| self.0.extend_from_slice(frame));
            Ok(())
        }
    }

    async fn batch(bytes: &'static [u8]) -> Arc<Batch> {
        let permit = UploadBudget::new(1024).acquire(1).await;
        Arc::new(Batch { frames: vec![Bytes::from_static(bytes)], permit })
    }

    #[tokio::test]
    async fn batches_come_in_order() {
        let lane = Lane::new(Collect::default());
        for _ in 0..2 {
            for _ in 0..100 {
                lane.push(batch(b"a").await).await.expect("it works");
                lane.push(batch(b"b").await).await.expect("it works");
            }
            let worker = lane.finish().await.expect("it works");
            assert_eq!(worker.0.chunks(2).filter(|pair| pair == b"ab").count() * 2, worker.0.len());
            lane.resume(worker);
        }
        assert_eq!(lane.finish().await.expect("it works").0.len(), 400);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_nothing_goes_on() {
        let lane = Lane::new(Collect::default());
        lane.push(batch(b"").await).await.expect("queued");
        let mut told = Vec::new();
        while told.len() < 2 {
            if let Err(error) = lane.push(batch(b"more").await).await {
                told.push(error);
            }
        }
        assert!(matches!(told[..], [BlobError::Full, BlobError::Lost]), "{told:?}");
        assert!(matches!(lane.finish().await, Err(BlobError::Lost)));
    }
}
