//! Pulls through upstreams: the search of a version in the order of the upstreams, which asks the registries of remote
//! repositories on its way, and the search of a blob.

use std::collections::HashMap;
use std::sync::Arc;

use meta::blobs::{self, BlobCopy};
use meta::repositories;
use meta::versions::ImageAddress;
use meta::{Id, Tx};
use model::digest::Digest;
use model::name::ImageName;
use model::reference::Reference;

use crate::cache_reads::CacheRead;
use crate::content::blob_read::OpenContent;
use crate::content::remote::{FreshTime, ReferenceState};
use crate::content::source::{FoundVersion, UpstreamSource, ids_of};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_fetch::Freshness;
use crate::tags::download_rules::check_download;
use crate::upstream_registry::{UpstreamProblem, UpstreamProblemKind};
use crate::upstream_set::RemoteRepository;

/// The answer of a remote repository that was asked for a version.
#[derive(Debug, Clone)]
pub(crate) enum RegistryAnswer {
    /// The rows of the repository have the version.
    Present(Freshness),
    /// The registry does not have the version.
    Missing,
    /// The registry did not answer.
    Failed(UpstreamProblem),
}

/// The answers of the remote repositories that were asked, by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistryAnswers(HashMap<Id, RegistryAnswer>);

/// A version that is looked for now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedVersion<'a> {
    pub(crate) image: &'a ImageName,
    pub(crate) reference: &'a Reference,
    pub(super) time: FreshTime,
}

/// The rows of a remote repository, as an answer for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryState {
    /// The rows say whether there is a version.
    Answers,
    /// There is no version, whatever is in the rows.
    Missing,
    /// The registry has to be asked first.
    Unknown,
}

impl RegistryAnswers {
    /// Returns the reason why a remote repository did not answer, if one was asked and did not.
    pub(crate) fn failure(&self) -> Option<&UpstreamProblem> {
        self.0.values().find_map(|answer| match answer {
            RegistryAnswer::Failed(problem) => Some(problem),
            RegistryAnswer::Present(_) | RegistryAnswer::Missing => None,
        })
    }

    /// Returns what the rows of a remote repository are worth.
    ///
    /// # Errors
    /// Fails if its registry was asked and did not answer.
    pub(crate) fn state(
        &self,
        tx: &mut Tx<'_>,
        remote: &RemoteRepository,
        wanted: WantedVersion<'_>,
    ) -> Result<RegistryState, EngineError> {
        match self.0.get(&remote.row.id) {
            Some(RegistryAnswer::Present(_)) => return Ok(RegistryState::Answers),
            Some(RegistryAnswer::Missing) => return Ok(RegistryState::Missing),
            Some(RegistryAnswer::Failed(problem)) => return Err(problem.clone().into()),
            None => {}
        }
        let WantedVersion { image, reference, time } = wanted;
        if remote.registry.check_image(&remote.name, image.as_str()).is_err() {
            return Ok(RegistryState::Missing);
        }
        let at = ImageAddress { repository: &remote.row.id, image: image.as_str() };
        let time = remote.registry.fresh_time(time);
        Ok(match ReferenceState::read(tx, at, reference, time)? {
            ReferenceState::Present => RegistryState::Answers,
            ReferenceState::Missing => RegistryState::Missing,
            ReferenceState::Doubtful(_) => RegistryState::Unknown,
        })
    }
}

impl RegistryAnswers {
    /// Returns the answer of a repository whose rows have no version.
    ///
    /// # Errors
    /// Fails if the registry of a remote repository has just confirmed the version. It was deleted since, and no upstream
    /// of a lower priority answers instead.
    fn missing_version<T>(
        &self,
        remote: Option<&Arc<RemoteRepository>>,
    ) -> Result<Option<T>, EngineError> {
        match remote.and_then(|remote| self.0.get(&remote.row.id)) {
            Some(RegistryAnswer::Present(_)) => {
                let why = "a cached image was deleted while it was pulled";
                Err(EngineError::Unavailable(why.to_owned()))
            }
            Some(RegistryAnswer::Missing | RegistryAnswer::Failed(_)) | None => Ok(None),
        }
    }
}

