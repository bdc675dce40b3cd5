//! Upload sessions: a blob from its first byte to its digest, over any number of requests and processes.
//!
//! A session belongs to a repository, an image and a principal. For any other principal it does not exist. Everything
//! that was answered with 202 is durable: bytes, offset and the state of the running hash.

pub(super) mod claimed;
mod commit;

use blob::{BlobError, Checkpoint, CopyId};
use meta::gc_queue;
use meta::gc_queue::ReviewKind;
use meta::uploads::{self, Upload, UploadKey};
use meta::{Id, Tx, blobs};
use model::digest::{Digest, DigestAlgorithm};

use claimed::ClaimedUpload;
use commit::link;
use identity::micros;

use crate::access::{ImageContext, Pull, Push, RepoAccess};
use crate::content::receive::UploadChunk;
use crate::error::EngineError;
use crate::reviews;
use model::name::RepositoryName;

/// The progress of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadProgress {
    /// The id of the session.
    pub id: String,
    /// The number of bytes that are durably stored.
    pub offset: u64,
}

/// The repositories from which a blob may be mounted.
#[derive(Debug)]
pub enum MountFrom<'a> {
    /// One repository, which the caller may read.
    Repository(&'a RepoAccess<Pull>),
    /// Any repository of the project that the caller may read.
    Project,
}

/// The state of a session.
pub(super) enum UploadState<'a> {
    /// The session goes on, and only this request writes to it.
    Open(ClaimedUpload<'a>),
    /// The session became a blob, not long ago.
    Finished(Digest),
}

impl ImageContext {
    pub(crate) fn owner(&self) -> UploadKey<'_> {
        UploadKey {
            repository: &self.repository().id,
            image: self.image_name(),
            principal: &self.principal,
        }
    }

    /// Writes the row of a new session and that of its copy, and enqueues its review.
    pub(super) fn insert_upload(
        &self,
        tx: &mut Tx<'_>,
        upload: &Upload,
        now: i64,
    ) -> Result<(), EngineError> {
        self.check_live(tx)?;
        if let Some(copy) = &upload.copy_id {
            blobs::insert_copy(tx, copy, now)?;
        }
        uploads::insert(tx, self.owner(), upload, now)?;
        let review = [upload.id.to_string()];
        gc_queue::enqueue(tx, ReviewKind::Upload, &review, upload.expires_at)?;
        Ok(())
    }

    /// Returns whether a session of this principal goes on.
    pub(super) fn has_open_upload(&self, tx: &mut Tx<'_>, id: &Id) -> Result<bool, EngineError> {
        let upload = uploads::find(tx, self.owner(), id)?;
        Ok(upload.is_some_and(|upload| upload.copy_id.is_some()))
    }
}

impl RepoAccess<Push> {
    /// Starts a session.
    pub async fn start_upload(
        &self,
        algorithm: DigestAlgorithm,
    ) -> Result<UploadProgress, EngineError> {
        self.engine.check_room(0).await?;
        self.check_open_uploads().await?;
        let upload = self.new_upload(algorithm);
        let progress = UploadProgress { id: upload.id.to_string(), offset: 0 };
        let (image, now) = (self.image.clone(), self.engine.clock.now());
        self.engine.write(move |tx| image.insert_upload(tx, &upload, now)).await?;
        Ok(progress)
    }

    /// Returns the row of a session that begins now.
    pub(super) fn new_upload(&self, algorithm: DigestAlgorithm) -> Upload {
        Upload {
            id: Id::random(),
            copy_id: Some(Id::new()),
            algorithm: algorithm.as_str().to_owned(),
            size: 0,
            checkpoint: None,
            digest: None,
            expires_at: self.upload_expiry(),
        }
    }

    /// Refuses one more session if the principal has too many open ones. Each is a row until it expires.
    async fn check_open_uploads(&self) -> Result<(), EngineError> {
        let Some(limit) = self.engine.settings.open_uploads else { return Ok(()) };
        let image = self.image.clone();
        let count = self.engine.read_by_key(move |tx| {
            let repository = &image.repository().id;
            Ok(uploads::count_open(tx, repository, &image.principal, i64::from(limit))?)
        });
        if count.await? < i64::from(limit) {
            Ok(())
        } else {
            Err(EngineError::TooManyUploads { limit })
        }
    }

