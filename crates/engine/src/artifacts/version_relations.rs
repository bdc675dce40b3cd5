//! The manifests that a version names or that name it: those of an index, the indexes of a manifest, and attachments.

use identity::Authorized;
use meta::deletion_plan::{self, BytesOnlyHere};
use meta::images::{self, ManifestDetails};
use meta::{tag_table, tags, usage, versions};
use model::artifact_name::VersionName;
use model::digest::Digest;
use model::permissions::artifactregistry;

use crate::artifacts::tag_table::{DAY_MICROS, PULL_DAYS};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::version_unknown;

/// The most manifests of each kind that are returned.
const MAX_RELATED: i64 = 200;

/// The most tags of a version that are counted.
pub const MAX_COUNTED_TAGS: usize = 1_000;

/// A version with the manifests that it names or that name it, each kind up to 200.
#[derive(Debug, Clone)]
pub struct VersionRelations {
    /// The version.
    pub version: ManifestDetails,
    /// The number of tags of the version, up to [`MAX_COUNTED_TAGS`].
    pub tag_count: usize,
    /// The sum in bytes of all distinct blobs that the version or its manifests name.
    pub bytes: i64,
    /// The bytes of the blobs that nothing else in the repository needs.
    pub only_here: BytesOnlyHere,
    /// The manifests that an index names and its image holds, in the order of the index.
    pub children: Vec<ManifestDetails>,
    /// The digests of the indexes that name the version.
    pub parents: Vec<Digest>,
    /// The manifests whose subject is the version.
    pub referrers: Vec<ManifestDetails>,
    /// The time of the last pull.
    pub last_pulled_at: Option<i64>,
    /// The pulls of the last 30 days.
    pub pulls: i64,
}

impl Engine {
    /// Returns a version with what it names and what names it, by the permission to see versions.
    pub async fn version_relations(
        &self,
        authorized: &Authorized,
        name: &VersionName,
    ) -> Result<VersionRelations, EngineError> {
        let context =
            self.image_context(authorized, artifactregistry::VERSIONS_GET, &name.package).await?;
        let (packages, name) = (self.packages_of_list(&context).await?, name.clone());
        let since = self.clock.now() / DAY_MICROS - (PULL_DAYS - 1);
        self.read(move |tx| {
            for package in &packages {
                let Some(version) = images::find(tx, package, &name.digest)? else { continue };
                let days = usage::list_pulls_by_day(tx, &version.id)?;
                let pulls = days.iter().filter(|(day, _)| *day >= since).map(|(_, pulls)| pulls);
                let bytes = match version.image_bytes {
                    0 => tag_table::index_bytes(tx, &version.id)?,
                    bytes => bytes,
                };
                return Ok(VersionRelations {
                    bytes,
                    only_here: deletion_plan::bytes_only_here(tx, &version.id)?,
                    children: images::list_children(tx, &version.id, MAX_RELATED)?,
                    parents: versions::list_bound_parents(tx, &version.id, MAX_RELATED)?,
                    referrers: images::list_referring(tx, package, &name.digest, MAX_RELATED)?,
                    last_pulled_at: usage::find_last_pull(tx, &version.id)?,
                    pulls: pulls.sum(),
                    tag_count: tags::count_of_version(tx, &version.id, MAX_COUNTED_TAGS as i64)?,
                    version,
                });
            }
            Err(version_unknown(&name))
        })
        .await
    }
}
