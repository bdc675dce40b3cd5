//! The fetches of remote repositories that run now.

use std::sync::Arc;

use blob::{BlobStream, GrowingCopy};
use futures_util::StreamExt;
use meta::Id;
use model::byte_range::ByteRange;
use tokio::sync::watch;

use crate::cache_reads::CacheRead;
use crate::upstream_registry::UpstreamProblem;

/// The content that requests wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FetchKey {
    pub(crate) repository: Id,
    /// The URL of the registry that is asked.
    pub(crate) url: Arc<str>,
    /// The name of the image.
    pub(crate) image: String,
    /// The tag or the digest.
    pub(crate) reference: String,
}

/// The result of the fetch of a manifest, which all who wait share.
pub(crate) type FetchOutcome = Result<Freshness, UpstreamProblem>;

/// The state of a manifest that a pull is about to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The upstream has confirmed it, not long ago.
    Fresh,
    /// The upstream could not be asked.
    Stale {
        /// The time at which the upstream confirmed it last.
        confirmed_at: i64,
    },
}

/// The result of the fetch of a blob, which all who wait share.
pub(crate) type BlobFetchOutcome = Result<FetchedBlob, UpstreamProblem>;

/// A blob that a pull is about to read.
#[derive(Clone)]
pub(crate) enum FetchedBlob {
    /// The repository has it.
    Stored,
    /// A fetch of the blob is in progress.
    Growing(GrowingBlob),
}

/// A blob that is being fetched, open for reading. Readers get its bytes as they come, and its end when the digest is
/// known to be right.
#[derive(Clone)]
pub struct GrowingBlob {
    pub(crate) copy: GrowingCopy,
    pub(crate) size: u64,
    /// The outcome of the fetch, once it has ended.
    pub(crate) outcome: watch::Receiver<Option<Result<(), UpstreamProblem>>>,
    /// The read, if the repository deletes what nobody uses.
    pub(crate) read: Option<Arc<CacheRead>>,
}

impl GrowingBlob {
    /// Returns the size that the whole blob will have.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns all bytes.
    pub(crate) fn whole(self) -> BlobStream {
        self.part(0, self.size)
    }

    /// Returns some ranges of the bytes.
    pub(crate) fn parts(&self, parts: &[ByteRange]) -> Vec<BlobStream> {
        parts.iter().map(|part| self.part(part.start, part.start + part.length)).collect()
    }

    /// Returns the bytes from `start` up to `end`. If they break off, the fetch has ended by then, so that whoever tries
    /// again begins a new one.
    fn part(&self, start: u64, end: u64) -> BlobStream {
        let (outcome, read) = (self.outcome.clone(), self.read.clone());
        let stream = self.copy.clone().stream(start, end, self.size);
        Box::pin(stream.then(move |frame| {
            // The read ends with the stream.
            let _ = &read;
            let mut outcome = outcome.clone();
            async move {
                if frame.is_err() {
                    let _ = outcome.wait_for(Option::is_some).await;
                }
                frame
            }
        }))
    }

    /// Waits until the fetch has ended.
    pub(crate) async fn ended(mut self) {
        let _ = self.outcome.wait_for(Option::is_some).await;
    }
}
