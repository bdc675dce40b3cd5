//! The bytes of large manifests that are being sent: one copy in memory for all readers.
//!
//! A manifest is read into memory whole. Each slow reader of a large one would hold megabytes. So all readers of one
//! manifest share its bytes, and the large manifests in memory together have a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use model::digest::Digest;

use crate::error::EngineError;

/// The length from which on manifests are shared.
pub const SHARED_FROM: usize = 64 << 10;
/// The largest sum of the bytes of all manifests that are being read.
const MAX_SHARED_BYTES: usize = 64 << 20;

/// The manifests that are being read, by their digests.
#[derive(Default)]
pub(crate) struct SharedManifests(Mutex<HashMap<Digest, Weak<Vec<u8>>>>);

/// The bytes of a manifest, which stay in memory for as long as one of the readers holds some.
struct SharedManifest(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedManifest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl SharedManifests {
    /// Returns the bytes that other readers of this digest share already, or else `bytes`.
    pub(crate) fn share(&self, digest: &Digest, bytes: Vec<u8>) -> Result<Bytes, EngineError> {
        if bytes.len() < SHARED_FROM {
            return Ok(bytes.into());
        }
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = live.get(digest).and_then(Weak::upgrade) {
            return Ok(Bytes::from_owner(SharedManifest(same)));
        }
        live.retain(|_, manifest| manifest.strong_count() > 0);
        let taken: usize =
            live.values().filter_map(|manifest| Some(manifest.upgrade()?.len())).sum();
        if taken + bytes.len() > MAX_SHARED_BYTES {
            let why = "too many large manifests are being read at once";
            return Err(EngineError::Unavailable(why.to_owned()));
        }
        let bytes = Arc::new(bytes);
        live.insert(digest.clone(), Arc::downgrade(&bytes));
        Ok(Bytes::from_owner(SharedManifest(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_one_manifest_share_its_bytes() {
        let shared = SharedManifests::default();
        let digest = |number: usize| Digest::of(&number.to_be_bytes());
        let first = shared.share(&digest(0), vec![7; SHARED_FROM]).expect("room");
        let second = shared.share(&digest(0), vec![7; SHARED_FROM]).expect("room");
        assert_eq!(first.as_ptr(), second.as_ptr());
        let small = shared.share(&digest(0), vec![7; 1]).expect("room");
        assert_ne!(small.as_ptr(), first.as_ptr());
    }

    #[test]
    fn all_of_them_have_their_bound() {
        let shared = SharedManifests::default();
        let digest = |number: usize| Digest::of(&number.to_be_bytes());
        let mut read: Vec<_> = (0..16)
            .map(|n| shared.share(&digest(n), vec![0; MAX_SHARED_BYTES / 16]).expect("room"))
            .collect();
        shared.share(&digest(99), vec![0; SHARED_FROM]).expect_err("no room");
        shared.share(&digest(3), vec![0; MAX_SHARED_BYTES / 16]).expect("there already");
        read.pop();
        shared.share(&digest(99), vec![0; SHARED_FROM]).expect("room again");
    }
}
