//! The source of a read: the repositories whose rows answer for manifests, tags, referrers and blobs of an image.
//!
//! A standard repository answers from its own rows, a virtual one from the rows of its upstreams. Reads name a
//! [`ContentSource`] and not a repository. A remote repository, which fetches first, can become one more variant here,
//! and every read that does not handle it stops compiling.

use std::sync::Arc;

use meta::repositories::{self, RepositoryRow};
use meta::{Id, Tx};
use model::digest::Digest;
use model::name::{ImageName, RepositoryName};
use model::repository::ModeName;

use crate::access::{ImageContext, ImageHolding, Pull, RepoAccess};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::upstream_set::{Upstream, UpstreamSet};

/// The source of a read.
#[derive(Clone)]
pub(crate) enum ContentSource {
    /// The rows of one repository.
    Local(Arc<ImageHolding>),
    /// The rows of the upstreams of a virtual repository.
    Virtual(Arc<VirtualSource>),
}

/// An image in the upstreams of a virtual repository.
pub(crate) struct VirtualSource {
    upstreams: ListedUpstreams,
    image: ImageName,
}

/// The upstreams of a virtual repository, and its name.
pub(crate) struct ListedUpstreams {
    repository: RepositoryName,
    set: Arc<UpstreamSet>,
}

impl RepoAccess<Pull> {
    /// Returns the source of the image's content.
    pub(crate) async fn source(&self) -> Result<ContentSource, EngineError> {
        self.engine.source_of(&self.image).await
    }
}

impl Engine {
    /// Returns the source of an image's content.
    ///
    /// # Errors
    /// Fails for a remote repository: these are stored, but not served yet.
    pub(crate) async fn source_of(
        &self,
        image: &ImageContext,
    ) -> Result<ContentSource, EngineError> {
        match image.repository().mode {
            ModeName::Standard => Ok(ContentSource::Local(image.holding.clone())),
            ModeName::Remote => Err(EngineError::ModeNotServed(image.repository_name.clone())),
            ModeName::Virtual => {
                let set = self.upstream_set(&image.repository().id).await?;
                let repository = image.repository_name.clone();
                let upstreams = ListedUpstreams { repository, set };
                let image = image.holding.image.clone();
                Ok(ContentSource::Virtual(Arc::new(VirtualSource { upstreams, image })))
            }
        }
    }

    /// Returns the ids of the repositories that answer a list of all images, in the order in which they are asked: the
    /// repository itself, or the upstreams of a virtual one.
    pub(crate) async fn listed_repositories(
        &self,
        name: &RepositoryName,
        repository: &RepositoryRow,
    ) -> Result<Vec<Id>, EngineError> {
        match repository.mode {
            // A remote repository lists what it has.
            ModeName::Standard | ModeName::Remote => Ok(vec![repository.id]),
            ModeName::Virtual => {
                let set = self.upstream_set(&repository.id).await?;
                let upstreams = ListedUpstreams { repository: name.clone(), set: set.clone() };
                upstreams.ids(set.all())
            }
        }
    }

    /// Returns the upstreams of a virtual repository. They are remembered under the epoch of access, which every change
    /// of a repository raises.
    pub(crate) async fn upstream_set(
        &self,
        repository: &Id,
    ) -> Result<Arc<UpstreamSet>, EngineError> {
        let epoch = self.identity.epoch().await?;
        if let Some(set) = self.upstream_sets.get(repository, epoch) {
            return Ok(set);
        }
        let id = *repository;
        let set = Arc::new(self.read(move |tx| Ok(UpstreamSet::read(tx, &id)?)).await?);
        self.upstream_sets.put(id, epoch, set.clone());
        Ok(set)
    }
}

impl ContentSource {
    /// Returns what the first repository finds that finds something. `look` looks in the rows of one repository.
    ///
    /// # Errors
    /// Fails at an upstream that cannot answer, unless one before it has the answer or the failure policy lets the next
    /// one answer.
    pub(crate) fn find<T>(
        &self,
        tx: &mut Tx<'_>,
        mut look: impl FnMut(&mut Tx<'_>, &ImageHolding) -> Result<Option<T>, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        match self {
            Self::Local(holding) => look(tx, holding),
            Self::Virtual(source) => source.find(tx, look),
        }
    }

    /// Returns the ids of the repositories that answer a list, in the order in which they are asked.
    ///
    /// # Errors
    /// Fails if an upstream cannot answer, unless the failure policy lets the others answer.
    pub(crate) fn repositories(&self) -> Result<Vec<Id>, EngineError> {
        match self {
            Self::Local(holding) => Ok(vec![holding.repository.id]),
            Self::Virtual(source) => source.upstreams.ids(source.asked()),
        }
    }
}

impl VirtualSource {
    pub(crate) fn asked(&self) -> &[Upstream] {
        self.upstreams.set.asked_for(self.image.as_str())
    }

    fn find<T>(
        &self,
        tx: &mut Tx<'_>,
        mut look: impl FnMut(&mut Tx<'_>, &ImageHolding) -> Result<Option<T>, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        let holdings = self.holdings(tx)?;
        for upstream in self.asked() {
            let Some(id) = self.upstreams.id(upstream)? else { continue };
            let Some(holding) = holdings.iter().find(|holding| holding.repository.id == id) else {
                continue;
            };
            if let Some(found) = look(tx, holding)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the rows of the image in those upstreams that hold it, in any order.
    fn holdings(&self, tx: &mut Tx<'_>) -> Result<Vec<ImageHolding>, EngineError> {
        let rows = repositories::list_with_image(tx, &ids(self.asked()), self.image.as_str())?;
        let holding = |repository| ImageHolding { repository, image: self.image.clone() };
        Ok(rows.into_iter().map(holding).collect())
    }

    /// Returns the id of the repository that a blob is read from: the first upstream with a manifest that names it. A
    /// blob is the same wherever it comes from, so an upstream that cannot answer is passed over.
    pub(crate) fn find_blob_repository(
        &self,
        tx: &mut Tx<'_>,
        digest: &Digest,
    ) -> Result<Option<Id>, EngineError> {
        let ids = ids(self.asked());
        let holding = repositories::list_with_blob(tx, &ids, digest)?;
        Ok(ids.into_iter().find(|id| holding.iter().any(|row| row.id == *id)))
    }
}

impl ListedUpstreams {
    /// Returns the ids of the repositories of these upstreams.
    fn ids(&self, asked: &[Upstream]) -> Result<Vec<Id>, EngineError> {
        let ids = asked.iter().map(|upstream| self.id(upstream));
        Ok(ids.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Returns the id of an upstream's repository, or `None` if the upstream cannot answer and the failure policy
    /// passes it over.
    fn id(&self, upstream: &Upstream) -> Result<Option<Id>, EngineError> {
        match upstream.repository {
            Ok(id) => Ok(Some(id)),
            Err(_) if self.set.falls_through() => Ok(None),
            Err(fault) => {
                let (repository, upstream) = (self.repository.clone(), upstream.policy.id.clone());
                Err(EngineError::UpstreamFailed { repository, upstream, fault })
            }
        }
    }
}

/// Returns the ids of the repositories of those upstreams that can answer.
fn ids(upstreams: &[Upstream]) -> Vec<Id> {
    upstreams.iter().filter_map(|upstream| upstream.repository.ok()).collect()
}
