//! The source of a read: the repositories whose rows answer for manifests, tags, referrers and blobs of an image.
//!
//! A standard repository answers from its own rows. A virtual one, and a remote one of a repository of this registry,
//! answer from the rows of their upstreams. A remote repository of another registry fetches first what a pull needs, and
//! answers from its own rows. Reads name a [`ContentSource`] and not a repository.

use std::sync::Arc;

use meta::repositories::{self, RepositoryRow};
use meta::versions::{self, HeldVersion, VersionRow};
use meta::{Id, Tx};
use model::digest::Digest;
use model::name::{ImageName, RepositoryName};
use model::reference::Reference;
use model::repository::ModeName;

use crate::access::{ImageContext, ImageHolding, Pull, RepoAccess};
use crate::content::remote::RemoteSource;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::check_download;
use crate::upstream_set::{
    ListedRepositories, RepositoryReads, Upstream, UpstreamContent, UpstreamFault, UpstreamSet,
};

/// The source of a read.
#[derive(Clone)]
pub(crate) enum ContentSource {
    /// The rows of one repository.
    Local(Arc<ImageHolding>),
    /// The rows of the upstreams of a repository.
    Upstreams(UpstreamSource),
    /// Another registry. What was fetched from it is in the repository's own rows.
    Remote(Box<RemoteSource>),
}

/// An image in the upstreams of a repository.
#[derive(Clone)]
pub(crate) struct UpstreamSource {
    set: Arc<UpstreamSet>,
    image: ImageName,
}

/// The rows of an image in the repositories that hold it, in any order.
struct ImageHoldings<'a> {
    image: &'a ImageName,
    holdings: Vec<ImageHolding>,
}

/// The search of one repository for something of an image.
type Look<'a, T> = dyn FnMut(&mut Tx<'_>, &ImageHolding) -> Result<Option<T>, EngineError> + 'a;

impl RepoAccess<Pull> {
    /// Returns the source of the image's content.
    pub(crate) async fn source(&self) -> Result<ContentSource, EngineError> {
        self.engine.source_of(&self.image).await
    }
}

impl Engine {
    /// Returns the source of an image's content.
    pub(crate) async fn source_of(
        &self,
        image: &ImageContext,
    ) -> Result<ContentSource, EngineError> {
        Ok(match self.repository_reads(&image.repository_name, image.repository()).await? {
            RepositoryReads::Nothing => ContentSource::Local(image.holding.clone()),
            RepositoryReads::Upstreams(set) => {
                let image = image.holding.image.clone();
                ContentSource::Upstreams(UpstreamSource { set, image })
            }
            RepositoryReads::Registry(registry) => {
                ContentSource::Remote(Box::new(self.remote_source(image, registry)))
            }
        })
    }

    /// Returns the repositories that answer a list of all images.
    pub(crate) async fn listed_repositories(
        &self,
        name: &RepositoryName,
        repository: &RepositoryRow,
    ) -> Result<ListedRepositories, EngineError> {
        match self.repository_reads(name, repository).await? {
            RepositoryReads::Upstreams(set) => {
                Ok(ListedRepositories::of_upstreams(set.listed_ids(set.all(), "")?, set))
            }
            // A remote repository of another registry lists what it has fetched.
            RepositoryReads::Nothing | RepositoryReads::Registry(_) => {
                Ok(ListedRepositories::of_one(repository.id))
            }
        }
    }

