//! Work beside the requests: hashing and waiting for the disk.

use std::panic::resume_unwind;

use bytes::Bytes;
use model::digest::{Algorithm, Hasher};
use tokio::task::spawn_blocking;

use crate::BlobError;

/// Runs on a thread that may block. How many of them there are is the runtime's setting.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
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
