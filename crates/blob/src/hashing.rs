//! The pool of threads that hash: as many at once as there are processors, however many uploads run.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use model::digest::{Algorithm, Hasher};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::BlobError;

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(processors))
});

/// Work that runs in the pool.
pub(crate) struct Running<T>(JoinHandle<T>);

/// Waits for a place in the pool, and starts the work there.
pub(crate) async fn start<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Running<T> {
    let place = PLACES.clone().acquire_owned().await.expect("this semaphore is never closed");
    Running(spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    }))
}

impl<T> Running<T> {
    /// Waits for the work.
    pub(crate) async fn done(self) -> T {
        match self.0.await {
            Ok(done) => done,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
}

/// Starts work that waits for the disk rather than for a processor.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    Running(spawn_blocking(work)).done().await
}

/// Takes a hash up where `state` says, or makes it again from the bytes that are there.
pub(crate) fn resume(
    algorithm: Algorithm,
    state: &[u8],
    mut stored: impl FnMut(&mut dyn FnMut(&[u8])) -> Result<(), BlobError>,
) -> Result<Hasher, BlobError> {
    if let Some(hasher) = Hasher::restore(algorithm, state) {
        return Ok(hasher);
    }
    let mut hasher = Hasher::new(algorithm);
    stored(&mut |bytes| hasher.update(bytes))?;
    Ok(hasher)
}

/// Takes frames in.
pub(crate) fn update(hasher: &mut Hasher, frames: &[Bytes]) {
    frames.iter().for_each(|frame| hasher.update(frame));
}
