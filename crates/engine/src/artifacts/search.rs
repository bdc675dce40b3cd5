//! The search for images by the beginning of their names, and for versions by their digest. The results are those that
//! the caller may see, and nothing tells of others.

use identity::Caller;
use meta::search::{self, FoundImage};
use model::artifact_name::PackageName;
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::engine::Engine;
use crate::error::EngineError;

/// The most images that are looked at for one search.
const MAX_EXAMINED: i64 = 500;
/// The most images that a search returns.
const MAX_FOUND: usize = 50;

impl Engine {
    /// Returns the images whose names begin with a text and that the caller may see.
    pub async fn search_images(
        &self,
        caller: &Caller,
        prefix: &str,
    ) -> Result<Vec<PackageName>, EngineError> {
        let prefix = prefix.to_owned();
        let reading = self.read(move |tx| Ok(search::list_by_prefix(tx, &prefix, MAX_EXAMINED)?));
        self.visible_images(caller, reading.await?).await
    }

    /// Returns the images that hold the manifest with this digest and that the caller may see.
    pub async fn search_digest(
        &self,
        caller: &Caller,
        digest: &Digest,
    ) -> Result<Vec<PackageName>, EngineError> {
        let digest = digest.clone();
        let reading = self.read(move |tx| Ok(search::list_by_digest(tx, &digest, MAX_EXAMINED)?));
        self.visible_images(caller, reading.await?).await
    }

    async fn visible_images(
        &self,
        caller: &Caller,
        found: Vec<FoundImage>,
    ) -> Result<Vec<PackageName>, EngineError> {
        let mut visible = Vec::new();
        for FoundImage { repository, image } in found {
            if visible.len() == MAX_FOUND {
                break;
            }
            let resource = Resource::Repository(repository.clone());
            if self.identity.may(caller, artifactregistry::PACKAGES_LIST, &resource).await?
                && let Ok(image) = image.parse()
            {
                visible.push(PackageName { repository, image });
            }
        }
        Ok(visible)
    }
}
