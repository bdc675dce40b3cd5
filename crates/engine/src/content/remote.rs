//! Remote repositories of other registries: what a pull needs is fetched first, and stored as a push would store it.
//! Afterwards the pull reads it from the repository's own rows.
//!
//! Content with a digest never changes, so it is fetched once. A tag is asked for again after [`FRESH_FOR`]. Requests
//! for the same content wait for one fetch, which goes on when those who wait leave.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use identity::{AuthorizationMode, Caller, micros};
use meta::upstream_tags::{self, UpstreamLook};
use meta::{Tx, blobs, versions};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::principal::Principal;
use model::reference::Reference;
use tokio::time::timeout;

use crate::access::{ImageContext, Push, RepoAccess};
use crate::body_error::BodyError;
use crate::content::push::ReceivedManifest;
use crate::content::receive::{UploadBody, UploadChunk};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_fetch::{FetchKey, FetchOutcome, Freshness};
use crate::upstream_registry::{
    UpstreamBytes, UpstreamImage, UpstreamProblem, UpstreamProblemKind as Problem,
};
use crate::upstream_set::RemoteRegistry;

/// The time for which a tag is served without asking the upstream.
const FRESH_FOR: Duration = Duration::from_secs(3600);
/// The time for which the upstream is not asked again for something that it does not have.
const MISSING_FOR: Duration = Duration::from_secs(60);
/// The longest time for which a pull waits for the upstream's word on a tag that is cached.
const MAX_REVALIDATION: Duration = Duration::from_secs(2);
/// The number of old looks that are forgotten with each new one that finds nothing.
const FORGOTTEN_AT_ONCE: i64 = 100;
/// The largest config that is fetched together with its manifest, for the columns that lists show.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The longest time in which an upstream sends a manifest, and in which it sends a config.
const MANIFEST_TIME: Duration = Duration::from_secs(30);
const CONFIG_TIME: Duration = Duration::from_secs(5);
/// The bytes of a blob that an upstream has to send in a second, after the first minute.
const SLOWEST_BLOB: u64 = 64 << 10;

/// The words for a fetch that is not begun.
const TOO_MANY_FETCHES: &str = "is not asked now: too many fetches run";

/// The principal of what remote repositories fetch.
const FETCHER: &str = "system:remote-repository";

/// An image in a remote repository of another registry.
#[derive(Clone)]
pub(crate) struct RemoteSource {
    /// The access by which fetched content is stored.
    store: RepoAccess<Push>,
    registry: RemoteRegistry,
}

impl Engine {
    /// Returns the source for an image of a remote repository of another registry.
    ///
    /// # Errors
    /// Fails if the repository does not serve the image.
    pub(crate) fn remote_source(
        &self,
        image: &ImageContext,
        registry: RemoteRegistry,
    ) -> Result<RemoteSource, EngineError> {
        registry.check_image(&image.repository_name, image.image_name())?;
        let fetcher = Caller::new(Principal::System(FETCHER), AuthorizationMode::Everything);
        let mut repository = image.repository().clone();
        // A manifest is stored before the content that it names.
        repository.allows_missing_content = true;
        let image = ImageContext::new(repository, image.target.clone(), fetcher, Arc::default());
        let permission = artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS;
        Ok(RemoteSource { store: self.storing_access(Arc::new(image), permission), registry })
    }
}

impl RemoteSource {
    fn engine(&self) -> &Engine {
        &self.store.engine
    }

    /// Returns the rows of what the repository has of the image.
    pub(crate) fn holding(&self) -> &crate::access::ImageHolding {
        &self.store.image.holding
    }

