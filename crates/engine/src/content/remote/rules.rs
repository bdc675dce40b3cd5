//! The rules of a remote repository where they change what is fetched: while it is offline, and when the upstream has
//! lost a tag.

use std::sync::Arc;

use identity::micros;
use meta::versions::ImageAddress;
use model::digest::Digest;
use model::name::RepositoryName;
use model::reference::Reference;
use model::remote_rules::upstream_path;

use super::{FreshTime, KnownReference, RemoteSource};
use crate::cache_reads::{CacheRead, CachedBlobKey};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_fetch::Freshness;
use crate::remote_registry::RemoteRegistry;
use crate::tags::tag_write::delete_tag;
use crate::upstream_registry::{UpstreamProblem, UpstreamProblemKind as Problem};

impl RemoteRegistry {
    /// Refuses an image that the repository does not serve.
    pub(crate) fn check_image(
        &self,
        repository: &RepositoryName,
        image: &str,
    ) -> Result<(), EngineError> {
        let path = upstream_path(&self.url, image);
        match self.rules.denial(&path) {
            None => Ok(()),
            Some(denial) => {
                Err(EngineError::ImageDenied { repository: repository.clone(), path, denial })
            }
        }
    }
}

impl Engine {
    /// Returns the present time, and the age up to which the word of upstreams counts.
    pub(in crate::content) fn fresh_time(&self) -> FreshTime {
        FreshTime { now: self.clock.now(), fresh_for: micros(self.settings.fresh_for) }
    }

    /// Begins a read of a blob of a remote repository, if the repository deletes what nobody uses.
    pub(in crate::content) fn begin_cache_read(
        &self,
        registry: &RemoteRegistry,
        at: ImageAddress<'_>,
        digest: &Digest,
    ) -> Option<Arc<CacheRead>> {
        registry.rules.cache_limit?;
        let (repository, image) = (*at.repository, at.image.to_owned());
        Some(self.cache_reads.begin(CachedBlobKey { repository, image, digest: digest.clone() }))
    }
}

impl RemoteRegistry {
    /// Returns the age up to which the word of this upstream counts: none if the repository keeps nothing.
    pub(in crate::content) fn fresh_time(&self, time: FreshTime) -> FreshTime {
        if self.rules.keep_nothing() { FreshTime { fresh_for: 0, ..time } } else { time }
    }
}

impl RemoteSource {
    pub(in crate::content) fn fresh_time(&self) -> FreshTime {
        self.registry.fresh_time(self.engine().fresh_time())
    }

    /// Begins a read of a blob, if the repository deletes what nobody uses.
    pub(in crate::content) fn begin_read(&self, digest: &Digest) -> Option<Arc<CacheRead>> {
        self.engine().begin_cache_read(&self.registry, self.holding().address(), digest)
    }

    /// Returns the problem of content that is not cached while the repository is offline, or `None` if it is not.
    pub(in crate::content) fn offline_problem(&self) -> Option<UpstreamProblem> {
        let text = "is not asked, because this remote repository is offline";
        self.registry.rules.is_offline.then(|| self.problem(Problem::Offline, text))
    }

    /// Returns the state of a manifest that may be stale, or an error if it is not cached, while nothing is asked.
    pub(super) fn while_offline(
        &self,
        known: &KnownReference,
        problem: UpstreamProblem,
    ) -> Result<Freshness, EngineError> {
        match known.look {
            Some(look) if look.found && known.digest.is_some() => {
                Ok(Freshness::Stale { confirmed_at: look.checked_at })
            }
            _ => Err(problem.into()),
        }
    }

    /// Deletes a cached tag that the upstream does not have any more, if the rules say so. The manifest stays.
    pub(super) async fn delete_missing(&self, reference: &Reference) {
        let Reference::Tag(tag) = reference else { return };
        if !self.registry.rules.deletes_missing_tags {
            return;
        }
        let (image, tag, now) = (self.store.image.clone(), tag.clone(), self.engine().clock.now());
        let deleted = self.engine().write(move |tx| {
            image.check_live(tx)?;
            delete_tag(tx, &image, &tag, now)
        });
        match deleted.await {
            Ok(()) | Err(EngineError::ManifestUnknown(_) | EngineError::TagImmutable { .. }) => {}
            Err(error) => tracing::warn!(%error, "could not delete a cached tag: {error}"),
        }
    }
}
