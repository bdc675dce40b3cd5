//! The decision about one manifest, and its deletion, in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use identity::{Micros, micros};
use meta::cache_limits::{self, CachedVersion};
use meta::{Id, Tx, repositories, versions};
use model::digest::Digest;
use model::remote_rules::RemoteRules;

use super::MAX_UNCACHED_MARGIN;

use crate::access::ImageContext;
use crate::artifacts::delete::{TagHandling, delete_version, unlink_unneeded_blob};
use crate::error::EngineError;
use crate::reviews::ReviewTimes;

/// The longest time between the pull of a manifest and the read of its last layer.
const MAX_PULL_TIME: Duration = Duration::from_secs(2 * 3600);

/// The largest number of manifests of a deleted index that are looked at together with it.
const MAX_CHILDREN: i64 = 500;

/// The outcome for one manifest.
#[derive(Debug)]
pub(super) enum EvictionOutcome {
    /// The repository holds no more than it may.
    Fits,
    /// The manifest is used, or another one or a rule keeps it.
    Stays,
    /// The first of its tags were deleted, and the others are still there.
    TagsDeleted,
    /// The manifest was deleted.
    Evicted {
        /// The bytes that the repository does not hold any more.
        bytes: i64,
        /// The manifests that it named.
        children: Vec<CachedVersion>,
    },
}

/// The terms by which a repository evicts at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct EvictionTerms {
    /// The bytes that the repository holds, less those that it may.
    pub(super) exceeded_by: i64,
    /// The latest last use of what is evicted.
    pub(super) used_until: Micros,
    /// The time after which a manifest was pulled whose layers may still be wanted.
    pulled_since: Micros,
}

impl EvictionTerms {
    /// Reads the terms. Returns `None` for a repository that keeps everything.
    pub(super) fn read(
        tx: &mut Tx<'_>,
        repository: &Id,
        now: Micros,
        margin: Duration,
    ) -> Result<Option<Self>, EngineError> {
        let rules = repositories::find_remote_rules(tx, repository)?;
        let Some(RemoteRules { cache_limit: Some(limit), .. }) = rules else { return Ok(None) };
        let margin = match limit.bytes() {
            0 => margin.min(MAX_UNCACHED_MARGIN),
            _ => margin,
        };
        let size = repositories::find_size_bytes(tx, repository)?.unwrap_or_default();
        Ok(Some(Self {
            exceeded_by: size - limit.bytes(),
            used_until: now - micros(margin),
            pulled_since: now - micros(MAX_PULL_TIME),
        }))
    }
}

/// The decision about a manifest.
pub(super) struct EvictionDecision {
    pub(super) image: Arc<ImageContext>,
    pub(super) version: CachedVersion,
    /// The blobs of the image that are being read in this process.
    pub(super) reading: BTreeSet<Digest>,
    /// The time for which what was used stays.
    pub(super) margin: Duration,
    pub(super) now: Micros,
    /// The time at which files that go to the trash now are deleted.
    pub(super) trash_due: Micros,
}

impl EvictionDecision {
    /// Deletes the manifest with the layers that nothing else in the repository names, if it is to be deleted.
    pub(super) fn carry_out(&self, tx: &mut Tx<'_>) -> Result<EvictionOutcome, EngineError> {
        let (image, now) = (&self.image, self.now);
        let repository = &image.repository().id;
        let Some(terms) = EvictionTerms::read(tx, repository, now, self.margin)? else {
            return Ok(EvictionOutcome::Fits);
        };
        if terms.exceeded_by <= 0 {
            return Ok(EvictionOutcome::Fits);
        }
        let Some(version) = cache_limits::find(tx, &self.version.id)? else {
            return Ok(EvictionOutcome::Stays);
        };
        if version.used_at > terms.used_until || self.is_being_pulled(tx, &version, terms)? {
            return Ok(EvictionOutcome::Stays);
        }
        let children = cache_limits::list_children(tx, &version.id, MAX_CHILDREN)?;
        let blobs = versions::list_blobs(tx, &version.id)?;
        // Nobody pushes to the repository, so no client counts on what it was told of.
        let times = ReviewTimes { now, review_after: now, trash_due: self.trash_due };
        if !delete_version(tx, image, &version.digest, TagHandling::DeleteTags, times)? {
            return Ok(EvictionOutcome::TagsDeleted);
        }
        for blob in &blobs {
            unlink_unneeded_blob(tx, repository, blob, now)?;
        }
        let after = EvictionTerms::read(tx, repository, now, self.margin)?;
        let left = after.map_or(terms.exceeded_by, |after| after.exceeded_by);
        Ok(EvictionOutcome::Evicted { bytes: terms.exceeded_by - left, children })
    }

    /// Returns whether somebody who has pulled the manifest reads its layers, or may ask for the next one.
    fn is_being_pulled(
        &self,
        tx: &mut Tx<'_>,
        version: &CachedVersion,
        terms: EvictionTerms,
    ) -> Result<bool, EngineError> {
        if version.used_at <= terms.pulled_since {
            return Ok(false);
        }
        let uses = cache_limits::list_blob_uses(tx, version)?;
        Ok(uses.iter().any(|blob| {
            blob.read_at > terms.used_until
                || blob.fetched_until > self.now
                || self.reading.contains(&blob.digest)
        }))
    }
}