    fn upstream_image(&self) -> UpstreamImage<'_> {
        UpstreamImage { url: &self.registry.url, image: self.store.image.image_name() }
    }

    fn problem(&self, kind: Problem, text: impl Into<String>) -> UpstreamProblem {
        UpstreamProblem::new(&self.registry.url, kind, text)
    }

    /// Waits for one fetch of a reference by all requests that want it.
    async fn fetch_once<Work>(
        &self,
        reference: &str,
        work: impl FnOnce(Self) -> Work,
    ) -> Result<Freshness, EngineError>
    where
        Work: Future<Output = FetchOutcome> + Send + 'static,
    {
        let image = &self.store.image;
        let key = FetchKey {
            repository: image.repository().id,
            url: self.registry.url.clone(),
            image: image.image_name().to_owned(),
            reference: reference.to_owned(),
        };
        let (source, working) = (self.clone(), work(self.clone()));
        let work = async move {
            let Ok(_place) = source.engine().fetch_places.try_acquire() else {
                return Err(source.problem(Problem::NotStored, TOO_MANY_FETCHES));
            };
            if let Err(error) = source.engine().check_stores_present() {
                return Err(source.not_stored(&error));
            }
            working.await
        };
        match self.engine().fetches.join(key, || work).await {
            Some(fetched) => Ok(fetched?),
            None => Err(EngineError::Internal("a fetch ended without a result".to_owned())),
        }
    }

    /// Sees to it that the repository has the manifest that a pull is about to read, if the upstream has it.
    pub(crate) async fn prepare_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Freshness, EngineError> {
        let now = self.engine().clock.now();
        let known = self.known(reference).await?;
        let is_within = |look: UpstreamLook, span| now - look.checked_at < micros(span);
        match (&known.digest, known.look) {
            (Some(_), _) if matches!(reference, Reference::Digest(_)) => return Ok(self.hit()),
            (Some(_), Some(look)) if look.found && is_within(look, FRESH_FOR) => {
                return Ok(self.hit());
            }
            (_, Some(look)) if !look.found && is_within(look, MISSING_FOR) => {
                return Err(self.problem(Problem::NotFound, "has no such image").into());
            }
            (_, _) => {}
        }
        if let Some(problem) = self.offline_problem() {
            return self.while_offline(&known, problem);
        }
        let (wanted, is_cached) = (reference.clone(), known.digest.is_some());
        let confirmed_at = known.confirmed_at();
        let work = |source: Self| async move { source.update_manifest(&wanted, known).await };
        match self.fetch_once(&reference.to_string(), work).await {
            // The upstream was not asked at all.
            Err(EngineError::Upstream(problem))
                if is_cached && problem.kind == Problem::NotStored =>
            {
                Ok(Freshness::Stale { confirmed_at })
            }
            fetched => fetched,
        }
    }

    /// Returns what the repository has of a reference.
    async fn known(&self, reference: &Reference) -> Result<KnownReference, EngineError> {
        let (image, reference) = (self.store.image.clone(), reference.clone());
        let read = self.engine().read_by_key(move |tx| {
            let version = match &reference {
                Reference::Tag(tag) => versions::find_by_tag(tx, image.address(), tag.as_str())?,
                Reference::Digest(digest) => versions::find_by_digest(tx, image.address(), digest)?,
            };
            let look = upstream_tags::find(tx, image.address(), &reference.to_string())?;
            // A tag that this upstream has never confirmed is not cached: the settings may have named another one.
            let counts = matches!(reference, Reference::Digest(_)) || look.is_some();
            let digest = version.filter(|_| counts).map(|version| version.digest);
            Ok(KnownReference { digest, look })
        });
        read.await
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
                    self.record_look(reference, true).await;
                }
                Ok(Freshness::Fresh)
            }
            Err(problem) if problem.kind == Problem::NotFound => {
                self.record_look(reference, false).await;
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
        let asking = upstream.find_digest(self.upstream_image(), reference);
        match timeout(MAX_REVALIDATION, asking).await {
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
        let fetching = upstream.fetch_manifest(self.upstream_image(), reference);
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
            let _ = timeout(CONFIG_TIME, self.fetch_blob(&config.digest, config.size)).await;
        }
        self.store.put_manifest(new).await.map_err(|error| self.not_stored(&error))?;
        Ok(())
    }

    fn hit(&self) -> Freshness {
        self.engine().settings.upstreams.note_hit(&self.registry.url);
        Freshness::Fresh
    }

    fn late(&self) -> UpstreamProblem {
        self.problem(Problem::Unreachable, "did not answer in time")
    }

    fn not_stored(&self, error: &EngineError) -> UpstreamProblem {
        let text = format!("sent content that could not be stored: {error}");
        self.problem(Problem::NotStored, text)
    }

    async fn record_look(&self, reference: &Reference, found: bool) {
        let (image, reference) = (self.store.image.clone(), reference.to_string());
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

    /// Sees to it that the repository has the blob that a pull is about to read, if a manifest of it names the blob.
    pub(crate) async fn prepare_blob(&self, digest: &Digest) -> Result<(), EngineError> {
        let (image, wanted) = (self.store.image.clone(), digest.clone());
        let awaited = self.engine().read_by_key(move |tx| {
            let repository = &image.repository().id;
            if blobs::find(tx, repository, &wanted)?.is_some() {
                return Ok(None);
            }
            // A blob whose copy was set aside is fetched anew.
            match blobs::find_size(tx, repository, &wanted)? {
                Some(size) => Ok(Some(size)),
                None => Ok(versions::find_awaited_size(tx, repository, &wanted)?),
            }
        });
        let Some(size) = awaited.await? else { return Ok(()) };
        if let Some(problem) = self.offline_problem() {
            return Err(problem.into());
        }
        let wanted = digest.clone();
        let work = |source: Self| async move {
            let size = size as u64;
            let time = Duration::from_secs(60 + size / SLOWEST_BLOB);
            let fetched = timeout(time, source.fetch_blob(&wanted, size)).await;
            fetched.map_err(|_| source.late())??;
            Ok(Freshness::Fresh)
        };
        match self.fetch_once(digest.as_str(), work).await {
            Err(EngineError::Upstream(problem)) if problem.kind == Problem::NotFound => {
                Err(EngineError::BlobUnknown(digest.clone()))
            }
            fetched => fetched.map(drop),
        }
    }

    async fn fetch_blob(&self, digest: &Digest, size: u64) -> Result<(), UpstreamProblem> {
        let upstream = &self.engine().settings.upstreams;
        let bytes = upstream.open_blob(self.upstream_image(), digest).await?;
        self.store_blob(digest, limited(bytes, size)).await.map_err(|error| match error {
            EngineError::DigestMismatch { .. } => {
                self.problem(Problem::Wrong, format!("sent other bytes than those of {digest}"))
            }
            EngineError::Body(_) => {
                let text = format!("did not send the {size} bytes of {digest}");
                self.problem(Problem::Wrong, text)
            }
            error => self.not_stored(&error),
        })
    }

    async fn store_blob(&self, digest: &Digest, body: UploadBody<'_>) -> Result<(), EngineError> {
        let upload = self.store.start_upload(digest.algorithm()).await?;
        let stored = self.store.finish_upload(&upload.id, digest, UploadChunk::from(body)).await;
        if stored.is_err() {
            // An upload that failed by itself is gone already.
            let _ = self.store.cancel_upload(&upload.id).await;
        }
        stored
    }
}

/// The knowledge of a repository about a reference.
struct KnownReference {
    /// The digest of the manifest that is stored.
    digest: Option<Digest>,
    look: Option<UpstreamLook>,
}

impl KnownReference {
    /// Returns the time at which the upstream confirmed the reference last, or 0.
    fn confirmed_at(&self) -> i64 {
        self.look.map_or(0, |look| look.checked_at)
    }
}

/// Returns the bytes, with an error in place of those beyond `size`.
fn limited(bytes: UpstreamBytes, size: u64) -> UploadBody<'static> {
    let begun = (bytes, Some(size));
    Box::pin(stream::unfold(begun, |(mut bytes, left)| async move {
        let left = left?;
        match bytes.next().await {
            Some(Ok(frame)) => match left.checked_sub(frame.len() as u64) {
                Some(left) => Some((Ok(frame), (bytes, Some(left)))),
                None => Some((Err(BodyError::Closed), (bytes, None))),
            },
            Some(Err(error)) => Some((Err(error), (bytes, None))),
            None => None,
        }
    }))
}