    /// Returns what a repository reads besides its own rows. It is remembered under the epoch of access, which every
    /// change of a repository raises.
    pub(crate) async fn repository_reads(
        &self,
        name: &RepositoryName,
        repository: &RepositoryRow,
    ) -> Result<RepositoryReads, EngineError> {
        if repository.mode == ModeName::Standard {
            return Ok(RepositoryReads::Nothing);
        }
        let epoch = self.identity.epoch().await?;
        if let Some(reads) = self.upstream_sets.get(&repository.id, epoch) {
            return Ok(reads);
        }
        let (name, row) = (name.clone(), repository.clone());
        let reads = self.read(move |tx| Ok(RepositoryReads::read(tx, &name, &row)?)).await?;
        self.upstream_sets.put(repository.id, epoch, reads.clone());
        Ok(reads)
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
            Self::Remote(source) => look(tx, source.holding()),
            Self::Upstreams(source) => {
                let asked = source.set.asked_for(source.image.as_str());
                source.set.find(tx, asked, &source.image, &mut look)
            }
        }
    }

    /// Returns the repositories that answer a list of the images below this one.
    ///
    /// # Errors
    /// Fails as [`ContentSource::repositories`] does.
    pub(crate) fn repositories_below(&self) -> Result<ListedRepositories, EngineError> {
        match self {
            Self::Local(holding) => Ok(ListedRepositories::of_one(holding.repository.id)),
            Self::Remote(source) => Ok(ListedRepositories::of_one(source.holding().repository.id)),
            Self::Upstreams(UpstreamSource { set, image }) => {
                let below = format!("{image}/");
                let ids = set.listed_ids(set.asked_for(&below), &below)?;
                Ok(ListedRepositories::of_upstreams(ids, set.clone()))
            }
        }
    }

    /// Returns the ids of the repositories that answer a list of the image, in the order in which they are asked.
    ///
    /// # Errors
    /// Fails if an upstream cannot answer, unless the failure policy lets the others answer.
    pub(crate) fn repositories(&self) -> Result<Vec<Id>, EngineError> {
        match self {
            Self::Local(holding) => Ok(vec![holding.repository.id]),
            Self::Remote(source) => Ok(vec![source.holding().repository.id]),
            Self::Upstreams(UpstreamSource { set, image }) => {
                set.listed_ids(set.asked_for(image.as_str()), image.as_str())
            }
        }
    }
}

impl UpstreamSource {
    /// Returns the version that the first upstream has which has one.
    ///
    /// # Errors
    /// Fails as [`ContentSource::find`] does, and where a rule of that upstream denies the download.
    pub(crate) fn find_version(
        &self,
        tx: &mut Tx<'_>,
        reference: &Reference,
    ) -> Result<Option<VersionRow>, EngineError> {
        let (image, asked) = (&self.image, self.set.asked_for(self.image.as_str()));
        let Some(held) = versions::list_held(tx, image.as_str(), reference)? else {
            return self.set.find(tx, asked, image, &mut |tx, holding| {
                find_downloadable(tx, holding, reference)
            });
        };
        let holding = |held: &HeldVersion| {
            let repository = held.repository.clone();
            ImageHolding { repository, image: image.clone() }
        };
        let holdings = ImageHoldings { image, holdings: held.iter().map(holding).collect() };
        self.set.find_among(tx, asked, &holdings, &mut |tx, holding| {
            let held = held.iter().find(|held| held.repository.id == holding.repository.id);
            let version = held.and_then(|held| held.version.clone());
            if let Some(version) = &version {
                check_download(tx, &holding.repository, holding.image(), version)?;
            }
            Ok(version)
        })
    }

    /// Returns the id of the repository that a blob is read from: the first one with a manifest that names it. A blob is
    /// the same wherever it comes from, so an upstream that cannot answer is passed over.
    pub(crate) fn find_blob_repository(
        &self,
        tx: &mut Tx<'_>,
        digest: &Digest,
    ) -> Result<Option<Id>, EngineError> {
        let ids = ids_of(self.set.asked_for(self.image.as_str()), self.image.as_str());
        let holding = repositories::list_with_blob(tx, &ids, digest)?;
        Ok(ids.into_iter().find(|id| holding.iter().any(|row| row.id == *id)))
    }
}

