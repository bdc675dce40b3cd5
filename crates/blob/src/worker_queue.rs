//! A queue of batches with one worker. The worker runs on a thread only while batches wait.
//!
//! A worker that finds another batch in the queue continues at once. To start it again for each batch would cost two
//! switches between threads, which took a third of the time on fast disks. While the queue is empty, the worker has no
//! thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::{BlobError, UploadBatch};

/// The largest number of batches that wait. The worker needs only one batch to continue with while the next is
/// received.
const MAX_WAITING: usize = 2;

/// A consumer of batches.
pub(crate) trait BatchWorker: Send + 'static {
    /// Processes the next batch.
    fn process(&mut self, batch: &UploadBatch) -> Result<(), BlobError>;
}

/// A queue of batches for one worker.
pub(crate) struct WorkerQueue<W>(Arc<SharedQueue<W>>);

struct SharedQueue<W> {
    state: Mutex<QueueState<W>>,
    /// Notified whenever the state changes. Only the owner of the queue waits for it.
    changed: Notify,
}

struct QueueState<W> {
    waiting: VecDeque<Arc<UploadBatch>>,
    /// The worker, while it has nothing to do.
    idle: Option<W>,
    failed: Option<BlobError>,
}

impl<W: BatchWorker> WorkerQueue<W> {
    pub(crate) fn new(worker: W) -> Self {
        let state = QueueState { waiting: VecDeque::new(), idle: Some(worker), failed: None };
        Self(Arc::new(SharedQueue { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Waits until the queue is not full, and adds a batch.
    pub(crate) async fn push(&self, batch: Arc<UploadBatch>) -> Result<(), BlobError> {
        loop {
            {
                let mut state = self.0.state();
                state.check()?;
                if state.waiting.len() < MAX_WAITING {
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

    /// Waits until all batches are processed, and returns the worker. Without a worker, the queue cannot be used until
    /// [`WorkerQueue::put_worker`].
    pub(crate) async fn take_worker(&self) -> Result<W, BlobError> {
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

    /// Puts back the worker that [`WorkerQueue::take_worker`] returned.
    pub(crate) fn put_worker(&self, worker: W) {
        self.0.state().idle = Some(worker);
    }
}

impl<W> QueueState<W> {
    /// Returns the error of a failed batch. The error itself is returned only once, and [`BlobError::Lost`] from then
    /// on: the bytes of this batch and of all later ones are lost.
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

impl<W: BatchWorker> SharedQueue<W> {
    fn state(&self) -> MutexGuard<'_, QueueState<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Processes batches until the queue is empty.
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
            let processed = next.map_or(Ok(()), |batch| worker.process(&batch));
            if let Err(error) = processed {
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

    /// A worker that collects bytes, and fails at an empty batch.
    #[derive(Default)]
    struct Collector(Vec<u8>);

    impl BatchWorker for Collector {
        fn process(&mut self, batch: &UploadBatch) -> Result<(), BlobError> {
            if batch.length() == 0 {
                return Err(BlobError::Full);
            }
            batch.frames.iter().for_each(|frame| self.0.extend_from_slice(frame));
            Ok(())
        }
    }

    async fn batch(bytes: &'static [u8]) -> Arc<UploadBatch> {
        let permit = UploadBudget::new(1024).acquire(1).await;
        Arc::new(UploadBatch { frames: vec![Bytes::from_static(bytes)], permit })
    }

    #[tokio::test]
    async fn batches_come_in_order() {
        let queue = WorkerQueue::new(Collector::default());
        for _ in 0..2 {
            for _ in 0..100 {
                queue.push(batch(b"a").await).await.expect("it works");
                queue.push(batch(b"b").await).await.expect("it works");
            }
            let worker = queue.take_worker().await.expect("it works");
            assert_eq!(worker.0.chunks(2).filter(|pair| pair == b"ab").count() * 2, worker.0.len());
            queue.put_worker(worker);
        }
        assert_eq!(queue.take_worker().await.expect("it works").0.len(), 400);
    }

    #[tokio::test]
    async fn a_failure_is_returned_once_and_ends_the_queue() {
        let queue = WorkerQueue::new(Collector::default());
        queue.push(batch(b"").await).await.expect("queued");
        let mut errors = Vec::new();
        while errors.len() < 2 {
            if let Err(error) = queue.push(batch(b"more").await).await {
                errors.push(error);
            }
        }
        assert!(matches!(errors[..], [BlobError::Full, BlobError::Lost]), "{errors:?}");
        assert!(matches!(queue.take_worker().await, Err(BlobError::Lost)));
    }
}
