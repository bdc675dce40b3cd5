//! The bytes of large manifests on their way out: once for all who read them.
//!
//! A manifest is read whole. Of a large one, a reader who takes his time would hold megabytes, and so would each of the
//! next ones. So all of them have the same bytes, and there is a bound of what all such manifests together take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use model::digest::Digest;

use crate::error::EngineError;

/// Manifests from this length on are shared.
pub const SHARED_FROM: usize = 64 << 10;
/// The bytes of all that are being read.
const MAX_SHARED_BYTES: usize = 64 << 20;

/// The manifests that are being read.
#[derive(Default)]
pub(crate) struct SharedManifests(Mutex<HashMap<Digest, Weak<Vec<u8>>>>);

/// Keeps the bytes for as long as one of their readers has some.
struct SharedManifest(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedManifest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl SharedManifests {
    /// Returns the bytes that others have of that digest already, or these.
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
