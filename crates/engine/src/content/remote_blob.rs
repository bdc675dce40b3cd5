//! Blobs of remote repositories of other registries. A blob is fetched once for all requests that want it, which read it
//! while it comes.
//!
//! The bytes go the way of an upload. A fetch whose upstream breaks off asks it for the rest, and so does the fetch of
//! another process, or of this one after it was started again, that finds an upload which nobody goes on with.

use std::time::Duration;

use blob::{GrowingCopy, HELD_BACK_BYTES};
use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream};
use identity::micros;
use meta::remote_fetches::{self, RemoteFetch};
use meta::{Id, Tx, blobs, versions};
use model::digest::Digest;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::body_error::BodyError;
use crate::content::receive::{UploadBody, UploadChunk};
use crate::content::remote::RemoteSource;
use crate::content::uploads::UploadState;
use crate::content::uploads::claimed::ClaimedUpload;
use crate::error::EngineError;
use crate::flights::ResultSender;
use crate::remote_fetch::{BlobFetchOutcome, FetchKey, FetchedBlob, GrowingBlob};
use crate::upstream_registry::{UpstreamBytes, UpstreamProblem, UpstreamProblemKind as Problem};

/// The longest time in which an upstream begins to send a blob.
const OPEN_TIME: Duration = Duration::from_secs(60);
/// The bytes of a blob that an upstream has to send in a second, after the first minute.
const SLOWEST_BLOB: u64 = 64 << 10;
/// The number of times that an upstream is asked for the rest of a blob which it broke off.
const MAX_RESUMPTIONS: u32 = 5;
/// The number of these times that may bring nothing, one after the other.
const MAX_FUTILE_RESUMPTIONS: u32 = 2;
/// The time before an upstream is asked for the rest. It doubles each time.
const RESUMPTION_WAIT: Duration = Duration::from_millis(100);
/// The longest time for which received bytes wait for more, before readers get them.
const BATCH_WAIT: Duration = Duration::from_millis(5);
/// The interval at which a fetch is renewed, and what it has is made durable.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(3);
/// The time after which another process goes on with a fetch that was not renewed.
const FETCH_LEASE: Duration = Duration::from_secs(10);
/// The interval at which a process looks whether another one has fetched a blob.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The right to fetch a blob.
enum FetchClaim {
    /// The repository has the blob.
    Stored,
    /// This process fetches it, by the upload with this id.
    Granted(Id),
    /// Another process fetches it.
    HeldElsewhere,
}

/// A blob that a manifest of the repository names.
#[derive(Clone)]
struct WantedBlob {
    digest: Digest,
    /// The largest size that a manifest states.
    size: u64,
}

impl WantedBlob {
    /// Returns the longest time for which its fetch may take.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(60 + self.size / SLOWEST_BLOB)
    }
}

impl RemoteSource {
    /// Returns the size of a blob that the repository lacks and that would be fetched: one that a manifest of it names.
    pub(crate) async fn find_missing_size(
        &self,
        digest: &Digest,
    ) -> Result<Option<u64>, EngineError> {
        let (repository, digest) = (self.holding().repository.id, digest.clone());
        let size = self.engine().read_by_key(move |tx| {
            // A blob whose copy was set aside is fetched anew.
            match blobs::find_size(tx, &repository, &digest)? {
                Some(size) => Ok(Some(size)),
                None => Ok(versions::find_awaited_size(tx, &repository, &digest)?),
            }
        });
        Ok(size.await?.map(|size| size as u64))
    }

