//! Remote repositories of other registries: what a pull needs is fetched first, and stored as a push would store it.
//! Afterwards the pull reads it from the repository's own rows.
//!
//! Content with a digest never changes, so it is fetched once. A tag is asked for again after `cache.fresh_for`. Requests
//! for the same content wait for one fetch, which goes on when those who wait leave.

mod fresh_manifest;
mod reference_state;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use identity::{AuthorizationMode, Caller, micros};
use meta::Tx;
use meta::change_way::ChangeWay;
use meta::repositories::RepositoryRow;
use meta::upstream_tags::{self, UpstreamLook};
use model::digest::Digest;
use model::name::{ImageName, ImagePath, RepositoryName};
use model::permissions::artifactregistry;
use model::principal::Principal;
use model::reference::Reference;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use reference_state::KnownReference;
pub(super) use reference_state::{FreshTime, ReferenceState};

use crate::access::{ImageContext, ImageHolding, ImageTarget, Push, RepoAccess};
use crate::content::push::ReceivedManifest;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::flights::ResultSender;
use crate::remote_fetch::{FetchKey, FetchOutcome, FetchedBlob, Freshness};
use crate::remote_registry::RemoteRegistry;
use crate::upstream_registry::{
    RegistryCredentials, UpstreamImage, UpstreamProblem, UpstreamProblemKind as Problem,
};
use crate::upstream_set::RemoteRepository;

/// The time for which the upstream is not asked again for something that it does not have.
const MISSING_FOR: Duration = Duration::from_secs(60);
/// The number of old looks that are forgotten with each new one that finds nothing.
const FORGOTTEN_AT_ONCE: i64 = 100;
/// The largest config that is fetched together with its manifest, for the columns that lists show.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The longest time in which an upstream sends a manifest, and in which it sends a config.
const MANIFEST_TIME: Duration = Duration::from_secs(30);
const CONFIG_TIME: Duration = Duration::from_secs(5);

/// The words for a fetch that is not begun.
const TOO_MANY_FETCHES: &str = "is not asked now: too many fetches run";

/// The principal of what remote repositories fetch.
const FETCHER: &str = "system:remote-repository";

/// An image in a remote repository of another registry.
#[derive(Clone)]
pub(crate) struct RemoteSource {
    /// The access by which fetched content is stored.
    pub(super) store: RepoAccess<Push>,
    registry: Arc<RemoteRegistry>,
}

impl Engine {
    /// Returns the source for an image of a remote repository of another registry.
    ///
    /// # Errors
    /// Fails if the repository does not serve the image.
    pub(crate) fn remote_source(
        &self,
        mut repository: RepositoryRow,
        target: ImageTarget,
        registry: Arc<RemoteRegistry>,
    ) -> Result<RemoteSource, EngineError> {
        let fetcher = Caller::new(Principal::System(FETCHER), AuthorizationMode::Everything);
        let fetcher = fetcher.with_way(ChangeWay::Fetch);
        // A manifest is stored before the content that it names.
        repository.allows_missing_content = true;
        let image = ImageContext::new(repository, target, fetcher, Arc::default());
        registry.check_image(&image.repository_name, image.image_name())?;
        let permission = artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS;
        Ok(RemoteSource { store: self.storing_access(Arc::new(image), permission), registry })
    }

    /// Returns the source for an image of a remote repository that others read.
    ///
    /// # Errors
    /// Fails if the repository does not serve the image.
    pub(crate) fn upstream_source(
        &self,
        remote: &RemoteRepository,
        image: &ImageName,
    ) -> Result<RemoteSource, EngineError> {
        let RepositoryName { project, location, repository } = remote.name.clone();
        let path = ImagePath { project, repository, image: image.clone() };
        let target = ImageTarget { location, path, on_registry_host: false };
        self.remote_source(remote.row.clone(), target, remote.registry.clone())
    }
}

impl RemoteSource {
    pub(super) fn engine(&self) -> &Engine {
        &self.store.engine
    }

    /// Returns the rows of what the repository has of the image.
    pub(crate) fn holding(&self) -> &Arc<ImageHolding> {
        &self.store.image.holding
    }