impl Engine {
    /// Has a remote repository fetch a version, if its registry has it.
    async fn ask_registry(
        &self,
        remote: &RemoteRepository,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<RegistryAnswer, EngineError> {
        let prepared = match self.upstream_source(remote, image) {
            Ok(source) => source.prepare_manifest(reference).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(freshness) => Ok(RegistryAnswer::Present(freshness)),
            Err(EngineError::ImageDenied { .. }) => Ok(RegistryAnswer::Missing),
            Err(EngineError::Upstream(problem)) => Ok(match problem.kind {
                UpstreamProblemKind::NotFound => RegistryAnswer::Missing,
                _ => RegistryAnswer::Failed(problem),
            }),
            Err(error) => Err(error),
        }
    }
}

/// The outcome of a search for a version.
pub(crate) struct VersionSearch<T> {
    /// The result of `read` for the version of the first upstream that has it.
    pub(crate) found: Option<T>,
    /// The time at which the registry of that upstream confirmed the version last, if it cannot be asked now.
    pub(crate) confirmed_at: Option<i64>,
    pub(crate) answers: RegistryAnswers,
}

/// A step of a search in the rows.
enum SearchStep<T> {
    /// The repository with this id has the version.
    Found(T, Id),
    /// The registry of a remote repository has to be asked before the search can go on.
    Ask(Arc<RemoteRepository>),
}

impl UpstreamSource {
    /// Finds a version in the upstreams, and applies `read` to it in the same transaction.
    ///
    /// # Errors
    /// Fails at an upstream that cannot answer, unless one before it has the version or the failure policy lets the next
    /// one answer, and where a rule of the upstream with the version denies the download.
    pub(crate) async fn search_version<T, F>(
        &self,
        engine: &Engine,
        reference: &Reference,
        read: F,
    ) -> Result<VersionSearch<T>, EngineError>
    where
        F: Fn(&mut Tx<'_>, FoundVersion) -> Result<Option<T>, EngineError> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let mut answers = RegistryAnswers::default();
        loop {
            let (source, wanted, known) = (self.clone(), reference.clone(), answers.clone());
            let (read, time) = (read.clone(), engine.fresh_time());
            let step = engine.read_by_key(move |tx| {
                let step = source.search_rows(tx, &wanted, &known, time)?;
                Ok(match step {
                    Some(SearchStep::Found(version, repository)) => {
                        read(tx, version)?.map(|found| SearchStep::Found(found, repository))
                    }
                    Some(SearchStep::Ask(remote)) => Some(SearchStep::Ask(remote)),
                    None => None,
                })
            });
            match step.await? {
                Some(SearchStep::Ask(remote)) => {
                    let answer = engine.ask_registry(&remote, &self.image, reference).await?;
                    answers.0.insert(remote.row.id, answer);
                }
                Some(SearchStep::Found(found, repository)) => {
                    let confirmed_at = match answers.0.get(&repository) {
                        Some(RegistryAnswer::Present(Freshness::Stale { confirmed_at })) => {
                            Some(*confirmed_at)
                        }
                        _ => None,
                    };
                    return Ok(VersionSearch { found: Some(found), confirmed_at, answers });
                }
                None => return Ok(VersionSearch { found: None, confirmed_at: None, answers }),
            }
        }
    }