    /// Returns the progress of a session.
    pub async fn upload_progress(&self, id: &str) -> Result<UploadProgress, EngineError> {
        let upload = self.find_upload(id).await?;
        match upload.copy_id {
            Some(_) => Ok(UploadProgress { id: id.to_owned(), offset: upload.size as u64 }),
            None => Err(EngineError::UploadUnknown),
        }
    }

    /// Appends a chunk. If the body breaks, the bytes that came are kept, so that the client can go on after them.
    pub async fn append(
        &self,
        id: &str,
        mut chunk: UploadChunk<'_>,
    ) -> Result<UploadProgress, EngineError> {
        let UploadState::Open(mut claimed) = self.claim_upload(id, None).await? else {
            return Err(EngineError::UploadUnknown);
        };
        let received = match claimed.receive(&mut chunk).await {
            Ok(received) => received,
            Err(error) => return Err(claimed.fail(error).await),
        };
        let offset = claimed.save().await?;
        received.end?;
        Ok(UploadProgress { id: id.to_owned(), offset })
    }

    /// Appends the last chunk, if there is one, and makes the upload a blob of the repository.
    pub async fn finish_upload(
        &self,
        id: &str,
        digest: &Digest,
        mut chunk: UploadChunk<'_>,
    ) -> Result<(), EngineError> {
        // The digest decides which hash the blob needs. If the session was hashed with another one, its bytes are
        // hashed again.
        let mut claimed = match self.claim_upload(id, Some(digest.algorithm())).await? {
            UploadState::Open(claimed) => claimed,
            UploadState::Finished(finished) if finished == *digest => return Ok(()),
            UploadState::Finished(_) => return Err(EngineError::UploadUnknown),
        };
        let received = match claimed.receive(&mut chunk).await {
            Ok(received) => received,
            Err(error) => return Err(claimed.fail(error).await),
        };
        if let Err(broken) = received.end {
            // A client that does not state the range of its bytes repeats the whole request. If these bytes were
            // kept, they would be there twice.
            if chunk.range.is_some() {
                claimed.save().await?;
            }
            return Err(broken.into());
        }
        claimed.complete(digest).await
    }

    /// Ends a session without a result.
    pub async fn cancel_upload(&self, id: &str) -> Result<(), EngineError> {
        let upload = self.find_upload(id).await?;
        if self.abandon(&upload).await? { Ok(()) } else { Err(EngineError::UploadUnknown) }
    }

