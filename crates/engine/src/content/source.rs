//! The source of a read: the rows that answer for manifests, tags, referrers and blobs of an image.
//!
//! A standard repository answers from its own rows. Reads name a [`ContentSource`] and not a repository. A remote
//! repository (which fetches first) and a virtual one (which picks an upstream) can become two more variants here,
//! and every read that does not handle them stops compiling.

use std::sync::Arc;

use crate::access::{ImageHolding, Pull, RepoAccess};
use crate::error::EngineError;

/// The source of a read.
pub(crate) enum ContentSource {
    /// The rows of this registry.
    Local(Arc<ImageHolding>),
}

impl RepoAccess<Pull> {
    /// Returns the source of the image's content.
    ///
    /// # Errors
    /// Fails for a remote or virtual repository: these are stored, but not served yet.
    pub(crate) fn source(&self) -> Result<ContentSource, EngineError> {
        self.image.check_standard()?;
        Ok(ContentSource::Local(self.image.holding.clone()))
    }
}
