//! The config of an image that is pushed, as far as lists show it.

use meta::blobs::{self, BlobCopy};
use meta::versions;
use model::digest::Digest;
use model::image_config::ImageConfig;
use model::manifest::{Descriptor, Manifest};

use crate::access::{Push, RepoAccess};
use crate::error::EngineError;

/// The size up to which a config is read for the columns that lists show.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

impl RepoAccess<Push> {
    /// Reads the columns that lists show from the config of a new version. Returns `None` if the image has the version
    /// already, with its columns. A config that cannot be read does not refuse the push.
    pub(super) async fn read_config_of_new(
        &self,
        manifest: &Manifest,
        version: &Digest,
    ) -> Result<Option<ImageConfig>, EngineError> {
        let is_config = |config: &&Descriptor| ImageConfig::is_media_type(&config.media_type);
        let config = manifest.config.as_ref().filter(is_config).map(|config| config.digest.clone());
        let (image, version, wanted) = (self.image.clone(), version.clone(), config.clone());
        let copy = self.engine.read_by_key(move |tx| {
            if versions::find_by_digest(tx, image.address(), &version)?.is_some() {
                return Ok(None);
            }
            let find = |config| blobs::find(tx, &image.repository().id, config);
            Ok(Some(wanted.as_ref().map(find).transpose()?.flatten()))
        });
        let Some(copy) = copy.await? else { return Ok(None) };
        Ok(Some(match config {
            Some(config) => self.read_config(&config, copy).await.unwrap_or_default(),
            None => ImageConfig::default(),
        }))
    }

    async fn read_config(&self, config: &Digest, copy: Option<BlobCopy>) -> Option<ImageConfig> {
        let repository = &self.image.repository().id;
        let blob = self.engine.open_found_blob(repository, config, copy).await.ok()?;
        if blob.size() > MAX_CONFIG_BYTES {
            return None;
        }
        let bytes = blob.read_all().await.ok()?;
        // A config that is no JSON object has nothing to show, and is not worth another thread.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let length = bytes.len();
        self.engine.parsing.run(length, move || ImageConfig::parse(&bytes)).await.ok()
    }
}
