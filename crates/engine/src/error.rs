//! The errors of a registry. The doors choose status and code; nothing here knows HTTP.

use identity::{CredentialError, IdentityError};
use meta::MetaError;
use model::digest::Digest;
use model::manifest::ManifestError;
use model::name::{ProjectId, RepositoryName};
use model::permission::Permission;
use model::reference::Reference;
use model::remote_rules::ImageDenial;
use model::repository::ModeName;

use crate::body_error::BodyError;
use crate::disk_room::DiskRoom;
use crate::upstream_registry::UpstreamProblem;
use crate::upstream_set::UpstreamFault;

/// The reason why an operation was refused or failed. Carries the values of the message, and no status code.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The caller lacks a permission on the resource.
    #[error("Permission \"{permission}\" denied on resource \"{resource}\" (or it may not exist)")]
    Denied {
        /// The permission that the caller lacks.
        permission: Permission,
        /// The full name of the resource.
        resource: String,
        /// `true` if the request carried no credential.
        anonymous: bool,
    },
    /// The credential is limited to other images or actions than this one.
    #[error("the token's scope does not cover this request")]
    InsufficientScope,
    /// The request carried a credential that is not accepted. The text is for the log.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A resource that a request of the APIs names does not exist.
    #[error("{0} was not found")]
    ResourceUnknown(String),
    /// A resource with this name exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// Another request changed the resource meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The resource is not in the state that the request demands of it.
    #[error("the condition of If-Match or If-None-Match does not hold")]
    ConditionFailed,
    /// The operation is not possible in the present state.
    #[error("{0}")]
    Precondition(String),
    /// A field of the request has a value that is not accepted.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The name of the field.
        field: &'static str,
        /// The fault of its value.
        problem: String,
    },
    /// Another registry, from which a remote repository fetches, gave no content.
    #[error("{0}")]
    Upstream(UpstreamProblem),
    /// The repository is remote or virtual, and the request would change its content.
    #[error(
        "{repository} is a {} repository, which takes no pushes and no deletes: push to {} instead",
        mode.word(),
        match mode {
            ModeName::Virtual => "one of its upstreams",
            ModeName::Remote | ModeName::Standard => "a standard repository",
        }
    )]
    ReadOnlyRepository {
        /// The name of the repository.
        repository: RepositoryName,
        /// The mode of the repository.
        mode: ModeName,
    },
    /// An upstream of a virtual repository cannot answer, and no upstream after it may answer instead.
    #[error("the upstream \"{upstream}\" of {repository} cannot answer: {fault}")]
    UpstreamFailed {
        /// The name of the virtual repository.
        repository: RepositoryName,
        /// The id of the upstream's policy.
        upstream: String,
        /// The reason.
        fault: UpstreamFault,
    },
    /// The caller has the permission in the project, but there is no such repository.
    #[error("Repository \"{}\" not found", .0.repository)]
    RepositoryUnknown(RepositoryName),
    /// The caller has the permission everywhere, but there is no such project.
    #[error("Project \"{0}\" not found")]
    ProjectUnknown(ProjectId),
    /// The repository has no such image.
    #[error("image \"{0}\" not found")]
    ImageUnknown(String),
    /// The repository holds no such blob.
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    /// The image has no such tag or digest.
    #[error("Failed to fetch \"{0}\"")]
    ManifestUnknown(Reference),
    /// The upload does not exist, or belongs to another principal.
    #[error("upload is unknown, finished or expired")]
    UploadUnknown,
    /// The account has too many open uploads in the repository.
    #[error("the account has {limit} unfinished uploads in this repository, which is the limit")]
    TooManyUploads {
        /// The largest number of open uploads.
        limit: u32,
    },
    /// Another request is writing to the upload.
    #[error("another request is still writing to this upload")]
    UploadBusy,
    /// A chunk does not start at the offset of the upload, or does not have the length that it announced.
    #[error("chunk does not continue the upload, which stands at {offset} bytes")]
    ChunkOutOfOrder {
        /// The number of bytes that are stored.
        offset: u64,
    },
    /// The upload is longer than a blob may be.
    #[error("blob is larger than the limit of {limit} bytes")]
    BlobTooLarge {
        /// The largest size of a blob in bytes.
        limit: u64,
    },
    /// The content does not have the digest that the client announced.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// The digest that the client announced.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// The manifest is not valid.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest names content that the repository or image does not hold.
    #[error("manifest refers to content that was not pushed here")]
    ReferencesUnknown(Vec<Digest>),
    /// The manifest states another size than the content has.
    #[error("manifest states {stated} bytes for {digest}, which has {actual}")]
    SizeMismatch {
        /// The digest of the blob or manifest.
        digest: Digest,
        /// The size that the manifest states.
        stated: u64,
        /// The size that is stored.
        actual: u64,
    },
    /// The OAuth scopes of the access token do not cover the request. The words are Google's.
    #[error("Request had insufficient authentication scopes.")]
    InsufficientOauthScopes,
    /// A tag that the repository keeps immutable would move or be deleted. The words are Artifact Registry's, and
    /// clients look for them.
    #[error(
        "cannot update tag {tag}. The repository has enabled tag immutability; {tag} is {digest}"
    )]
    TagImmutable {
        /// The name of the tag.
        tag: String,
        /// The digest that the tag keeps naming.
        digest: Digest,
    },
    /// The rules of a remote repository do not let it serve an image.
    #[error("{repository} does not serve {path}: {denial}")]
    ImageDenied {
        /// The name of the remote repository.
        repository: RepositoryName,
        /// The upstream's name of the image.
        path: String,
        /// The reason.
        denial: ImageDenial,
    },
    /// A rule of the repository denies downloads of the manifest.
    #[error("a rule of the repository denies downloads of {0}")]
    DownloadDenied(Digest),
    /// A manifest needs the object, so that the object cannot be deleted.
    #[error("{digest} is needed by manifest {by}")]
    InUse {
        /// The digest of the object that was to be deleted.
        digest: Digest,
        /// The digest of the manifest that needs the object.
        by: Digest,
    },
    /// The client stopped sending, or sent too slowly.
    #[error("request body ended early: {0}")]
    Body(#[from] BodyError),
    /// The disk is full.
    #[error("no space left for content")]
    StorageFull,
    /// The rest of the disk is reserved for work that frees room.
    #[error("the registry's disk is nearly full and takes no pushes: {0}")]
    DiskNearlyFull(DiskRoom),
    /// The database refused or failed. If a foreign key refused, the caller that knows the reason translates the error.
    #[error(transparent)]
    Database(#[from] MetaError),
    /// The folder of blobs or the database is not in its place. The text is for the log.
    #[error("{0}")]
    StoreAway(String),
    /// The store cannot answer now.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A fault of the program or of the machine. The text is for the log, not for the client.
    #[error("internal error: {0}")]
    Internal(String),
}

impl EngineError {
    /// Returns an [`EngineError::InvalidArgument`] for a field.
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

impl From<UpstreamProblem> for EngineError {
    fn from(problem: UpstreamProblem) -> Self {
        Self::Upstream(problem)
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
