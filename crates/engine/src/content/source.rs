//! The source of a read: the repositories whose rows answer for manifests, tags, referrers and blobs of an image.
//!
//! A standard repository answers from its own rows. A virtual one, and a remote one of a repository of this registry,
//! answer from the rows of their upstreams. A remote repository of another registry fetches first what a pull needs, and
//! answers from its own rows. Reads name a [`ContentSource`] and not a repository.

use std::sync::Arc;

use meta::repositories::{self, RepositoryRow};
use meta::versions::{self, HeldVersion, VersionRow};
use meta::{Id, Tx};
use model::name::{ImageName, RepositoryName};
use model::reference::Reference;
use model::repository::ModeName;

use crate::access::{ImageContext, ImageHolding, Pull, RepoAccess};
use crate::content::remote::RemoteSource;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::check_download;
use crate::upstream_set::{
    ListedRepositories, RemoteRepository, RepositoryReads, Upstream, UpstreamContent,
    UpstreamFault, UpstreamSet,
};

/// The source of a read.
#[derive(Clone)]
pub(crate) enum ContentSource {
    /// The rows of one repository.
    Local(Arc<ImageHolding>),
    /// The rows of the upstreams of a repository.
    Upstreams(UpstreamSource),
    /// Another registry. What was fetched from it is in the repository's own rows.
    Remote(RemoteSource),
}

/// An image in the upstreams of a repository.
#[derive(Clone)]
pub(crate) struct UpstreamSource {
    pub(super) set: Arc<UpstreamSet>,
    /// The position of the only upstream that is asked, if it is only one.
    only: Option<usize>,
    pub(super) image: ImageName,
}

/// An image, and the repositories that hold it, in any order.
struct HeldImage<'a> {
    image: &'a ImageName,
    repositories: Vec<Id>,
}

/// A repository in which something of an image is looked for.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// The rows of the image, if the repository has any.
    pub(super) holding: Option<&'a ImageHolding>,
    /// The repository, if it is a remote one of another registry. Its rows are not all that it has.
    pub(super) remote: Option<&'a Arc<RemoteRepository>>,
}

impl HeldImage<'_> {
    /// Returns the rows of the image in a repository, if there are any.
    fn of(&self, repository: &RepositoryRow) -> Option<ImageHolding> {
        self.repositories
            .contains(&repository.id)
            .then(|| ImageHolding { repository: repository.clone(), image: self.image.clone() })
    }
}