    /// Makes a blob of another repository readable here, without copying bytes. Returns whether it did.
    pub async fn mount(&self, digest: &Digest, from: MountFrom<'_>) -> Result<bool, EngineError> {
        let sources = match from {
            MountFrom::Repository(source) => vec![source.image.repository().id],
            MountFrom::Project => self.list_readable_holders(digest).await?,
        };
        // A client whose mount succeeds sends no bytes. So the blob must be readable now.
        let mut readable = None;
        for source in sources {
            match self.engine.open_blob(&source, digest).await {
                Ok(_) => {
                    readable = Some(source);
                    break;
                }
                Err(EngineError::BlobUnknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(source) = readable else { return Ok(false) };
        let (image, digest) = (self.image.clone(), digest.clone());
        let times = self.engine.review_times();
        self.engine
            .write(move |tx| {
                let Some(blob) = blobs::find(tx, &source, &digest)? else { return Ok(false) };
                link(tx, &image, &digest, blob.size, times)?;
                Ok(true)
            })
            .await
    }

    /// Returns the repositories of this project that hold the blob and that the caller may read.
    async fn list_readable_holders(&self, digest: &Digest) -> Result<Vec<Id>, EngineError> {
        const MAX_HOLDERS: i64 = 100;
        let (image, digest) = (self.image.clone(), digest.clone());
        let holders = self
            .engine
            .read_by_key(move |tx| {
                let RepositoryName { project, location, .. } = &image.repository_name;
                let (project, location) = (project.as_str(), location.as_str());
                Ok(blobs::list_holders(tx, project, location, &digest, MAX_HOLDERS)?)
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
        let image = self.image.clone();
        self.engine
            .read_by_key(move |tx| Ok(uploads::find(tx, image.owner(), &id)?))
            .await?
            .ok_or(EngineError::UploadUnknown)
    }

    /// Reads the session again after its copy was claimed: another request may have appended to it, or ended it.
    async fn find_claimed_upload(&self, id: Id) -> Result<Upload, EngineError> {
        let image = self.image.clone();
        self.engine
            .read_by_key(move |tx| Ok(uploads::wait_and_find(tx, image.owner(), &id)?))
            .await?
            .ok_or(EngineError::UploadUnknown)
    }

    /// Claims the upload for this request alone, and opens its copy at the stored offset.
    pub(super) async fn claim_upload(
        &self,
        id: &str,
        algorithm: Option<DigestAlgorithm>,
    ) -> Result<UploadState<'_>, EngineError> {
        let finished = |upload: Upload| {
            let finished = upload.digest.map(UploadState::Finished);
            finished.ok_or(EngineError::UploadUnknown)
        };
        let upload = self.find_upload(id).await?;
        let Some(copy) = upload.copy_id else { return finished(upload) };
        let claim = match self.engine.blobs.claim(CopyId::from(copy.to_bytes())).await {
            Ok(claim) => claim,
            Err(BlobError::Unhealthy) => return Err(BlobError::Unhealthy.into()),
            Err(error) => return Err(self.store_error(&upload, error).await),
        };
        let upload = self.find_claimed_upload(upload.id).await?;
        if upload.copy_id != Some(copy) {
            return finished(upload);
        }
        self.extend_if_due(&upload).await?;
        let announced = upload.algorithm.parse();
        let announced: DigestAlgorithm = announced.map_err(|_| {
            EngineError::Internal("the row of an upload names an unknown algorithm".into())
        })?;
        let from = Checkpoint {
            offset: upload.size as u64,
            hash_state: upload.checkpoint.clone().unwrap_or_default(),
        };
        let writer = match claim.open(algorithm.unwrap_or(announced), &from).await {
            Ok(writer) => writer,
            Err(error) => return Err(self.store_error(&upload, error).await),
        };
        Ok(UploadState::Open(ClaimedUpload::new(self, upload, writer)))
    }

    /// Moves the expiry of a session on when a request begins, so that the request is not cut off by it.
    async fn extend_if_due(&self, upload: &Upload) -> Result<(), EngineError> {
        let left = upload.expires_at - self.engine.clock.now();
        if left < micros(self.engine.settings.upload_expiry) / 4 * 3 {
            self.extend_expiry(upload).await?;
        }
        Ok(())
    }

    /// Moves the expiry of a session on.
    async fn extend_expiry(&self, upload: &Upload) -> Result<(), EngineError> {
        let (upload, expires_at) = (upload.clone(), self.upload_expiry());
        let extended =
            self.engine.write(move |tx| Ok(uploads::set_expiry(tx, &upload, expires_at)?)).await?;
        if extended == 1 { Ok(()) } else { Err(EngineError::UploadUnknown) }
    }

    /// Ends the session and moves its copy to the trash, unless the row has changed since it was read. Returns
    /// whether it did.
    async fn abandon(&self, upload: &Upload) -> Result<bool, EngineError> {
        let upload = upload.clone();
        let due = self.engine.clock.now() + micros(self.engine.settings.trash_retention);
        self.engine
            .write(move |tx| {
                let abandoned = uploads::delete_unfinished(tx, &upload)? == 1;
                if let (true, Some(copy)) = (abandoned, &upload.copy_id) {
                    reviews::trash_unfinished(tx, copy, due)?;
                }
                Ok(abandoned)
            })
            .await
    }
}
