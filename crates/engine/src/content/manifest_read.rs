//! Reading manifests. Every read asks the database whether this image holds the manifest; a digest alone opens
//! nothing.

use bytes::Bytes;
use meta::versions::{self, VersionRow};
use model::digest::Digest;
use model::reference::Reference;

use crate::access::{Pull, RepoAccess};
use crate::error::EngineError;
use crate::tags::download_rules::check_download;

/// A manifest as it is served.
#[derive(Debug)]
pub struct PulledManifest {
    /// The digest.
    pub digest: Digest,
    /// The media type with which it was pushed.
    pub media_type: String,
    /// The length in bytes.
    pub size: u64,
    /// The bytes, which are empty if only the properties were asked for.
    pub bytes: Bytes,
}

impl PulledManifest {
    fn new(version: VersionRow, bytes: Bytes) -> Self {
        Self {
            digest: version.digest,
            media_type: version.media_type,
            size: version.manifest_bytes as u64,
            bytes,
        }
    }
}

impl RepoAccess<Pull> {
    /// Returns the properties of a manifest. Counts no pull.
    pub async fn stat_manifest(
        &self,
        reference: &Reference,
    ) -> Result<PulledManifest, EngineError> {
        let (source, wanted) = (self.source().await?, reference.clone());
        let read = self.engine.read_by_key(move |tx| {
            source.find(tx, |tx, holding| {
                let version = match &wanted {
                    Reference::Tag(tag) => {
                        versions::find_by_tag(tx, holding.address(), tag.as_str())?
                    }
                    Reference::Digest(digest) => {
                        versions::find_by_digest(tx, holding.address(), digest)?
                    }
                };
                if let Some(version) = &version {
                    check_download(tx, &holding.repository, holding.image(), version)?;
                }
                Ok(version)
            })
        });
        let version = read.await?;
        let version = version.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        Ok(PulledManifest::new(version, Bytes::new()))
    }

    /// Returns a manifest with its bytes, and counts a pull.
    pub async fn pull_manifest(
        &self,
        reference: &Reference,
    ) -> Result<PulledManifest, EngineError> {
        let (source, wanted) = (self.source().await?, reference.clone());
        let read = self.engine.read_by_key(move |tx| {
            source.find(tx, |tx, holding| {
                let version = match &wanted {
                    Reference::Tag(tag) => {
                        versions::find_content_by_tag(tx, holding.address(), tag.as_str())?
                    }
                    Reference::Digest(digest) => {
                        versions::find_content_by_digest(tx, holding.address(), digest)?
                    }
                };
                if let Some((version, _)) = &version {
                    check_download(tx, &holding.repository, holding.image(), version)?;
                }
                Ok(version)
            })
        });
        let version = read.await?;
        let (version, bytes) =
            version.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        self.engine.pulls.count(&version, self.engine.clock.now());
        let bytes = self.engine.shared_manifests.share(&version.digest, bytes)?;
        Ok(PulledManifest::new(version, bytes))
    }
}
