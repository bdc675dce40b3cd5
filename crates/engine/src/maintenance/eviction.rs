//! Eviction: the deletion of what a remote repository has fetched and nobody uses any more.
//!
//! A repository with a limit of bytes loses the manifests that were pulled least recently, one transaction each, until it
//! fits; one that keeps nothing loses all of them. Layers that nothing else in the repository names go with their manifest,
//! so that the size of the repository says at once how much is still to be deleted. What a running pull may need stays.
//!
//! A run remembers nothing: the next one looks again for what was used least recently.

mod decision;
mod least_used;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use identity::Caller;
use meta::cache_limits::{self, CachedVersion, LimitedRepository};
use meta::change_way::ChangeWay;
use meta::repositories::{self, RepositoryRow};
use meta::{ErrorKind, Id, Tx, packages};
use model::digest::Digest;
use model::name::{ImagePath, RepositoryName};

use decision::{EvictionDecision, EvictionOutcome, EvictionTerms};
use least_used::LeastUsed;

use crate::access::{ImageContext, ImageTarget};
use crate::artifacts::delete::unlink_unneeded_blob;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The principal of eviction in events and in the history of tags.
const EVICTION_PRINCIPAL: &str = "system:cache-eviction";

/// The name of the lease of eviction.
const EVICTION_LEASE: &str = "eviction";

/// The number of blobs that one transaction reads, and takes from the repository.
const BLOBS_AT_ONCE: i64 = 100;

/// The number of manifests after which the lease is renewed.
const VERSIONS_PER_LEASE: u64 = 50;

/// The longest time for which a repository that keeps nothing keeps what was used. Each process writes down every ten
/// seconds what it serves.
pub(crate) const MAX_UNCACHED_MARGIN: Duration = Duration::from_secs(40);

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvictionReport {
    /// The manifests that were deleted.
    pub versions: u64,
    /// The bytes that their repositories do not hold any more.
    pub bytes: i64,
}

impl Engine {
    /// Evicts from all repositories that hold more than they may, unless another process does. `progress` is called
    /// after each manifest, and decides whether to go on.
    pub async fn evict(
        &self,
        mut progress: impl FnMut() -> ControlFlow<()> + Send,
    ) -> Result<EvictionReport, EngineError> {
        let mut report = EvictionReport::default();
        // All processes write down what they serve, also those that leave eviction to another one.
        self.flush_cache_reads().await?;
        let mut next = self.find_limited(Id::from([0; 16])).await?;
        if next.is_none() {
            return Ok(report);
        }
        self.flush_pulls().await?;
        if !self.hold_lease(EVICTION_LEASE, BACKGROUND_LEASE).await? {
            return Ok(report);
        }
        self.await_complete_references().await?;
        while let Some((repository, row)) = next {
            let (name, before) = (repository.name.clone(), report);
            let run = EvictionRun { engine: self.clone(), row, name: repository.name };
            match run.run(&mut report, &mut progress).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                // The other repositories do not wait for this one.
                Err(error) => tracing::warn!(
                    repo.name = %name, %error,
                    "eviction from {name} stopped and will be repeated: {error}"
                ),
            }
            log_summary(&name, before, report);
            next = self.find_limited(repository.id).await?;
        }
        self.release_lease(EVICTION_LEASE).await?;
        Ok(report)
    }

    /// Returns the next repository with a bound of what it keeps.
    async fn find_limited(
        &self,
        last: Id,
    ) -> Result<Option<(LimitedRepository, RepositoryRow)>, EngineError> {
        self.read(move |tx| {
            let Some(found) = cache_limits::find_next(tx, &last)? else { return Ok(None) };
            let row = repositories::find(tx, &found.name)?;
            Ok(row.map(|row| (found, row)))
        })
        .await
    }
}

/// Eviction from one repository.
struct EvictionRun {
    engine: Engine,
    row: RepositoryRow,
    name: RepositoryName,
}

