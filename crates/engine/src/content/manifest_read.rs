//! Reading manifests. Every read asks the database whether this image holds the manifest; a digest alone opens
//! nothing.

use std::sync::Arc;

use bytes::Bytes;
use meta::Tx;
use meta::versions::{self, VersionRow};
use model::digest::Digest;
use model::reference::Reference;

use crate::access::{ImageHolding, Pull, RepoAccess};
use crate::content::remote::RemoteSource;
use crate::content::source::{ContentSource, FoundVersion, find_downloadable};
use crate::error::EngineError;
use crate::remote_fetch::Freshness;
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
    /// The seconds since the upstream of a remote repository has confirmed the tag, if it cannot be asked now.
    pub stale_for: Option<u64>,
}

impl PulledManifest {
    fn new(version: VersionRow, bytes: Bytes) -> Self {
        Self {
            digest: version.digest,
            media_type: version.media_type,
            size: version.manifest_bytes as u64,
            bytes,
            stale_for: None,
        }
    }
}

/// Finds a manifest in the rows of a remote repository, after its upstream was asked. Returns with it the time at which the
/// upstream confirmed the tag last, if it cannot be asked now.
async fn find_prepared<T, Finding>(
    remote: &RemoteSource,
    reference: &Reference,
    find: impl Fn(Arc<ImageHolding>) -> Finding,
) -> Result<(Option<T>, Option<i64>), EngineError>
where
    Finding: Future<Output = Result<Option<T>, EngineError>>,
{
    let confirmed_at = prepare(remote, reference).await?;
    if let Some(found) = find(remote.holding().clone()).await? {
        return Ok((Some(found), confirmed_at));
    }
    // The repository has just deleted it, because nobody had used it for a while.
    let confirmed_at = prepare(remote, reference).await?;
    Ok((find(remote.holding().clone()).await?, confirmed_at))
}

/// Sees to it that a remote repository has the manifest, if its upstream has it. Returns the time at which the upstream
/// confirmed the tag last, if it cannot be asked now.
async fn prepare(remote: &RemoteSource, reference: &Reference) -> Result<Option<i64>, EngineError> {
    // In a box, because the future of a fetch is several times as large as that of a read of local rows.
    match Box::pin(remote.prepare_manifest(reference)).await? {
        Freshness::Fresh => Ok(None),
        Freshness::Stale { confirmed_at } => Ok(Some(confirmed_at)),
    }
}

impl RepoAccess<Pull> {
    fn seconds_since(&self, time: i64) -> u64 {
        ((self.engine.clock.now() - time).max(0) / 1_000_000) as u64
    }

    /// Returns the properties of a manifest. Counts no pull.
    pub async fn stat_manifest(
        &self,
        reference: &Reference,
    ) -> Result<PulledManifest, EngineError> {
        let (version, confirmed_at) = match self.source().await? {
            ContentSource::Upstreams(source) => {
                let read = |_: &mut Tx<'_>, version: FoundVersion| Ok(Some(version.row));
                let search = Box::pin(source.search_version(&self.engine, reference, read)).await?;
                (search.found, search.confirmed_at)
            }
            ContentSource::Local(holding) => (self.find_row(holding, reference).await?, None),
            ContentSource::Remote(source) => {
                let find = |holding| self.find_row(holding, reference);
                find_prepared(&source, reference, find).await?
            }
        };
        let version = version.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        let age = confirmed_at.map(|at| self.seconds_since(at));
        Ok(PulledManifest { stale_for: age, ..PulledManifest::new(version, Bytes::new()) })
    }

    /// Returns a manifest with its bytes, and counts a pull.
    pub async fn pull_manifest(
        &self,
        reference: &Reference,
    ) -> Result<PulledManifest, EngineError> {
        let (version, confirmed_at) = match self.source().await? {
            ContentSource::Upstreams(source) => {
                let read = |tx: &mut Tx<'_>, FoundVersion { row, bytes }| {
                    let bytes = match bytes {
                        Some(bytes) => Some(bytes),
                        None => versions::find_bytes(tx, &row.digest)?,
                    };
                    Ok(bytes.map(|bytes| (row, bytes)))
                };
                let search = Box::pin(source.search_version(&self.engine, reference, read)).await?;
                (search.found, search.confirmed_at)
            }
            ContentSource::Local(holding) => (self.find_content(holding, reference).await?, None),
            ContentSource::Remote(source) => match source.find_fresh_manifest(reference).await? {
                Some(content) => (Some(content), None),
                None => {
                    let find = |holding| self.find_content(holding, reference);
                    find_prepared(&source, reference, find).await?
                }
            },
        };
        let (version, bytes) =
            version.ok_or_else(|| EngineError::ManifestUnknown(reference.clone()))?;
        self.engine.pulls.count(&version, self.engine.clock.now());
        let bytes = self.engine.shared_manifests.share(&version.digest, bytes)?;
        let age = confirmed_at.map(|at| self.seconds_since(at));
        Ok(PulledManifest { stale_for: age, ..PulledManifest::new(version, bytes) })
    }

    /// Returns the version that a repository's own rows have.
    async fn find_row(
        &self,
        holding: Arc<ImageHolding>,
        reference: &Reference,
    ) -> Result<Option<VersionRow>, EngineError> {
        let wanted = reference.clone();
        self.engine.read_by_key(move |tx| find_downloadable(tx, &holding, &wanted)).await
    }

    /// Returns the version that a repository's own rows have, with its bytes.
    async fn find_content(
        &self,
        holding: Arc<ImageHolding>,
        reference: &Reference,
    ) -> Result<Option<(VersionRow, Vec<u8>)>, EngineError> {
        let wanted = reference.clone();
        let read = self.engine.read_by_key(move |tx| {
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
        });
        read.await
    }
}