    /// Opens a blob that the repository lacks and that a manifest of it names. Returns `None` for any other blob, and for
    /// one that was stored meanwhile.
    pub(crate) async fn open_missing_blob(
        &self,
        digest: &Digest,
    ) -> Result<Option<GrowingBlob>, EngineError> {
        let read = self.begin_read(digest);
        let Some(size) = self.find_missing_size(digest).await? else { return Ok(None) };
        if let Some(problem) = self.offline_problem() {
            return Err(problem.into());
        }
        match self.open_fetch(digest, size).await {
            Ok(FetchedBlob::Stored) => Ok(None),
            Ok(FetchedBlob::Growing(blob)) => Ok(Some(GrowingBlob { read, ..blob })),
            Err(EngineError::Upstream(problem)) if problem.kind == Problem::NotFound => {
                Err(EngineError::BlobUnknown(digest.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until a blob can be read, by one fetch for all requests that want it.
    pub(super) async fn open_fetch(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<FetchedBlob, EngineError> {
        let (source, wanted) = (self.clone(), WantedBlob { digest: digest.clone(), size });
        let work = |sender| source.fetch_blob(wanted, sender);
        let fetched = self.engine().blob_fetches.join(self.fetch_key(digest.as_str()), work).await;
        let fetched = fetched
            .ok_or_else(|| EngineError::Internal("a fetch ended without a result".to_owned()))??;
        if let FetchedBlob::Growing(blob) = &fetched
            && let Some(Err(problem)) = blob.outcome.borrow().clone()
        {
            return Err(problem.into());
        }
        Ok(fetched)
    }

    /// Fetches a blob. A large one is announced as soon as the upstream begins to send it.
    async fn fetch_blob(
        self,
        wanted: WantedBlob,
        sender: ResultSender<FetchKey, BlobFetchOutcome>,
    ) {
        let (outcome, receiver) = watch::channel(None);
        let announce = |copy, size| {
            let blob = GrowingBlob { copy, size, outcome: receiver, read: None };
            sender.announce(Ok(FetchedBlob::Growing(blob)));
        };
        // A fetch keeps what it needs as a reader does, also when its readers have left.
        let _read = self.begin_read(&wanted.digest);
        let fetched = self.fetch_or_wait(&wanted, announce).await;
        if let Err(problem) = &fetched {
            tracing::warn!(blob.digest = %wanted.digest, "the fetch of a blob failed: {problem}");
        }
        // Readers see the end after this fetch has ended for others, so that whoever tries again begins a new one.
        sender.finish(fetched.clone().map(|()| FetchedBlob::Stored));
        outcome.send_replace(Some(fetched));
    }

    /// Sees to it that the repository has the blob. If this process fetches a large one, `announce` is called with the
    /// growing copy and the size.
    async fn fetch_or_wait(
        &self,
        wanted: &WantedBlob,
        announce: impl FnOnce(GrowingCopy, u64),
    ) -> Result<(), UpstreamProblem> {
        let _place = self.begin_fetch()?;
        let upload = match timeout(wanted.time_limit(), self.wait_for_turn(wanted)).await {
            Ok(Ok(Some(upload))) => upload,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(self.not_stored(&error)),
            Err(_) => return Err(self.late()),
        };
        let fetching = self.fetch_into(&upload, wanted, announce);
        let fetched = timeout(wanted.time_limit(), fetching).await;
        let fetched = fetched.unwrap_or_else(|_| Err(self.late()));
        if let Err(problem) = &fetched {
            self.end_fetch(&upload, problem).await;
        }
        fetched
    }

    /// Waits until this process may fetch the blob, and returns the id of the upload. Returns `None` if another process
    /// has fetched the blob meanwhile.
    async fn wait_for_turn(&self, wanted: &WantedBlob) -> Result<Option<Id>, EngineError> {
        loop {
            match self.claim_fetch(wanted).await? {
                FetchClaim::Granted(upload) => return Ok(Some(upload)),
                FetchClaim::Stored => return Ok(None),
                FetchClaim::HeldElsewhere => sleep(LOOK_INTERVAL).await,
            }
        }
    }

    async fn claim_fetch(&self, wanted: &WantedBlob) -> Result<FetchClaim, EngineError> {
        let (image, digest) = (self.store.image.clone(), wanted.digest.clone());
        let engine = self.engine();
        let (now, holder) = (engine.clock.now(), engine.holder.clone());
        let upload = self.store.new_upload(digest.algorithm());
        let is_shared = engine.meta.is_shared();
        engine
            .write(move |tx: &mut Tx<'_>| {
                if blobs::find(tx, &image.repository().id, &digest)?.is_some() {
                    return Ok(FetchClaim::Stored);
                }
                let former = remote_fetches::find(tx, image.address(), &digest)?;
                let upload_id = match former {
                    Some(fetch)
                        if is_shared && fetch.holder != holder && fetch.expires_at > now =>
                    {
                        return Ok(FetchClaim::HeldElsewhere);
                    }
                    Some(fetch) if image.has_open_upload(tx, &fetch.upload_id)? => fetch.upload_id,
                    Some(_) | None => {
                        image.insert_upload(tx, &upload, now)?;
                        upload.id
                    }
                };
                let expires_at = now + micros(FETCH_LEASE);
                let fetch = RemoteFetch { upload_id, holder: holder.clone(), expires_at };
                remote_fetches::set(tx, image.address(), &digest, &fetch)?;
                Ok(FetchClaim::Granted(upload_id))
            })
            .await
    }

    /// Lets other processes fetch the blob. Bytes that could be the beginning of the blob are kept for them.
    async fn end_fetch(&self, upload: &Id, problem: &UpstreamProblem) {
        let keeps = matches!(problem.kind, Problem::Unreachable | Problem::Limited { .. });
        let (id, holder) = (*upload, self.engine().holder.clone());
        let ended = if keeps {
            let end = move |tx: &mut Tx<'_>| Ok(remote_fetches::set_expiry(tx, &id, &holder, 0)?);
            self.engine().write(end).await.map(drop)
        } else {
            self.store.cancel_upload(&upload.to_string()).await
        };
        match ended {
            // An upload that failed by itself is gone already.
            Ok(()) | Err(EngineError::UploadUnknown) => {}
            Err(error) => tracing::warn!(%error, "a fetch could not be ended: {error}"),
        }
    }

    /// Receives the blob into an upload, and makes it a blob of the repository.
    async fn fetch_into(
        &self,
        upload: &Id,
        wanted: &WantedBlob,
        announce: impl FnOnce(GrowingCopy, u64),
    ) -> Result<(), UpstreamProblem> {
        let not_stored = |error: EngineError| self.not_stored(&error);
        let algorithm = Some(wanted.digest.algorithm());
        let claimed = self.store.claim_upload(&upload.to_string(), algorithm).await;
        let UploadState::Open(mut claimed) = claimed.map_err(not_stored)? else { return Ok(()) };
        let mut bytes = ResumedBytes::new(self, wanted, claimed.writer.offset());
        timeout(OPEN_TIME, bytes.open()).await.map_err(|_| self.late())??;
        let copy = claimed.writer.growing().await;
        let copy = copy.map_err(|error| self.not_stored(&error.into()))?;
        // All of a small blob is held back, so that whoever waits for it can still be told what went wrong.
        if bytes.size > HELD_BACK_BYTES {
            announce(copy, bytes.size);
        }
        self.receive(claimed, &mut bytes, &wanted.digest).await
    }

    async fn receive(
        &self,
        mut claimed: ClaimedUpload<'_>,
        bytes: &mut ResumedBytes<'_>,
        digest: &Digest,
    ) -> Result<(), UpstreamProblem> {
        claimed.batch_wait = BATCH_WAIT;
        let id = claimed.upload.id;
        loop {
            let part =
                stream::unfold(&mut *bytes, |bytes| async { Some((bytes.next().await?, bytes)) });
            let part: UploadBody<'_> = Box::pin(part.take_until(sleep(CHECKPOINT_INTERVAL)));
            let received = claimed.receive(&mut UploadChunk::from(part)).await;
            let received = match received {
                Ok(received) => received,
                Err(error) => return Err(self.not_stored(&claimed.fail(error).await)),
            };
            if received.end.is_ok() && bytes.is_complete {
                break;
            }
            if received.bytes > 0 {
                claimed.save().await.map_err(|error| self.not_stored(&error))?;
            }
            if received.end.is_err() {
                return Err(bytes.problem.take().unwrap_or_else(|| self.late()));
            }
            let renewed = self.renew_fetch(id).await.map_err(|error| self.not_stored(&error))?;
            if !renewed {
                return Err(self.problem(Problem::NotStored, "is asked by another process now"));
            }
        }
        claimed.complete(digest).await.map_err(|error| match error {
            EngineError::DigestMismatch { .. } => {
                self.problem(Problem::Wrong, format!("sent other bytes than those of {digest}"))
            }
            error => self.not_stored(&error),
        })
    }

    async fn renew_fetch(&self, upload: Id) -> Result<bool, EngineError> {
        let engine = self.engine();
        let (holder, until) = (engine.holder.clone(), engine.clock.now() + micros(FETCH_LEASE));
        let renew =
            move |tx: &mut Tx<'_>| Ok(remote_fetches::set_expiry(tx, &upload, &holder, until)?);
        Ok(engine.write(renew).await? == 1)
    }
}

/// The bytes of a blob from an upstream, which is asked for the rest if it breaks off.
struct ResumedBytes<'a> {
    source: &'a RemoteSource,
    digest: &'a Digest,
    /// The size of the blob.
    size: u64,
    /// The offset of the next byte.
    at: u64,
    /// The bytes to leave out, which the upstream sends again.
    skipped: u64,
    /// The answer that is being read.
    answer: Option<UpstreamBytes>,
    /// The number of times that the upstream was asked for the rest.
    resumptions: u32,
    /// The offset at which the upstream broke off last, and the number of times that it has done so there.
    broken_at: u64,
    breaks_there: u32,
    /// The reason why no more bytes come.
    problem: Option<UpstreamProblem>,
    /// Tells whether all bytes have come.
    is_complete: bool,
}

impl<'a> ResumedBytes<'a> {
    fn new(source: &'a RemoteSource, wanted: &'a WantedBlob, at: u64) -> Self {
        Self {
            source,
            digest: &wanted.digest,
            size: wanted.size,
            at,
            skipped: 0,
            answer: None,
            resumptions: 0,
            broken_at: at,
            breaks_there: 0,
            problem: None,
            is_complete: false,
        }
    }

    /// Asks the upstream for the bytes from here on.
    async fn open(&mut self) -> Result<(), UpstreamProblem> {
        if self.at > 0 && self.at == self.size {
            // Only the end of the upload was missing.
            self.answer = Some(Box::pin(stream::empty()));
            return Ok(());
        }
        let source = self.source;
        let upstream = &source.engine().settings.upstreams;
        let credentials = source.credentials().await?;
        let blob = upstream
            .open_blob(source.upstream_image(credentials.as_ref()), self.digest, self.at)
            .await?;
        if blob.start > self.at {
            return Err(source.problem(Problem::Wrong, "sent another part than it was asked for"));
        }
        // The manifests may state a larger size than the blob has.
        self.size = blob.size.filter(|size| *size <= self.size).unwrap_or(self.size);
        self.skipped = self.at - blob.start;
        self.answer = Some(blob.bytes);
        Ok(())
    }

    /// Returns the next bytes, or `None` at the end. This may be dropped at any time and called again.
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let broken = match &mut self.answer {
                None => match timeout(OPEN_TIME, self.open()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(problem)) => problem,
                    Err(_) => self.source.late(),
                },
                Some(answer) => match answer.next().await {
                    Some(Ok(frame)) => match self.take(frame) {
                        Some(Ok(frame)) if frame.is_empty() => continue,
                        taken => return taken,
                    },
                    Some(Err(_)) => {
                        let text = format!("broke off after {} bytes of {}", self.at, self.digest);
                        self.source.problem(Problem::Unreachable, text)
                    }
                    None => {
                        self.is_complete = true;
                        return None;
                    }
                },
            };
            if !self.may_resume(&broken) {
                self.problem = Some(broken);
                return Some(Err(BodyError::Closed));
            }
            sleep(RESUMPTION_WAIT * (1 << self.breaks_there)).await;
        }
    }

    /// Returns whether the upstream is asked for the rest, now that it has broken off.
    fn may_resume(&mut self, broken: &UpstreamProblem) -> bool {
        self.answer = None;
        self.resumptions += 1;
        self.breaks_there = if self.broken_at == self.at { self.breaks_there + 1 } else { 0 };
        self.broken_at = self.at;
        self.resumptions <= MAX_RESUMPTIONS
            && self.breaks_there <= MAX_FUTILE_RESUMPTIONS
            && matches!(broken.kind, Problem::Unreachable | Problem::Failed)
    }

    /// Returns the new bytes of a frame, or an error if there are more than the blob may have.
    fn take(&mut self, mut frame: Bytes) -> Option<Result<Bytes, BodyError>> {
        let again = self.skipped.min(frame.len() as u64);
        self.skipped -= again;
        frame.advance(again as usize);
        self.at += frame.len() as u64;
        if self.at > self.size {
            let text = format!("sent more than the {} bytes of {}", self.size, self.digest);
            self.problem = Some(self.source.problem(Problem::Wrong, text));
            return Some(Err(BodyError::Closed));
        }
        Some(Ok(frame))
    }
}