impl EvictionRun {
    async fn run(
        &self,
        report: &mut EvictionReport,
        progress: &mut (impl FnMut() -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        let Some(terms) = self.exceeded_terms().await? else {
            return Ok(ControlFlow::Continue(()));
        };
        report.bytes += self.unlink_unneeded(terms).await?;
        let mut least_used = LeastUsed::new(terms.used_until);
        while self.fill(&mut least_used).await? {
            while let Some(version) = least_used.pop() {
                match self.evict_version(&version).await? {
                    EvictionOutcome::Fits => return Ok(ControlFlow::Continue(())),
                    EvictionOutcome::Stays | EvictionOutcome::TagsDeleted => {}
                    EvictionOutcome::Evicted { bytes, children } => {
                        report.versions += 1;
                        report.bytes += bytes;
                        children.into_iter().for_each(|child| least_used.add(child));
                        let is_lease_due = report.versions.is_multiple_of(VERSIONS_PER_LEASE);
                        if is_lease_due && !self.renew().await? {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                if progress().is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns the terms of eviction if the repository holds more than it may, and what it holds is known.
    async fn exceeded_terms(&self) -> Result<Option<EvictionTerms>, EngineError> {
        let (repository, now) = (self.row.id, self.engine.clock.now());
        let margin = self.engine.settings.cache_margin;
        self.engine
            .read(move |tx| {
                // An image that somebody deleted counts until collection has deleted its rows.
                if packages::is_any_deleting(tx, &repository)? {
                    return Ok(None);
                }
                let terms = EvictionTerms::read(tx, &repository, now, margin)?;
                Ok(terms.filter(|terms| terms.exceeded_by > 0))
            })
            .await
    }

    /// Renews the lease, and sums up the sizes that have changed. Returns `false` if another process evicts now.
    async fn renew(&self) -> Result<bool, EngineError> {
        self.engine.fold_usage().await?;
        self.engine.hold_lease(EVICTION_LEASE, BACKGROUND_LEASE).await
    }

    /// Takes from the repository the blobs that no manifest of it names. They count in its size until collection reviews
    /// them, which may be a day after somebody deleted their manifest. Returns their bytes.
    async fn unlink_unneeded(&self, terms: EvictionTerms) -> Result<i64, EngineError> {
        let (mut last, mut bytes) = (String::new(), 0);
        loop {
            let (repository, from) = (self.row.id, last);
            let read = self.engine.read(move |tx| {
                Ok(cache_limits::list_blobs(tx, &repository, &from, BLOBS_AT_ONCE)?)
            });
            let page = read.await?;
            let Some(end) = page.last() else { return Ok(bytes) };
            last = end.digest.to_string();
            let reading = self.engine.cache_reads.blobs_of(&self.row.id, None);
            let is_unneeded = |blob: &&cache_limits::CachedBlob| {
                !blob.is_named
                    && blob.fetched_at <= terms.used_until
                    && !reading.contains(&blob.digest)
            };
            let unneeded: Vec<Digest> =
                page.iter().filter(is_unneeded).map(|blob| blob.digest.clone()).collect();
            if !unneeded.is_empty() {
                bytes += self.unlink(unneeded).await?;
            }
        }
    }

    async fn unlink(&self, blobs: Vec<Digest>) -> Result<i64, EngineError> {
        let (repository, now) = (self.row.id, self.engine.clock.now());
        let unlinked = self.engine.write(move |tx: &mut Tx<'_>| {
            let mut bytes = 0;
            for blob in &blobs {
                bytes += unlink_unneeded_blob(tx, &repository, blob, now)?;
            }
            Ok(bytes)
        });
        match unlinked.await {
            // A manifest that was fetched meanwhile names one of them. The next run sees that.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => Ok(0),
            unlinked => unlinked,
        }
    }

    /// Deletes a manifest, if the repository is still too large and the manifest still not used.
    async fn evict_version(&self, version: &CachedVersion) -> Result<EvictionOutcome, EngineError> {
        // An image that is being deleted has no name.
        let Ok(image) = version.image.parse() else { return Ok(EvictionOutcome::Stays) };
        let RepositoryName { project, location, repository } = self.name.clone();
        let path = ImagePath { project, repository, image };
        let target = ImageTarget { location, path, on_registry_host: false };
        // Webhooks hear of changes by people, and not of what a cache fetches and deletes.
        let caller = Caller::system(EVICTION_PRINCIPAL, ChangeWay::Eviction);
        let image = Arc::new(ImageContext::new(self.row.clone(), target, caller, Arc::default()));
        loop {
            // A pull of this process counts from now on.
            self.engine.flush_pulls().await?;
            let times = self.engine.review_times();
            let decision = EvictionDecision {
                image: image.clone(),
                version: version.clone(),
                reading: self.engine.cache_reads.blobs_of(&self.row.id, Some(&version.image)),
                margin: self.engine.settings.cache_margin,
                now: times.now,
                trash_due: times.trash_due,
            };
            match self.engine.write(move |tx| decision.carry_out(tx)).await {
                Ok(EvictionOutcome::TagsDeleted) => {}
                Err(
                    EngineError::InUse { .. }
                    | EngineError::TagImmutable { .. }
                    | EngineError::Precondition(_)
                    | EngineError::ManifestUnknown(_),
                ) => return Ok(EvictionOutcome::Stays),
                // A manifest that was fetched meanwhile names it, or one of its layers.
                Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                    return Ok(EvictionOutcome::Stays);
                }
                outcome => return outcome,
            }
        }
    }
}

fn log_summary(name: &RepositoryName, before: EvictionReport, after: EvictionReport) {
    let (versions, bytes) = (after.versions - before.versions, after.bytes - before.bytes);
    if versions > 0 {
        tracing::info!(
            repo.name = %name, versions, bytes,
            "{versions} versions ({bytes} bytes) were evicted from {name}"
        );
    }
}
