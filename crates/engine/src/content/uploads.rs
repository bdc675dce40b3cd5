//! Upload sessions: a blob from its first byte to its digest, over any number of requests and processes.
//!
//! A session belongs to a repository, an image and a principal; anybody else's answers as unknown. What a
//! client was told with 202 is durable: bytes, offset and the state of the running hash.

mod claimed;
mod commit;

use blob::{BlobError, Checkpoint, CopyId};
use meta::gc_queue::{self, ReviewKind};
use meta::uploads::{self, Upload, UploadKey};
use meta::{Id, blobs};
use model::digest::{Digest, DigestAlgorithm};

use claimed::ClaimedUpload;
use commit::link;
use identity::micros;

use crate::access::{ImageContext, Pull, Push, RepoAccess};
use crate::content::receive::UploadChunk;
use crate::error::EngineError;
use crate::reviews;

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

/// A session that was looked for.
enum UploadState<'a> {
    /// It goes on, and this request alone writes to it.
    Open(ClaimedUpload<'a>),
    /// It became a blob, not long ago.
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
}

impl RepoAccess<Push> {
    /// Starts a session.
    pub async fn start_upload(
        &self,
        algorithm: DigestAlgorithm,
    ) -> Result<UploadProgress, EngineError> {
        self.engine.check_room(0).await?;
        self.check_open_uploads().await?;
        let upload = Upload {
            id: Id::random(),
            copy_id: Some(Id::new()),
            algorithm: algorithm.as_str().to_owned(),
            size: 0,
            checkpoint: None,
            digest: None,
            expires_at: self.upload_expiry(),
        };
        let progress = UploadProgress { id: upload.id.to_string(), offset: 0 };
        let (at, now) = (self.image.clone(), self.engine.clock.now());
        self.engine
            .meta
            .write(move |tx| {
                at.check_live(tx)?;
                if let Some(copy) = &upload.copy_id {
                    blobs::insert_copy(tx, copy, now)?;
                }
                uploads::insert(tx, at.owner(), &upload, now)?;
                let review = [upload.id.to_string()];
                gc_queue::enqueue(tx, ReviewKind::Upload, &review, upload.expires_at)?;
                Ok::<_, EngineError>(())
            })
            .await?;
        Ok(progress)
    }

