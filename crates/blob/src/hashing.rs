//! Helpers for hashing, and for work that blocks its thread.

use std::panic::resume_unwind;

use bytes::Bytes;
use model::digest::{DigestAlgorithm, DigestHasher};
use tokio::task::spawn_blocking;

use crate::BlobError;

/// Runs `work` on a thread that may block. The number of such threads is a setting of the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// Restores a hasher from its saved state. If that fails, the stored bytes are hashed again; `read_stored` passes them
/// to its argument.
pub(crate) fn restore_hasher(
    algorithm: DigestAlgorithm,
    state: &[u8],
    mut read_stored: impl FnMut(&mut dyn FnMut(&[u8])) -> Result<(), BlobError>,
) -> Result<DigestHasher, BlobError> {
    if let Some(hasher) = DigestHasher::restore(algorithm, state) {
        return Ok(hasher);
    }
    let mut hasher = DigestHasher::new(algorithm);
    read_stored(&mut |bytes| hasher.update(bytes))?;
    Ok(hasher)
}

/// Adds frames to a hash.
pub(crate) fn update(hasher: &mut DigestHasher, frames: &[Bytes]) {
    frames.iter().for_each(|frame| hasher.update(frame));
}
