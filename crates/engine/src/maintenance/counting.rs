//! The counters of images: versions of older releases are counted, and the stored bytes of images are added up.
//!
//! A version that an older release stored is in no counter, and its image has none, until it is counted here, some
//! hundred at a time. From then on, the transactions that change an image record how its counters change. Only the
//! stored bytes are added up again: a push does not look which of its blobs the image names already.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use meta::image_counters::{self, DueMeasurement};
use meta::usage_deltas::{self, ImageKey, UsageDelta};
use meta::versions::untagged;
use meta::{Id, Tx};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The name of the lease of this work.
const COUNTING_LEASE: &str = "counting";

/// The number of versions that one transaction counts.
const VERSIONS_AT_ONCE: i64 = 200;

/// The number of blobs that one transaction adds up.
const BLOBS_AT_ONCE: i64 = 1_000;

/// The number of versions after which the log says how far counting is.
const VERSIONS_PER_LINE: u64 = 50_000;

impl Engine {
    /// Counts the versions of older releases, and adds up the stored bytes of the images whose content has changed,
    /// unless another process does. `progress` is called after each transaction, and decides whether to go on.
    pub async fn count_images(
        &self,
        mut progress: impl FnMut() -> ControlFlow<()> + Send,
    ) -> Result<(), EngineError> {
        // The references of these versions say which of them are parts of others.
        if !self.hold_lease(COUNTING_LEASE, BACKGROUND_LEASE).await?
            || !self.are_references_complete().await?
        {
            return Ok(());
        }
        let mut goes_on = self.count_versions(&mut progress).await?;
        // A measurement adds the lengths of the manifests as they are counted then.
        self.fold_usage().await?;
        while goes_on.is_continue() {
            let now = self.clock.now();
            let due = self.read(move |tx| Ok(image_counters::find_due(tx, now)?)).await?;
            let Some(due) = due else { break };
            goes_on = self.measure(due, &mut progress).await?;
        }
        self.release_lease(COUNTING_LEASE).await
    }

    async fn count_versions(
        &self,
        progress: &mut (impl FnMut() -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        let mut counted: u64 = 0;
        loop {
            let slice = self.write(count_some).await?;
            let before = counted;
            counted += slice as u64;
            let is_end = (slice as i64) < VERSIONS_AT_ONCE;
            let is_line_due = counted / VERSIONS_PER_LINE > before / VERSIONS_PER_LINE;
            if counted > 0 && (is_end || is_line_due) {
                tracing::info!(
                    versions = counted,
                    "{counted} versions of older releases are counted"
                );
            }
            if is_end {
                return Ok(ControlFlow::Continue(()));
            }
            if progress().is_break() || !self.hold_lease(COUNTING_LEASE, BACKGROUND_LEASE).await? {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Adds up the blobs that the manifests of an image name.
    async fn measure(
        &self,
        due: DueMeasurement,
        progress: &mut (impl FnMut() -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        let (mut bytes, mut last) = (0, String::new());
        loop {
            let package = due.package;
            let blobs = self.read(move |tx| {
                Ok(image_counters::list_blob_sizes(tx, &package, &last, BLOBS_AT_ONCE)?)
            });
            let blobs = blobs.await?;
            bytes += blobs.iter().map(|(_, size)| size).sum::<i64>();
            let is_end = (blobs.len() as i64) < BLOBS_AT_ONCE;
            last = blobs.into_iter().next_back().map(|(digest, _)| digest).unwrap_or_default();
            if is_end {
                break;
            }
            if progress().is_break() || !self.hold_lease(COUNTING_LEASE, BACKGROUND_LEASE).await? {
                return Ok(ControlFlow::Break(()));
            }
        }
        let now = self.clock.now();
        self.write(move |tx| Ok(image_counters::set_measured(tx, due, bytes, now)?)).await?;
        Ok(progress())
    }
}

/// Counts some versions, and records their counts as changes of the counters of their images. Returns the number of
/// versions.
fn count_some(tx: &mut Tx<'_>) -> Result<usize, EngineError> {
    let versions = untagged::list_uncounted(tx, VERSIONS_AT_ONCE)?;
    let mut images: BTreeMap<(Id, Id), UsageDelta> = BTreeMap::new();
    for version in &versions {
        let counts = untagged::count(tx, &version.id)?;
        let delta = images.entry((version.repository, version.package)).or_default();
        delta.versions += 1;
        delta.tags += counts.tags;
        delta.untagged += i64::from(counts.is_untagged);
        delta.manifest_bytes += version.manifest_bytes;
        delta.pushed_at = delta.pushed_at.max(Some(version.uploaded_at));
        delta.content_changed = true;
    }
    for ((repository, package), delta) in &images {
        // A process of an older release, which does not know counters, may have created the image beside this one.
        image_counters::insert(tx, package)?;
        usage_deltas::add_image_delta(tx, ImageKey { repository, package }, delta)?;
    }
    Ok(versions.len())
}