    /// Searches the rows of the upstreams, up to the first remote repository whose registry has to be asked.
    fn search_rows(
        &self,
        tx: &mut Tx<'_>,
        reference: &Reference,
        answers: &RegistryAnswers,
        time: FreshTime,
    ) -> Result<Option<SearchStep<FoundVersion>>, EngineError> {
        let wanted = WantedVersion { image: &self.image, reference, time };
        self.find_version(tx, reference, |tx, candidate, version| {
            if let Some(remote) = candidate.remote {
                match answers.state(tx, remote, wanted)? {
                    RegistryState::Answers => {}
                    RegistryState::Missing => return Ok(None),
                    RegistryState::Unknown => return Ok(Some(SearchStep::Ask(remote.clone()))),
                }
            }
            let (Some(holding), Some(version)) = (candidate.holding, version) else {
                return answers.missing_version(candidate.remote);
            };
            check_download(tx, &holding.repository, holding.image(), &version.row)?;
            Ok(Some(SearchStep::Found(version, holding.repository.id)))
        })
    }
}

/// A blob that a manifest of a repository names.
struct NamedBlob {
    repository: Id,
    /// The copy of the blob, if it was read with the repository.
    copy: Option<BlobCopy>,
}

impl UpstreamSource {
    /// Opens a blob of the first upstream with a manifest that names it. A blob is the same wherever it comes from, so an
    /// upstream that cannot answer is passed over.
    pub(super) async fn open_blob(
        &self,
        engine: &Engine,
        digest: &Digest,
    ) -> Result<OpenContent, EngineError> {
        match self.open_stored_blob(engine, digest).await {
            Err(EngineError::BlobUnknown(_)) => {}
            opened => return opened,
        }
        let mut failure = None;
        for remote in self.set.registries(self.image.as_str()) {
            let Ok(source) = engine.upstream_source(&remote, &self.image) else { continue };
            match source.open_missing_blob(digest).await {
                Ok(Some(blob)) => return Ok(OpenContent::Growing(blob)),
                Ok(None) | Err(EngineError::BlobUnknown(_)) => {}
                Err(error) => failure = Some(error),
            }
        }
        // A fetch that was waited for has ended.
        match self.open_stored_blob(engine, digest).await {
            Err(EngineError::BlobUnknown(digest)) => {
                Err(failure.unwrap_or(EngineError::BlobUnknown(digest)))
            }
            opened => opened,
        }
    }

    /// Returns the size of a blob that an upstream has, or would fetch.
    pub(super) async fn find_blob_size(
        &self,
        engine: &Engine,
        digest: &Digest,
    ) -> Result<u64, EngineError> {
        match self.open_stored_blob(engine, digest).await {
            Err(EngineError::BlobUnknown(_)) => {}
            opened => return Ok(opened?.size()),
        }
        for remote in self.set.registries(self.image.as_str()) {
            let Ok(source) = engine.upstream_source(&remote, &self.image) else { continue };
            if let Some(size) = source.find_missing_size(digest).await? {
                return Ok(size);
            }
        }
        Err(EngineError::BlobUnknown(digest.clone()))
    }

    /// Begins a read of a blob, if the repository that has it deletes what nobody uses.
    fn begin_read(
        &self,
        engine: &Engine,
        repository: Id,
        digest: &Digest,
    ) -> Option<Arc<CacheRead>> {
        let mut registries = self.set.registries(self.image.as_str()).into_iter();
        let remote = registries.find(|remote| remote.row.id == repository)?;
        let at = ImageAddress { repository: &repository, image: self.image.as_str() };
        engine.begin_cache_read(&remote.registry, at, digest)
    }

    /// Returns the repository that a blob is read from: the first one with a manifest that names it. A blob is the same
    /// wherever it comes from, so an upstream that cannot answer is passed over.
    fn find_blob(
        &self,
        tx: &mut Tx<'_>,
        digest: &Digest,
    ) -> Result<Option<NamedBlob>, EngineError> {
        let ids = ids_of(self.asked(), self.image.as_str());
        let named = blobs::list_named(tx, digest)?;
        let first = named.into_iter().filter_map(|(repository, copy)| {
            let position = ids.iter().position(|id| *id == repository)?;
            Some((position, NamedBlob { repository, copy: Some(copy) }))
        });
        if let Some((_, blob)) = first.min_by_key(|(position, _)| *position) {
            return Ok(Some(blob));
        }
        // Very many repositories may read the blob, or its copy is not live.
        let holding = repositories::list_with_blob(tx, &ids, digest)?;
        let repository = ids.into_iter().find(|id| holding.contains(id));
        Ok(repository.map(|repository| NamedBlob { repository, copy: None }))
    }

    async fn open_stored_blob(
        &self,
        engine: &Engine,
        digest: &Digest,
    ) -> Result<OpenContent, EngineError> {
        let (source, wanted) = (self.clone(), digest.clone());
        let found = engine.read_by_key(move |tx| source.find_blob(tx, &wanted)).await?;
        let found = found.ok_or_else(|| EngineError::BlobUnknown(digest.clone()))?;
        let read = self.begin_read(engine, found.repository, digest);
        let mut blob = engine.open_found_blob(&found.repository, digest, found.copy).await?;
        blob.read = read;
        blob.check_if_changed().await?;
        Ok(OpenContent::Blob(blob))
    }
}