    /// Refuses one more session where too many are open: each is a row for as long as it may live.
    async fn check_open_uploads(&self) -> Result<(), EngineError> {
        let Some(limit) = self.engine.settings.open_uploads else { return Ok(()) };
        let at = self.image.clone();
        let open = move |tx: &mut meta::Tx<'_>| {
            let (repository, principal) = (&at.repository().id, at.principal.as_str());
            Ok::<_, EngineError>(uploads::count_open(tx, repository, principal, i64::from(limit))?)
        };
        if self.engine.meta.read_by_key(open).await? < i64::from(limit) {
            Ok(())
        } else {
            Err(EngineError::TooManyUploads { limit })
        }
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
        mut chunk: UploadChunk<'_>,
    ) -> Result<UploadProgress, EngineError> {
        let UploadState::Open(mut claimed) = self.claim_upload(id, None).await? else {
            return Err(EngineError::UploadUnknown);
        };
        let received = match claimed.receive(&mut chunk).await {
            Ok(received) => received,
            Err(error) => return Err(claimed.broke(error).await),
        };
        let offset = claimed.save().await?;
        received.ended?;
        Ok(UploadProgress { id: id.to_owned(), offset })
    }

    /// Appends the last chunk, if there is one, and makes the upload a blob of the repository.
    pub async fn finish_upload(
        &self,
        id: &str,
        digest: &Digest,
        mut chunk: UploadChunk<'_>,
    ) -> Result<(), EngineError> {
        // The digest decides by which hash the blob is known; bytes hashed otherwise are hashed again.
        let mut claimed = match self.claim_upload(id, Some(digest.algorithm())).await? {
            UploadState::Open(claimed) => claimed,
            UploadState::Finished(became) if became == *digest => return Ok(()),
            UploadState::Finished(_) => return Err(EngineError::UploadUnknown),
        };
        let received = match claimed.receive(&mut chunk).await {
            Ok(received) => received,
            Err(error) => return Err(claimed.broke(error).await),
        };
        if let Err(broken) = received.ended {
            // Whoever does not say where its bytes belong repeats the whole request: were these kept, they
            // would be there twice.
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

    /// Makes a blob of another repository readable here, without a byte moving. Answers whether it did.
    pub async fn mount(&self, digest: &Digest, from: MountFrom<'_>) -> Result<bool, EngineError> {
        let sources = match from {
            MountFrom::Repository(source) => vec![source.image.repository().id],
            MountFrom::Project => self.readable_holders(digest).await?,
        };
        // Whoever is told that it is there sends nothing: so it has to be.
        let mut held = None;
        for source in sources {
            match self.engine.open_blob(&source, digest).await {
                Ok(_) => {
                    held = Some(source);
                    break;
                }
                Err(EngineError::BlobUnknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(source) = held else { return Ok(false) };
        let (at, digest, now) = (self.image.clone(), digest.clone(), self.engine.clock.now());
        let review_after = now + micros(self.engine.settings.gc_grace);
        self.engine
            .meta
            .write(move |tx| {
                let Some(blob) = blobs::find(tx, &source, &digest)? else { return Ok(false) };
                link(tx, &at, (&digest, blob.size), (now, review_after))?;
                Ok(true)
            })
            .await
    }

    /// The repositories of this project that hold the blob and that the caller may read.
    async fn readable_holders(&self, digest: &Digest) -> Result<Vec<Id>, EngineError> {
        const LOOK_AT_MOST: i64 = 100;
        let (at, digest) = (self.image.clone(), digest.clone());
        let holders = self
            .engine
            .meta
            .read_by_key(move |tx| {
                let name = &at.repository_name;
                let (project, location) = (name.project.as_str(), name.location.as_str());
                Ok::<_, EngineError>(blobs::list_holders(
                    tx,
                    project,
                    location,
                    &digest,
                    LOOK_AT_MOST,
                )?)
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
        let at = self.image.clone();
        self.engine
            .meta
            .read_by_key(move |tx| Ok::<_, EngineError>(uploads::find(tx, at.owner(), &id)?))
            .await?
            .ok_or(EngineError::UploadUnknown)
    }

    /// The session under the claim: another request may have moved it on, or ended it.
    async fn find_claimed(&self, id: Id) -> Result<Upload, EngineError> {
        let at = self.image.clone();
        self.engine
            .meta
            .read_by_key(move |tx| {
                Ok::<_, EngineError>(uploads::wait_and_find(tx, at.owner(), &id)?)
            })
            .await?
            .ok_or(EngineError::UploadUnknown)
    }

    /// Takes the upload for this request alone and opens it where it stands.
    async fn claim_upload(
        &self,
        id: &str,
        algorithm: Option<DigestAlgorithm>,
    ) -> Result<UploadState<'_>, EngineError> {
        let finished = |upload: Upload| {
            let became = upload.digest.map(UploadState::Finished);
            became.ok_or(EngineError::UploadUnknown)
        };
        let upload = self.find_upload(id).await?;
        let Some(copy) = upload.copy_id else { return finished(upload) };
        let claim = match self.engine.blobs.claim(CopyId::from(copy.to_bytes())).await {
            Ok(claim) => claim,
            Err(BlobError::Unhealthy) => return Err(BlobError::Unhealthy.into()),
            Err(error) => return Err(self.failed(&upload, error).await),
        };
        let upload = self.find_claimed(upload.id).await?;
        if upload.copy_id != Some(copy) {
            return finished(upload);
        }
        self.keep_alive(&upload).await?;
        let announced = upload.algorithm.parse();
        let announced: DigestAlgorithm = announced
            .map_err(|_| EngineError::Internal("upload row names an unknown algorithm".into()))?;
        let from = Checkpoint {
            offset: upload.size as u64,
            hash_state: upload.checkpoint.clone().unwrap_or_default(),
        };
        let writer = match claim.open(algorithm.unwrap_or(announced), &from).await {
            Ok(writer) => writer,
            Err(error) => return Err(self.failed(&upload, error).await),
        };
        Ok(UploadState::Open(ClaimedUpload { access: self, upload, writer }))
    }

    /// A request that has begun is not stopped by the session's end, however near that is.
    async fn keep_alive(&self, upload: &Upload) -> Result<(), EngineError> {
        let left = upload.expires_at - self.engine.clock.now();
        if left < micros(self.engine.settings.upload_expiry) / 4 * 3 {
            self.touch(upload).await?;
        }
        Ok(())
    }

    /// Moves the end of the session on.
    async fn touch(&self, upload: &Upload) -> Result<(), EngineError> {
        let (upload, expires_at) = (upload.clone(), self.upload_expiry());
        let touched = self
            .engine
            .meta
            .write(move |tx| Ok::<_, EngineError>(uploads::set_expiry(tx, &upload, expires_at)?))
            .await?;
        if touched == 1 { Ok(()) } else { Err(EngineError::UploadUnknown) }
    }

    /// Ends the session and puts its copy to the trash, unless it ended meanwhile: then both are no longer
    /// what was found. Answers whether it did.
    async fn abandon(&self, upload: &Upload) -> Result<bool, EngineError> {
        let upload = upload.clone();
        let due = self.engine.clock.now() + micros(self.engine.settings.trash_retention);
        self.engine
            .meta
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