/// The search of one repository for something of an image.
type Look<'a, T> = dyn FnMut(&mut Tx<'_>, Candidate<'_>) -> Result<Option<T>, EngineError> + 'a;

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
        image: &Arc<ImageContext>,
    ) -> Result<ContentSource, EngineError> {
        Ok(match self.repository_reads(&image.repository_name, image.repository()).await? {
            RepositoryReads::Nothing => ContentSource::Local(image.holding.clone()),
            RepositoryReads::Upstreams(set) => {
                let image = image.holding.image.clone();
                ContentSource::Upstreams(UpstreamSource { set, only: None, image })
            }
            RepositoryReads::Registry(registry) => {
                ContentSource::Remote(self.remote_source(image.clone(), registry)?)
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
                source.set.find(tx, source.asked(), &source.image, &mut |tx, candidate| {
                    candidate.holding.map_or(Ok(None), |holding| look(tx, holding))
                })
            }
        }
    }

    /// Returns the ids of the remote repositories of other registries that answer a list of the image.
    pub(crate) fn registry_ids(&self) -> Vec<Id> {
        match self {
            Self::Local(_) => Vec::new(),
            Self::Remote(source) => vec![source.holding().repository.id],
            Self::Upstreams(source) => {
                let registries = source.set.registries(source.image.as_str());
                registries.iter().map(|remote| remote.row.id).collect()
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
            Self::Upstreams(UpstreamSource { set, image, .. }) => {
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
            Self::Upstreams(source) => source.set.listed_ids(source.asked(), source.image.as_str()),
        }
    }
}

impl ContentSource {
    /// Returns the id of the policy of the upstream that answers from the rows of a repository. Returns `None` for the
    /// repository's own rows.
    pub(crate) fn upstream_of(&self, repository: &Id) -> Option<&str> {
        match self {
            Self::Local(_) | Self::Remote(_) => None,
            Self::Upstreams(UpstreamSource { set, image, .. }) => {
                set.policy_of(repository, image.as_str())
            }
        }
    }
}

impl UpstreamSource {
    /// Returns a source that asks one upstream of a set.
    pub(crate) fn only(set: Arc<UpstreamSet>, position: usize, image: ImageName) -> Self {
        Self { set, only: Some(position), image }
    }

    /// Returns the upstreams that are asked, in order.
    pub(super) fn asked(&self) -> &[Upstream] {
        match self.only {
            Some(position) => &self.set.all()[position..=position],
            None => self.set.asked_for(self.image.as_str()),
        }
    }

    /// Returns what the first upstream finds that finds something of a version. `look` gets the version that the rows of
    /// the candidate have, perhaps with the bytes of the manifest.
    ///
    /// # Errors
    /// Fails as [`ContentSource::find`] does, and where a rule of that upstream denies the download.
    pub(super) fn find_version<T>(
        &self,
        tx: &mut Tx<'_>,
        reference: &Reference,
        mut look: impl FnMut(
            &mut Tx<'_>,
            Candidate<'_>,
            Option<FoundVersion>,
        ) -> Result<Option<T>, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        let (image, asked) = (&self.image, self.asked());
        let Some(held) = versions::list_held(tx, image.as_str(), reference)? else {
            return self.set.find(tx, asked, image, &mut |tx, candidate| {
                let version = match candidate.holding {
                    Some(holding) => find_row(tx, holding, reference)?,
                    None => None,
                };
                look(tx, candidate, version.map(|row| FoundVersion { row, bytes: None }))
            });
        };
        let repositories = held.iter().map(|held| held.repository).collect();
        self.set.find_among(tx, asked, &HeldImage { image, repositories }, &mut |tx, candidate| {
            let held = candidate.holding.and_then(|holding| {
                held.iter().find(|held| held.repository == holding.repository.id)
            });
            let found = held.and_then(|HeldVersion { version, bytes, .. }| {
                Some(FoundVersion { row: version.clone()?, bytes: bytes.clone() })
            });
            look(tx, candidate, found)
        })
    }
}

/// A version of an image in the rows of one repository.
pub(crate) struct FoundVersion {
    pub(crate) row: VersionRow,
    /// The bytes of the manifest, if they were read with the row.
    pub(super) bytes: Option<Vec<u8>>,
}

impl UpstreamSet {
    /// Returns what the first of some upstreams finds that finds something of an image.
    fn find<T>(
        &self,
        tx: &mut Tx<'_>,
        asked: &[Upstream],
        image: &ImageName,
        look: &mut Look<'_, T>,
    ) -> Result<Option<T>, EngineError> {
        let ids = ids_of(asked, image.as_str());
        let repositories = repositories::list_with_image(tx, &ids, image.as_str())?;
        self.find_among(tx, asked, &HeldImage { image, repositories }, look)
    }

    /// Does what `find` does, in the rows of the repositories that hold the image.
    fn find_among<T>(
        &self,
        tx: &mut Tx<'_>,
        asked: &[Upstream],
        held: &HeldImage<'_>,
        look: &mut Look<'_, T>,
    ) -> Result<Option<T>, EngineError> {
        for upstream in asked {
            let found = match &upstream.content {
                UpstreamContent::Own(row) => match held.of(row) {
                    Some(holding) => look(tx, Candidate { holding: Some(&holding), remote: None }),
                    None => Ok(None),
                },
                UpstreamContent::Upstreams(set) => {
                    set.find_among(tx, set.asked_for(held.image.as_str()), held, look)
                }
                UpstreamContent::Registry(remote) => {
                    let holding = held.of(&remote.row);
                    look(tx, Candidate { holding: holding.as_ref(), remote: Some(remote) })
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
                UpstreamContent::Own(row) => Ok(vec![row.id]),
                // What was fetched is listed.
                UpstreamContent::Registry(remote) => Ok(vec![remote.row.id]),
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
    pub(super) fn unless_passed_over<T>(
        &self,
        upstream: &Upstream,
        answer: Result<T, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        match answer {
            Err(EngineError::UpstreamFailed { .. } | EngineError::Upstream(_))
                if self.falls_through() =>
            {
                Ok(None)
            }
            Err(EngineError::Upstream(problem)) => {
                Err(self.failure(upstream, UpstreamFault::Unanswered(problem.kind)))
            }
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
    let version = find_row(tx, holding, reference)?;
    if let Some(version) = &version {
        check_download(tx, &holding.repository, holding.image(), version)?;
    }
    Ok(version)
}

fn find_row(
    tx: &mut Tx<'_>,
    holding: &ImageHolding,
    reference: &Reference,
) -> Result<Option<VersionRow>, EngineError> {
    Ok(match reference {
        Reference::Tag(tag) => versions::find_by_tag(tx, holding.address(), tag.as_str())?,
        Reference::Digest(digest) => versions::find_by_digest(tx, holding.address(), digest)?,
    })
}

/// Returns the ids of the repositories whose own rows may answer for an image.
pub(super) fn ids_of(asked: &[Upstream], image: &str) -> Vec<Id> {
    let mut ids = Vec::new();
    asked.iter().for_each(|upstream| upstream.add_ids(image, &mut ids));
    ids
}
