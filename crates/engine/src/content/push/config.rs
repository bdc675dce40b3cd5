//! The config of an image that is pushed, as far as lists show it.

use model::image_config::ImageConfig;
use model::manifest::{Descriptor, Manifest};

use crate::access::{Push, RepoAccess};

/// The size up to which a config is read for the columns that lists show.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

impl RepoAccess<Push> {
    /// Reads the columns that lists show from the config of an image. A config that cannot be read does not refuse
    /// the push.
    pub(super) async fn read_image_config(&self, manifest: &Manifest) -> ImageConfig {
        match &manifest.config {
            Some(config) if ImageConfig::is_media_type(&config.media_type) => {
                self.read_config(config).await.unwrap_or_default()
            }
            _ => ImageConfig::default(),
        }
    }

    async fn read_config(&self, config: &Descriptor) -> Option<ImageConfig> {
        let repository = &self.image.repository().id;
        let blob = self.engine.open_blob(repository, &config.digest).await.ok()?;
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
