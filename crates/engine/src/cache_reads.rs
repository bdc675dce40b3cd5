//! The reads of blobs of remote repositories that delete what nobody uses. A blob that is being read keeps the images that
//! name it, because whoever reads it may want their other blobs next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use identity::{Clock, Micros};
use meta::Id;
use model::digest::Digest;

/// A blob of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CachedBlobKey {
    pub(crate) repository: Id,
    pub(crate) image: String,
    pub(crate) digest: Digest,
}

/// The last read of a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LastRead {
    pub(crate) blob: CachedBlobKey,
    pub(crate) read_at: Micros,
}

/// The blobs that are being read in this process, and those whose reads are not written down yet.
pub(crate) struct CacheReads {
    clock: Arc<dyn Clock>,
    reads: Mutex<HashMap<CachedBlobKey, ReadState>>,
}

#[derive(Debug, Default)]
struct ReadState {
    /// The number of reads that have not ended.
    running: usize,
    /// The time at which the last one ended.
    ended_at: Micros,
}

impl CacheReads {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, reads: Mutex::default() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<CachedBlobKey, ReadState>) -> T) -> T {
        change(&mut self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a read of a blob.
    pub(crate) fn begin(self: &Arc<Self>, blob: CachedBlobKey) -> Arc<CacheRead> {
        self.change(|reads| reads.entry(blob.clone()).or_default().running += 1);
        Arc::new(CacheRead { all: self.clone(), blob })
    }

    /// Returns the blobs of a repository, or of one image in it, that are being read in this process, or were until a
    /// moment ago.
    pub(crate) fn blobs_of(&self, repository: &Id, image: Option<&str>) -> BTreeSet<Digest> {
        let is_wanted = |blob: &&CachedBlobKey| {
            blob.repository == *repository && image.is_none_or(|image| blob.image == image)
        };
        self.change(|reads| {
            reads.keys().filter(is_wanted).map(|blob| blob.digest.clone()).collect()
        })
    }

    /// Returns the last read of each blob, and forgets those that nobody reads.
    pub(crate) fn take(&self) -> Vec<LastRead> {
        let now = self.clock.now();
        self.change(|reads| {
            let last_read = |(blob, state): (&CachedBlobKey, &ReadState)| {
                let read_at = if state.running > 0 { now } else { state.ended_at };
                LastRead { blob: blob.clone(), read_at }
            };
            let taken = reads.iter().map(last_read).collect();
            reads.retain(|_, state| state.running > 0);
            taken
        })
    }

    pub(crate) fn give_back(&self, taken: &[LastRead]) {
        self.change(|reads| {
            for LastRead { blob, read_at } in taken {
                let state = reads.entry(blob.clone()).or_default();
                state.ended_at = state.ended_at.max(*read_at);
            }
        });
    }
}

/// A read of a blob, which ends when this is dropped.
pub(crate) struct CacheRead {
    all: Arc<CacheReads>,
    blob: CachedBlobKey,
}

impl Drop for CacheRead {
    fn drop(&mut self) {
        let now = self.all.clock.now();
        self.all.change(|reads| {
            let state = reads.entry(self.blob.clone()).or_default();
            state.running = state.running.saturating_sub(1);
            state.ended_at = state.ended_at.max(now);
        });
    }
}
