//! The content of one version that the console shows: its manifest and its config. Nothing is fetched for it from
//! another registry, and it counts as no pull.

use bytes::Bytes;
use identity::Authorized;
use meta::versions;
use model::artifact_name::VersionName;
use model::manifest::Manifest;
use model::permissions::artifactregistry;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::check_download;
use crate::tags::tag_write::version_unknown;

/// The largest config in bytes that is read.
const MAX_CONFIG_BYTES: u64 = 2 << 20;

/// The content of a version.
#[derive(Debug, Clone)]
pub struct VersionContent {
    /// The bytes of the manifest.
    pub manifest: Bytes,
    /// The manifest, or `None` if an older Berth accepted one that cannot be read.
    pub parsed: Option<Manifest>,
    /// The bytes of the config; `None` for an index, and for a config that is not stored here or larger than 2 MiB.
    pub config: Option<Bytes>,
}

impl VersionContent {
    /// Returns the length of the manifest and the config in bytes.
    pub fn document_bytes(&self) -> usize {
        self.manifest.len() + self.config.as_ref().map_or(0, Bytes::len)
    }
}

impl Engine {
    /// Returns the content of a version, by the permission to download.
    ///
    /// # Errors
    /// Fails if there is no such version, or if a rule of its repository denies the download.
    pub async fn read_version(
        &self,
        authorized: &Authorized,
        name: &VersionName,
    ) -> Result<VersionContent, EngineError> {
        let permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
        let context = self.image_context(authorized, permission, &name.package).await?;
        let source = self.source_of(&context).await?;
        let wanted = name.clone();
        let found = self.read_by_key(move |tx| {
            let found = source.find(tx, |tx, holding| {
                let found =
                    versions::find_content_by_digest(tx, holding.address(), &wanted.digest)?;
                if let Some((version, _)) = &found {
                    check_download(tx, &holding.repository, holding.image(), version)?;
                }
                Ok(found.map(|(version, bytes)| (holding.repository.id, version.media_type, bytes)))
            })?;
            found.ok_or_else(|| version_unknown(&wanted))
        });
        let (repository, media_type, bytes) = found.await?;
        let manifest = Bytes::from(bytes);
        let (length, unparsed) = (manifest.len(), manifest.clone());
        let parse = move || Manifest::parse_stored(&unparsed, &media_type).ok();
        let parsed = self.parsing.run(length, parse).await?;
        let config = parsed.as_ref().and_then(|manifest| manifest.config.as_ref());
        let config = match config.filter(|config| config.size <= MAX_CONFIG_BYTES) {
            Some(config) => match self.open_blob(&repository, &config.digest).await {
                Ok(blob) => Some(blob.read_all().await?),
                Err(EngineError::BlobUnknown(_)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        Ok(VersionContent { manifest, parsed, config })
    }
}