impl UpstreamSet {
    /// Returns what the first of some upstreams finds that finds something of an image.
    pub(crate) fn find<T>(
        &self,
        tx: &mut Tx<'_>,
        asked: &[Upstream],
        image: &ImageName,
        look: &mut Look<'_, T>,
    ) -> Result<Option<T>, EngineError> {
        let ids = ids_of(asked, image.as_str());
        let rows = repositories::list_with_image(tx, &ids, image.as_str())?;
        let holding = |repository| ImageHolding { repository, image: image.clone() };
        let holdings = rows.into_iter().map(holding).collect();
        self.find_among(tx, asked, &ImageHoldings { image, holdings }, look)
    }

    /// Does what `find` does, in the rows of the repositories that hold the image.
    fn find_among<T>(
        &self,
        tx: &mut Tx<'_>,
        asked: &[Upstream],
        held: &ImageHoldings<'_>,
        look: &mut Look<'_, T>,
    ) -> Result<Option<T>, EngineError> {
        for upstream in asked {
            let found = match &upstream.content {
                UpstreamContent::Own(id) => {
                    match held.holdings.iter().find(|holding| holding.repository.id == *id) {
                        Some(holding) => look(tx, holding),
                        None => Ok(None),
                    }
                }
                UpstreamContent::Upstreams(set) => {
                    set.find_among(tx, set.asked_for(held.image.as_str()), held, look)
                }
                UpstreamContent::Fault(fault) => Err(self.failure(upstream, *fault)),
            };
            if let Some(found) = self.unless_passed_over(upstream, found)?.flatten() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the ids of the repositories of some upstreams that answer a list.
    fn listed_ids(&self, asked: &[Upstream], image: &str) -> Result<Vec<Id>, EngineError> {
        let mut ids = Vec::new();
        for upstream in asked {
            let own = match &upstream.content {
                UpstreamContent::Own(id) => Ok(vec![*id]),
                UpstreamContent::Upstreams(set) if image.is_empty() => {
                    set.listed_ids(set.all(), image)
                }
                UpstreamContent::Upstreams(set) => set.listed_ids(set.asked_for(image), image),
                UpstreamContent::Fault(fault) => Err(self.failure(upstream, *fault)),
            };
            ids.extend(self.unless_passed_over(upstream, own)?.unwrap_or_default());
        }
        Ok(ids)
    }

    /// Returns the answer of an upstream, or `None` if the upstream cannot answer and the failure policy passes it over.
    /// An error of an upstream's own upstream becomes one of this repository: who reads it knows no others.
    fn unless_passed_over<T>(
        &self,
        upstream: &Upstream,
        answer: Result<T, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        match answer {
            Err(EngineError::UpstreamFailed { .. }) if self.falls_through() => Ok(None),
            Err(EngineError::UpstreamFailed { fault, .. }) => Err(self.failure(upstream, fault)),
            answer => answer.map(Some),
        }
    }

    fn failure(&self, upstream: &Upstream, fault: UpstreamFault) -> EngineError {
        let (repository, upstream) = (self.name.clone(), upstream.policy.id.clone());
        EngineError::UpstreamFailed { repository, upstream, fault }
    }
}

/// Returns a version of one repository, unless a rule denies its download.
pub(crate) fn find_downloadable(
    tx: &mut Tx<'_>,
    holding: &ImageHolding,
    reference: &Reference,
) -> Result<Option<VersionRow>, EngineError> {
    let version = match reference {
        Reference::Tag(tag) => versions::find_by_tag(tx, holding.address(), tag.as_str())?,
        Reference::Digest(digest) => versions::find_by_digest(tx, holding.address(), digest)?,
    };
    if let Some(version) = &version {
        check_download(tx, &holding.repository, holding.image(), version)?;
    }
    Ok(version)
}

/// Returns the ids of the repositories whose own rows may answer for an image.
fn ids_of(asked: &[Upstream], image: &str) -> Vec<Id> {
    let mut ids = Vec::new();
    asked.iter().for_each(|upstream| upstream.add_ids(image, &mut ids));
    ids
}
