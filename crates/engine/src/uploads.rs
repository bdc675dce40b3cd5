//! Upload sessions: a blob from its first byte to its digest, over any number of requests and processes.
//!
//! A session belongs to a repository, an image and a principal; anybody else's answers as unknown. What a
//! client was told with 202 is durable: bytes, offset and the state of the running hash.

use std::sync::Arc;
use std::time::Duration;

use blob::{BlobWriter, Checkpoint, CopyId, FinishError};
use meta::uploads::{self, Owner, Upload};
use meta::{Id, Tx, blobs, gc_queue, usage, versions};
use model::digest::{Algorithm, Digest};
use model::range::ContentRange;

use crate::access::Opened;
use crate::receive::{Body, Received};
use crate::{BodyError, Engine, EngineError, Pull, Push, RepoAccess, gc, micros};

/// How long a finished session is remembered, for clients that repeat their PUT.
const FINISHED_FOR: Duration = Duration::from_secs(3600);

/// Where an upload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadProgress {
    /// The session's id.
    pub id: String,
    /// How many bytes are durably stored.
    pub offset: u64,
}

/// Where a blob may be mounted from.
#[derive(Debug)]
pub enum MountFrom<'a> {
    /// This repository, which the caller may read.
    Repository(&'a RepoAccess<Pull>),
    /// Any repository of the project that the caller may read.
    Project,
}

impl Opened {
    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner { repository: &self.repository.id, image: self.image(), principal: &self.principal }
    }
}

impl RepoAccess<Push> {
    /// Starts a session.
    pub async fn start_upload(&self, algorithm: Algorithm) -> Result<UploadProgress, EngineError> {
        let upload = Upload {
            id: Id::random(),
            copy_id: Some(Id::new()),
            algorithm: algorithm.as_str().to_owned(),
            size: 0,
            checkpoint: None,
            digest: None,
        };
        let progress = UploadProgress { id: upload.id.to_string(), offset: 0 };
        let (at, now) = (self.at.clone(), self.engine.clock.now());
        let expires_at = self.upload_expiry();
        self.engine
            .meta
            .write(move |tx| {
                if let Some(copy) = &upload.copy_id {
                    blobs::insert_copy(tx, copy, now)?;
                }
                uploads::insert(tx, at.owner(), &upload, (now, expires_at))?;
                gc_queue::enqueue(tx, gc::UPLOAD, &[upload.id.to_string()], expires_at)?;
                Ok::<_, EngineError>(())
            })
            .await?;
        Ok(progress)
    }

    /// Where a session stands.
    pub async fn upload_progress(&self, id: &str) -> Result<UploadProgress, EngineError> {
        let upload = self.find_upload(id).await?;
        match upload.copy_id {
            Some(_) => Ok(UploadProgress { id: id.to_owned(), offset: upload.size as u64 }),
            None => Err(EngineError::UploadUnknown),
        }
    }

    /// Appends a chunk. What came of a body that broke is kept, so that the client can go on from there.
    pub async fn append(
        &self,
        id: &str,
        range: Option<ContentRange>,
        mut body: Body<'_>,
    ) -> Result<UploadProgress, EngineError> {
        let (upload, mut writer) = self.claim_upload(id, None).await?;
        let started = check_start(&upload, range)?;
        let received = self.receive_for(&upload, &mut *writer, &mut body).await?;
        check_length(range, &received, started)?;
        let offset = self.save(&upload, &mut *writer).await?;
        received.ended?;
        Ok(UploadProgress { id: id.to_owned(), offset })
    }