    pub(super) fn upstream_image<'a>(
        &'a self,
        credentials: Option<&'a RegistryCredentials>,
    ) -> UpstreamImage<'a> {
        let url = &self.registry.url;
        UpstreamImage { url, image: self.store.image.image_name(), credentials }
    }

    /// Returns the credentials for a request that is about to be made.
    pub(super) async fn credentials(&self) -> Result<Option<RegistryCredentials>, UpstreamProblem> {
        self.engine().registry_credentials(&self.registry).await
    }

    pub(super) fn problem(&self, kind: Problem, text: impl Into<String>) -> UpstreamProblem {
        UpstreamProblem::new(&self.registry.url, kind, text)
    }

    /// Returns the key of the fetch of a reference.
    pub(super) fn fetch_key(&self, reference: &str) -> FetchKey {
        let image = &self.store.image;
        FetchKey {
            repository: image.repository().id,
            url: self.registry.url.clone(),
            image: image.image_name().to_owned(),
            reference: reference.to_owned(),
        }
    }

    /// Takes a place for a fetch, if content can be stored at all.
    pub(super) fn begin_fetch(&self) -> Result<SemaphorePermit<'_>, UpstreamProblem> {
        let engine = self.engine();
        let place = engine.fetch_places.try_acquire();
        let place = place.map_err(|_| self.problem(Problem::NotStored, TOO_MANY_FETCHES))?;
        engine.check_stores_present().map_err(|error| self.not_stored(&error))?;
        Ok(place)
    }

    /// Waits for one fetch of a manifest by all requests that want it.
    async fn fetch_once(&self, reference: &Reference) -> Result<Freshness, EngineError> {
        let (source, reference) = (self.clone(), reference.clone());
        let key = self.fetch_key(&reference.to_string());
        let work = |sender: ResultSender<FetchKey, FetchOutcome>| async move {
            let fetched = match source.begin_fetch() {
                Ok(_place) => source.update_doubtful(&reference).await,
                Err(problem) => Err(problem),
            };
            sender.finish(fetched);
        };
        match self.engine().manifest_fetches.join(key, work).await {
            Some(fetched) => Ok(fetched?),
            None => Err(EngineError::Internal("a fetch ended without a result".to_owned())),
        }
    }

    /// Sees to it that the repository has the manifest that a pull is about to read, if the upstream has it.
    pub(crate) async fn prepare_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Freshness, EngineError> {
        let known = match self.reference_state(reference).await? {
            ReferenceState::Present => return Ok(self.hit()),
            ReferenceState::Missing => return Err(self.missing().into()),
            ReferenceState::Doubtful(known) => known,
        };
        if let Some(problem) = self.offline_problem() {
            return self.while_offline(&known, problem);
        }
        let (is_cached, confirmed_at) = (known.digest.is_some(), known.confirmed_at());
        match self.fetch_once(reference).await {
            // The upstream was not asked at all.
            Err(EngineError::Upstream(problem))
                if is_cached && problem.kind == Problem::NotStored =>
            {
                Ok(Freshness::Stale { confirmed_at })
            }
            fetched => fetched,
        }
    }

    async fn reference_state(&self, reference: &Reference) -> Result<ReferenceState, EngineError> {
        let (image, wanted) = (self.store.image.clone(), reference.clone());
        let time = self.fresh_time();
        let read = move |tx: &mut Tx<'_>| ReferenceState::read(tx, image.address(), &wanted, time);
        self.engine().read_by_key(read).await
    }

    /// Asks the upstream about a reference, unless another fetch has ended since somebody asked for this one.
    async fn update_doubtful(&self, reference: &Reference) -> FetchOutcome {
        match self.reference_state(reference).await.map_err(|error| self.not_stored(&error))? {
            ReferenceState::Present => Ok(Freshness::Fresh),
            ReferenceState::Missing => Err(self.missing()),
            ReferenceState::Doubtful(known) => self.update_manifest(reference, known).await,
        }
    }

    /// Asks the upstream about a reference, and fetches what the repository lacks.
    async fn update_manifest(&self, reference: &Reference, known: KnownReference) -> FetchOutcome {
        let updated = match &known.digest {
            None => self.fetch_manifest(reference).await,
            Some(digest) => self.revalidate(reference, digest).await,
        };
        match updated {
            Ok(()) => {
                // A digest is never asked for again.
                if matches!(reference, Reference::Tag(_)) {
                    self.record_look(&reference.to_string(), true).await;
                }
                Ok(Freshness::Fresh)
            }
            Err(problem) if problem.kind == Problem::NotFound => {
                self.record_look(&reference.to_string(), false).await;
                self.delete_missing(reference).await;
                Err(problem)
            }
            // The upstream cannot say whether the tag has moved.
            Err(problem) if known.digest.is_some() => {
                tracing::warn!("serving a cached tag, because {problem}");
                Ok(Freshness::Stale { confirmed_at: known.confirmed_at() })
            }
            Err(problem) => Err(problem),
        }
    }

    /// Asks the upstream whether a tag still names a digest, and fetches the manifest if it does not.
    async fn revalidate(
        &self,
        reference: &Reference,
        cached: &Digest,
    ) -> Result<(), UpstreamProblem> {
        let upstream = &self.engine().settings.upstreams;
        let credentials = self.credentials().await?;
        let asking = upstream.find_digest(self.upstream_image(credentials.as_ref()), reference);
        match timeout(self.engine().settings.revalidation_timeout, asking).await {
            Ok(Ok(Some(digest))) if digest == *cached => Ok(()),
            // A registry may answer GET where it refuses HEAD.
            Ok(Ok(_) | Err(UpstreamProblem { kind: Problem::Failed, .. })) => {
                self.fetch_manifest(reference).await
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(self.late()),
        }
    }

    async fn fetch_manifest(&self, reference: &Reference) -> Result<(), UpstreamProblem> {
        let upstream = &self.engine().settings.upstreams;
        let credentials = self.credentials().await?;
        let image = self.upstream_image(credentials.as_ref());
        let fetching = upstream.fetch_manifest(image, reference);
        let fetched = timeout(MANIFEST_TIME, fetching).await.map_err(|_| self.late())??;
        let digest = match (reference, &fetched.digest) {
            (Reference::Digest(digest), _) | (Reference::Tag(_), Some(digest)) => digest.clone(),
            (Reference::Tag(_), None) => Digest::of(&fetched.bytes),
        };
        if Digest::of_with(digest.algorithm(), &fetched.bytes) != digest {
            let text = format!("sent a manifest that does not have the digest {digest}");
            return Err(self.problem(Problem::Wrong, text));
        }
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => Vec::new(),
        };
        let received = ReceivedManifest {
            bytes: fetched.bytes,
            content_type: fetched.media_type,
            reference: Reference::Digest(digest),
            tags,
        };
        let new = self.engine().read_manifest(received).await.map_err(|error| {
            self.problem(Problem::Wrong, format!("sent a manifest that is not valid: {error}"))
        })?;
        if let Some(config) = new.config().filter(|config| config.size <= MAX_CONFIG_BYTES) {
            // Only lists show what is in it. A pull that needs it asks again.
            let fetching = async {
                if let Ok(FetchedBlob::Growing(blob)) =
                    self.open_fetch(&config.digest, config.size).await
                {
                    blob.ended().await;
                }
            };
            let _ = timeout(CONFIG_TIME, fetching).await;
        }
        self.store.put_manifest(new).await.map_err(|error| self.not_stored(&error))?;
        Ok(())
    }

    fn hit(&self) -> Freshness {
        self.engine().settings.upstreams.note_hit(&self.registry.url);
        Freshness::Fresh
    }

    fn missing(&self) -> UpstreamProblem {
        self.problem(Problem::NotFound, "has no such image")
    }

    pub(super) fn late(&self) -> UpstreamProblem {
        self.problem(Problem::Unreachable, "did not answer in time")
    }

    pub(super) fn not_stored(&self, error: &EngineError) -> UpstreamProblem {
        let text = format!("sent content that could not be stored: {error}");
        self.problem(Problem::NotStored, text)
    }

    pub(super) async fn record_look(&self, reference: &str, found: bool) {
        let (image, reference) = (self.store.image.clone(), reference.to_owned());
        let checked_at = self.engine().clock.now();
        let written = self.engine().write(move |tx: &mut Tx<'_>| {
            image.check_live(tx)?;
            let look = UpstreamLook { found, checked_at };
            upstream_tags::set(tx, image.address(), &reference, look)?;
            if !found {
                let before = checked_at - micros(MISSING_FOR);
                upstream_tags::forget_not_found(tx, before, FORGOTTEN_AT_ONCE)?;
            }
            Ok(())
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "could not record what an upstream has: {error}");
        }
    }
}
