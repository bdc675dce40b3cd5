//! What can go wrong, in registry words. `server` chooses status and code; nothing here knows HTTP.

use identity::{CredentialError, IdentityError};
use meta::MetaError;
use model::digest::Digest;
use model::manifest::ManifestError;
use model::name::{ProjectId, RepositoryName};
use model::permission::Permission;
use model::reference::Reference;

use crate::disk_room::DiskRoom;

/// Why an operation was refused or failed. Carries what the message needs, and no status code.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The caller may not do this here.
    #[error("Permission \"{permission}\" denied on resource \"{resource}\" (or it may not exist)")]
    Denied {
        /// What was missing.
        permission: Permission,
        /// The full resource name.
        resource: String,
        /// Whether the request carried no credential.
        anonymous: bool,
    },
    /// The credential is limited to other images or actions than this.
    #[error("the token's scope does not cover this")]
    InsufficientScope,
    /// A credential that was sent and is not accepted. The text is for the log.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Something named by the APIs does not exist.
    #[error("{0} was not found")]
    ResourceUnknown(String),
    /// Something of that name exists.
    #[error("{0}")]
    AlreadyExists(String),
    /// Somebody else changed it meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// What the request asks of the state it finds does not hold.
    #[error("the condition of If-Match or If-None-Match does not hold")]
    ConditionFailed,
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Precondition(String),
    /// A field does not hold what it should.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Remote and virtual repositories are kept, but not served.
    #[error("{0} is a remote or virtual repository, and these are not served yet")]
    ModeNotServed(RepositoryName),
    /// The caller may do this in the project, but there is no such repository.
    #[error("Repository \"{}\" not found", .0.repository)]
    RepositoryUnknown(RepositoryName),
    /// The caller may do this everywhere, but there is no such project.
    #[error("Project \"{0}\" not found")]
    ProjectUnknown(ProjectId),
    /// The repository has no such image.
    #[error("image \"{0}\" not found")]
    ImageUnknown(String),
    /// This repository cannot read such a blob.
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    /// The image has no such tag or digest.
    #[error("Failed to fetch \"{0}\"")]
    ManifestUnknown(Reference),
    /// There is no such upload, or it is somebody else's.
    #[error("upload is unknown, finished or expired")]
    UploadUnknown,
    /// The caller has begun very many uploads here and finished none of them.
    #[error(
        "{limit} uploads are open in this repository that the account began and did not finish"
    )]
    TooManyUploads {
        /// As many may be.
        limit: u32,
    },
    /// Another request is writing to the upload.
    #[error("another request is still writing to this upload")]
    UploadBusy,
    /// A chunk does not start where the upload stands, or is not as long as it said.
    #[error("chunk does not continue the upload, which stands at {offset} bytes")]
    ChunkOutOfOrder {
        /// How many bytes are stored.
        offset: u64,
    },
    /// The upload grows beyond what a blob may be.
    #[error("blob is larger than the limit of {limit} bytes")]
    BlobTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The bytes are not what the digest says.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The manifest cannot be accepted.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest names content that the repository or image does not hold.
    #[error("manifest refers to content that was not pushed here")]
    ReferencesUnknown(Vec<Digest>),
    /// The manifest states another size than the content has.
    #[error("manifest states {stated} bytes for {digest}, which has {actual}")]
    SizeMismatch {
        /// The blob or manifest.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What is stored.
        actual: u64,
    },
    /// The token was made for less. The words are Google's.
    #[error("Request had insufficient authentication scopes.")]
    InsufficientOauthScopes,
    /// A tag would move, or go, where tags stay. The words are Artifact Registry's, which clients look for.
    #[error(
        "cannot update tag {tag}. The repository has enabled tag immutability; {tag} is {digest}"
    )]
    TagImmutable {
        /// The tag.
        tag: String,
        /// What it names, and goes on naming.
        digest: Digest,
    },
    /// A rule of the repository keeps a manifest back.
    #[error("a rule of the repository denies downloads of {0}")]
    DownloadDenied(Digest),
    /// The object is needed by another and cannot be deleted.
    #[error("{digest} is needed by manifest {by}")]
    InUse {
        /// What should be deleted.
        digest: Digest,
        /// What needs it.
        by: Digest,
    },
    /// The client stopped sending, or sent too slowly.
    #[error("request body ended early: {0}")]
    Body(#[from] BodyError),
    /// The disk is full.
    #[error("no space left for content")]
    StorageFull,
    /// What is left on the disk is kept for what frees some.
    #[error("the registry's disk is nearly full and takes no pushes: {0}")]
    DiskNearlyFull(DiskRoom),
    /// The database refused or failed. A foreign key among the reasons is the caller's to explain.
    #[error(transparent)]
    Database(#[from] MetaError),
    /// The folder of blobs or the database is not where it was. The text is for the log.
    #[error("{0}")]
    StoreAway(String),
    /// The store cannot answer now.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A fault of ours or of the machine. The text is for the log, not for the client.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a request body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection was closed or broke.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Stalled,
}

impl EngineError {
    /// A field, and what is wrong with it.
    pub(crate) fn invalid(field: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::InvalidArgument { field, problem: problem.to_string() }
    }
}

impl From<IdentityError> for EngineError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Denied { permission, resource, anonymous } => {
                Self::Denied { permission, resource, anonymous }
            }
            IdentityError::InsufficientOauthScopes => Self::InsufficientOauthScopes,
            IdentityError::Credential(error) => Self::Credential(error),
            IdentityError::ResourceUnknown(name) => Self::ResourceUnknown(name),
            IdentityError::AlreadyExists(text) => Self::AlreadyExists(text),
            IdentityError::Conflict(text) => Self::Conflict(text),
            IdentityError::Precondition(text) => Self::Precondition(text),
            IdentityError::InvalidArgument { field, problem } => {
                Self::InvalidArgument { field, problem }
            }
            IdentityError::Database(error) => Self::Database(error),
            IdentityError::Internal(text) => Self::Internal(text),
        }
    }
}

impl meta::RetryCause for EngineError {
    fn retry_cause(&self) -> Option<&MetaError> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

impl From<blob::BlobError> for EngineError {
    fn from(error: blob::BlobError) -> Self {
        match error {
            blob::BlobError::Busy => Self::UploadBusy,
            blob::BlobError::Full => Self::StorageFull,
            blob::BlobError::Unhealthy | blob::BlobError::TooManyFiles => {
                Self::Unavailable(error.to_string())
            }
            blob::BlobError::StoreMissing(problem) => Self::StoreAway(problem),
            other => Self::Internal(other.to_string()),
        }
    }
}
