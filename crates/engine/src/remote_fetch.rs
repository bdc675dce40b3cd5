//! The fetches of remote repositories that run now.

use std::sync::Arc;

use meta::Id;

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

/// The result of a fetch, which all who wait share.
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