    /// Appends the last chunk, if there is one, and makes the upload a blob of the repository.
    pub async fn finish_upload(
        &self,
        id: &str,
        digest: &Digest,
        (range, mut body): (Option<ContentRange>, Body<'_>),
    ) -> Result<(), EngineError> {
        if self.find_upload(id).await?.digest.as_ref() == Some(digest) {
            return Ok(());
        }
        // The digest decides by which hash the blob is known; bytes hashed otherwise are hashed again.
        let (upload, mut writer) = self.claim_upload(id, Some(digest.algorithm())).await?;
        let started = check_start(&upload, range)?;
        let received = self.receive_for(&upload, &mut *writer, &mut body).await?;
        check_length(range, &received, started)?;
        if let Err(broken) = received.ended {
            self.save(&upload, &mut *writer).await?;
            return Err(broken.into());
        }
        self.complete(&upload, writer, digest).await
    }

    /// Ends a session without a result.
    pub async fn cancel_upload(&self, id: &str) -> Result<(), EngineError> {
        let upload = self.find_upload(id).await?;
        if upload.copy_id.is_none() {
            return Err(EngineError::UploadUnknown);
        }
        self.discard(&upload).await
    }

    /// Makes a blob of another repository readable here, without a byte moving. Answers whether it did.
    pub async fn mount(&self, digest: &Digest, from: MountFrom<'_>) -> Result<bool, EngineError> {
        let sources = match from {
            MountFrom::Repository(source) => vec![source.at.repository.id],
            MountFrom::Project => self.readable_holders(digest).await?,
        };
        let (at, digest, now) = (self.at.clone(), digest.clone(), self.engine.clock.now());
        let review_after = now + micros(self.engine.settings.gc_grace);
        self.engine
            .meta
            .write(move |tx| {
                for source in &sources {
                    if let Some(blob) = blobs::find(tx, source, &digest)? {
                        link(tx, &at, (&digest, blob.size), (now, review_after))?;
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    /// The repositories of this project that hold the blob and that the caller may read.
    async fn readable_holders(&self, digest: &Digest) -> Result<Vec<Id>, EngineError> {
        const LOOK_AT_MOST: i64 = 100;
        let (at, digest) = (self.at.clone(), digest.clone());
        let holders = self
            .engine
            .meta
            .point(move |tx| {
                let place = (at.name.project.as_str(), at.name.location.as_str());
                Ok::<_, EngineError>(blobs::holders(tx, place, &digest, LOOK_AT_MOST)?)
            })
            .await?;
        let mut readable = Vec::new();
        for (id, name) in holders {
            if self.may_read_sibling(&name).await? {
                readable.push(id);
            }
        }
        Ok(readable)
    }

    fn upload_expiry(&self) -> i64 {
        self.engine.clock.now() + micros(self.engine.settings.upload_expiry)
    }

    async fn find_upload(&self, id: &str) -> Result<Upload, EngineError> {
        let id: Id = id.parse().map_err(|_| EngineError::UploadUnknown)?;
        let at = self.at.clone();
        self.engine
            .meta
            .point(move |tx| Ok::<_, EngineError>(uploads::find(tx, at.owner(), &id)?))
            .await?
            .ok_or(EngineError::UploadUnknown)
    }

    /// Takes the upload for this request alone and opens it where it stands.
    async fn claim_upload(
        &self,
        id: &str,
        algorithm: Option<Algorithm>,
    ) -> Result<(Upload, Box<dyn BlobWriter>), EngineError> {
        let copy = self.find_upload(id).await?.copy_id.ok_or(EngineError::UploadUnknown)?;
        let claim = self.engine.blobs.claim(CopyId::from(copy.to_bytes())).await?;
        // Read again under the claim: another request may have moved the upload on, or ended it.
        let upload = self.find_upload(id).await?;
        if upload.copy_id != Some(copy) {
            return Err(EngineError::UploadUnknown);
        }
        let announced = upload.algorithm.parse();
        let announced: Algorithm = announced
            .map_err(|_| EngineError::Internal("upload row names an unknown algorithm".into()))?;
        let algorithm = algorithm.unwrap_or(announced);
        let from = Checkpoint {
            offset: upload.size as u64,
            state: upload.checkpoint.clone().unwrap_or_default(),
        };
        Ok((upload, claim.open(algorithm, &from).await?))
    }

    /// Receives the body, and keeps the session from expiring while it runs.
    async fn receive_for(
        &self,
        upload: &Upload,
        writer: &mut dyn BlobWriter,
        body: &mut Body<'_>,
    ) -> Result<Received, EngineError> {
        let mut touch = tokio::time::interval(self.engine.settings.upload_expiry / 4);
        touch.tick().await;
        let id = upload.id;
        let receive = self.engine.receive(writer, body);
        tokio::pin!(receive);
        loop {
            tokio::select! {
                biased;
                received = &mut receive => return received,
                _ = touch.tick() => {
                    let expires_at = self.upload_expiry();
                    self.engine.meta.write(move |tx| Ok::<_, EngineError>(uploads::touch(tx, &id, expires_at)?)).await?;
                }
            }
        }
    }

    /// Makes what came durable, and says so in the row.
    async fn save(&self, upload: &Upload, writer: &mut dyn BlobWriter) -> Result<u64, EngineError> {
        let checkpoint = writer.checkpoint().await?;
        let (id, offset) = (upload.id, checkpoint.offset);
        let expires_at = self.upload_expiry();
        let saved = self
            .engine
            .meta
            .write(move |tx| {
                let at = (checkpoint.offset as i64, checkpoint.state.as_slice());
                Ok::<_, EngineError>(uploads::advance(tx, &id, at, expires_at)?)
            })
            .await?;
        if saved == 1 { Ok(offset) } else { Err(EngineError::UploadUnknown) }
    }

    async fn complete(
        &self,
        upload: &Upload,
        writer: Box<dyn BlobWriter>,
        digest: &Digest,
    ) -> Result<(), EngineError> {
        let stored = match writer.finish(digest).await {
            Ok(stored) => stored,
            Err(FinishError::Mismatch { actual }) => {
                // The client hashed other bytes than it sent: the session cannot be saved.
                self.discard(upload).await?;
                return Err(EngineError::DigestMismatch { expected: digest.clone(), actual });
            }
            Err(FinishError::Blob(error)) => return Err(error.into()),
        };
        let (at, upload, digest) = (self.at.clone(), upload.clone(), digest.clone());
        let times = CommitTimes::of(&self.engine);
        self.engine.meta.write(move |tx| commit(tx, &at, &upload, (&digest, &stored), times)).await
    }

    /// Ends the session, and puts its copy to the trash.
    async fn discard(&self, upload: &Upload) -> Result<(), EngineError> {
        let (id, copy) = (upload.id, upload.copy_id);
        let due = self.engine.clock.now() + micros(self.engine.settings.trash_retention);
        self.engine
            .meta
            .write(move |tx| {
                uploads::delete(tx, &id)?;
                match &copy {
                    Some(copy) => trash(tx, copy, due),
                    None => Ok(()),
                }
            })
            .await
    }
}

/// The times that a commit writes.
#[derive(Debug, Clone, Copy)]
struct CommitTimes {
    now: i64,
    review_after: i64,
    remember_until: i64,
    trash_due: i64,
}

impl CommitTimes {
    fn of(engine: &Engine) -> Self {
        let now = engine.clock.now();
        Self {
            now,
            review_after: now + micros(engine.settings.gc_grace),
            remember_until: now + micros(FINISHED_FOR),
            trash_due: now + micros(engine.settings.trash_retention),
        }
    }
}

/// Copy live, blob row, repository link, review: all or nothing.
fn commit(
    tx: &mut Tx<'_>,
    at: &Arc<Opened>,
    upload: &Upload,
    (digest, stored): (&Digest, &blob::Stored),
    times: CommitTimes,
) -> Result<(), EngineError> {
    let copy = upload.copy_id.ok_or(EngineError::UploadUnknown)?;
    let size = stored.size as i64;
    if uploads::finish(tx, &upload.id, (digest, size), times.remember_until)? == 0 {
        return Err(EngineError::UploadUnknown);
    }
    gc_queue::enqueue(tx, gc::UPLOAD, &[upload.id.to_string()], times.remember_until)?;
    let finished = blobs::Finished {
        id: &copy,
        digest,
        size,
        mtime_ns: stored.stamp.mtime_ns,
        ctime_ns: stored.stamp.ctime_ns,
        now: times.now,
    };
    if !blobs::make_live(tx, &finished)? {
        trash(tx, &copy, times.trash_due)?;
    }
    link(tx, at, (digest, size), (times.now, times.review_after))
}

/// Lets the repository read the blob, and asks for a review in case nothing comes to need it.
fn link(
    tx: &mut Tx<'_>,
    at: &Opened,
    (digest, size): (&Digest, i64),
    (now, review_after): (i64, i64),
) -> Result<(), EngineError> {
    let repository = &at.repository.id;
    if blobs::link(tx, repository, (digest, size), now)? {
        usage::add_delta(tx, repository, size)?;
    }
    gc_queue::enqueue(tx, gc::LINK, &[gc::link_id(repository, digest)], review_after)?;
    versions::bind_blob(tx, repository, (digest, size))?;
    Ok(())
}

/// Puts a copy to the trash; its file is removed when the review is due.
pub(crate) fn trash(tx: &mut Tx<'_>, copy: &Id, due: i64) -> Result<(), EngineError> {
    blobs::set_copy_state(tx, copy, "trash")?;
    gc_queue::enqueue(tx, gc::COPY, &[copy.to_string()], due)?;
    Ok(())
}

/// A chunk that names its place must start where the upload stands.
fn check_start(upload: &Upload, range: Option<ContentRange>) -> Result<u64, EngineError> {
    let offset = upload.size as u64;
    match range {
        Some(range) if range.start != offset => Err(EngineError::ChunkOutOfOrder { offset }),
        _ => Ok(offset),
    }
}

/// A chunk that names its place must be as long as it says. One that is not is forgotten, not half kept:
/// the row still names the offset before it.
fn check_length(
    range: Option<ContentRange>,
    received: &Received,
    started: u64,
) -> Result<(), EngineError> {
    let Some(range) = range else { return Ok(()) };
    let announced = range.end - range.start + 1;
    let wrong = match received.ended {
        Ok(()) => received.bytes != announced,
        Err(BodyError::Closed | BodyError::Stalled) => received.bytes > announced,
    };
    if wrong { Err(EngineError::ChunkOutOfOrder { offset: started }) } else { Ok(()) }
}
