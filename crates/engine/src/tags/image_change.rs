//! The changes that one transaction makes to the counters of an image.

use identity::Micros;
use meta::tags::TargetVersion;
use meta::usage_deltas::{self, ImageKey, UsageDelta};
use meta::versions::untagged;
use meta::{Id, MetaError, Tx};

/// The changes that one transaction makes to the counters of an image. They are collected, and recorded as one row.
#[derive(Debug)]
pub(crate) struct ImageChange {
    repository: Id,
    package: Id,
    delta: UsageDelta,
    /// The versions that may have become untagged, or are it no more.
    affected: Vec<Id>,
    /// The versions that were untagged and have got a tag.
    tagged: Vec<Id>,
}

/// A version that a transaction stores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredVersion {
    pub(crate) manifest_bytes: i64,
    pub(crate) is_untagged: bool,
    pub(crate) now: Micros,
}

impl ImageChange {
    pub(crate) fn new(repository: &Id, package: &Id) -> Self {
        Self {
            repository: *repository,
            package: *package,
            delta: UsageDelta::default(),
            affected: Vec::new(),
            tagged: Vec::new(),
        }
    }

    /// Adds the image itself, which the transaction has created.
    pub(crate) fn image_created(&mut self) {
        self.delta.images += 1;
    }

    pub(crate) fn version_stored(&mut self, version: StoredVersion) {
        self.delta.bytes += version.manifest_bytes;
        self.delta.manifest_bytes += version.manifest_bytes;
        self.delta.versions += 1;
        self.delta.untagged += i64::from(version.is_untagged);
        self.delta.pushes += 1;
        self.delta.pushed_at = Some(version.now);
        self.delta.content_changed = true;
    }

    /// Takes off a version that is deleted, whose state is that of [`untagged::find_state`].
    pub(crate) fn version_deleted(&mut self, manifest_bytes: i64, state: Option<bool>) {
        self.delta.bytes -= manifest_bytes;
        self.delta.content_changed = true;
        if let Some(was_untagged) = state {
            self.delta.manifest_bytes -= manifest_bytes;
            self.delta.versions -= 1;
            self.delta.untagged -= i64::from(was_untagged);
        }
    }

    /// Notes that the image names other blobs than before.
    pub(crate) fn content_changed(&mut self) {
        self.delta.content_changed = true;
    }

    /// Adds the move of a tag to a version. `from` is what it named before. The tag of a version that was not counted
    /// yet is counted with it.
    pub(crate) fn tag_set(&mut self, from: Option<&TargetVersion>, to: &TargetVersion) {
        if let Some(from) = from {
            self.tag_deleted(from);
        }
        self.delta.tags += i64::from(to.is_counted());
        // The first tag of several takes it from the untagged ones.
        if to.untagged == Some(true) && !self.tagged.contains(&to.version_id) {
            self.delta.untagged -= 1;
            self.tagged.push(to.version_id);
        }
    }

    pub(crate) fn tag_deleted(&mut self, from: &TargetVersion) {
        self.delta.tags -= i64::from(from.is_counted());
        self.decide_again(from.version_id);
    }

    /// Notes that a version may have become untagged, or is it no more.
    pub(crate) fn decide_again(&mut self, version: Id) {
        if !self.affected.contains(&version) {
            self.affected.push(version);
        }
    }

    /// Records the changes. This comes after all others of the transaction.
    pub(crate) fn record(mut self, tx: &mut Tx<'_>) -> Result<(), MetaError> {
        self.delta.untagged += untagged::recount(tx, &self.affected)?;
        let image = ImageKey { repository: &self.repository, package: &self.package };
        usage_deltas::add_image_delta(tx, image, &self.delta)
    }
}
