//! The conversion of [`EngineError`] to `google.rpc.Status`. No other module does it.

use engine::{EngineError, ErrorKind};
use identity::{CredentialError, IdentityError};
use tonic::Code;

use crate::GoogleError;
use web::auth::refusal;

const UNAUTHENTICATED: &str = "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
const INVALID: &str = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";

impl GoogleError {
    /// Creates the error for a request without a credential.
    pub(crate) fn no_credential() -> Self {
        Self::new(Code::Unauthenticated, UNAUTHENTICATED).with_info(
            "CREDENTIALS_MISSING",
            "googleapis.com",
            [("service", "artifactregistry.googleapis.com")],
        )
    }
}

impl GoogleError {
    /// Creates the error for a credential that is not accepted; `registry` is the host that the text names.
    pub(crate) fn refused(error: IdentityError, registry: &str) -> Self {
        match error {
            IdentityError::Credential(error) if error != CredentialError::TooMany => {
                let reason = match error {
                    CredentialError::Expired => "the token has expired".to_owned(),
                    // Only Docker may send a key file as its password.
                    CredentialError::KeyFile | CredentialError::UserName => {
                        "it has to be a Bearer token".to_owned()
                    }
                    CredentialError::Revoked
                    | CredentialError::KeyDisabled
                    | CredentialError::AccountDisabled
                    | CredentialError::OtherKey
                    | CredentialError::Token(_)
                    | CredentialError::Times(_)
                    | CredentialError::Audience
                    | CredentialError::Limited
                    | CredentialError::Kind
                    | CredentialError::TooMany => refusal::reason(error, registry),
                };
                Self::invalid_credential(&format!("{INVALID} The reason: {reason}."))
            }
            error => error.into(),
        }
    }

    fn invalid_credential(text: &str) -> Self {
        Self::new(Code::Unauthenticated, text).with_info(
            "ACCESS_TOKEN_EXPIRED",
            "googleapis.com",
            [("service", "artifactregistry.googleapis.com")],
        )
    }
}

impl From<IdentityError> for GoogleError {
    fn from(error: IdentityError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<EngineError> for GoogleError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Denied { anonymous: true, .. } => Self::no_credential(),
            EngineError::Denied { permission, resource, .. } => {
                permission_denied(permission.as_str(), &resource)
            }
            EngineError::Credential(CredentialError::TooMany) => Self::new(
                Code::ResourceExhausted,
                "Too many invalid credentials came from this address, or for this account.",
            ),
            EngineError::Credential(error) => {
                refusal::log(error, None);
                Self::invalid_credential(INVALID)
            }
            EngineError::ResourceUnknown(_)
            | EngineError::RepositoryUnknown(_)
            | EngineError::ProjectUnknown(_)
            | EngineError::ImageUnknown(_)
            | EngineError::BlobUnknown(_)
            | EngineError::ManifestUnknown(_)
            | EngineError::UploadUnknown => Self::new(Code::NotFound, message),
            EngineError::ImageDenied { .. } | EngineError::DownloadDenied(_) => {
                Self::new(Code::PermissionDenied, message)
            }
            EngineError::AlreadyExists(_) => Self::new(Code::AlreadyExists, message),
            EngineError::Conflict(_) => Self::new(Code::Aborted, message),
            EngineError::ConditionFailed
            | EngineError::Precondition(_)
            | EngineError::ReadOnlyRepository { .. }
            | EngineError::UpstreamFailed { .. }
            | EngineError::InUse { .. }
            | EngineError::TagImmutable { .. } => Self::new(Code::FailedPrecondition, message),
            EngineError::InvalidArgument { field, problem } => Self::bad_field(field, problem),
            EngineError::Upstream(_) => Self::new(Code::Unavailable, message),
            EngineError::InsufficientOauthScopes => Self::new(Code::PermissionDenied, message)
                .with_info(
                    "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                    "googleapis.com",
                    [("service", "artifactregistry.googleapis.com")],
                ),
            EngineError::InsufficientScope => Self::new(Code::PermissionDenied, message),
            EngineError::ManifestInvalid(_)
            | EngineError::ReferencesUnknown(_)
            | EngineError::SizeMismatch { .. }
            | EngineError::DigestMismatch { .. }
            | EngineError::ChunkOutOfOrder { .. }
            | EngineError::BlobTooLarge { .. }
            | EngineError::Body(_) => Self::new(Code::InvalidArgument, message),
            EngineError::UploadBusy => Self::new(Code::Aborted, message),
            EngineError::TooManyUploads { .. } | EngineError::DiskNearlyFull(_) => {
                Self::new(Code::ResourceExhausted, message)
            }
            EngineError::StorageFull => disk_full(&message),
            EngineError::Database(error) => database_error(error.kind(), &message),
            EngineError::Unavailable(_) => unavailable(&message),
            EngineError::StoreAway(_) => store_away(&message),
            EngineError::Internal(_) => internal(&message),
        }
    }
}

fn permission_denied(permission: &str, resource: &str) -> GoogleError {
    let service = service_of(permission);
    let message = format!(
        "Permission '{permission}' denied on resource '//{service}/{resource}' (or it may not exist)."
    );
    GoogleError::new(Code::PermissionDenied, message).with_info(
        "IAM_PERMISSION_DENIED",
        service,
        [("permission", permission), ("resource", resource)],
    )
}

fn database_error(kind: ErrorKind, message: &str) -> GoogleError {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Retry | ErrorKind::UnknownOutcome => {
            unavailable(message)
        }
        ErrorKind::DiskFull => disk_full(message),
        ErrorKind::FilesMoved => store_away(message),
        ErrorKind::Unique
        | ErrorKind::ForeignKey
        | ErrorKind::InvalidValue
        | ErrorKind::Corrupt
        | ErrorKind::Other => internal(message),
    }
}

/// Returns the API that a permission belongs to.
fn service_of(permission: &str) -> &'static str {
    match permission.split('.').next() {
        Some("containeranalysis") => "containeranalysis.googleapis.com",
        Some("iam") => "iam.googleapis.com",
        Some("resourcemanager") => "cloudresourcemanager.googleapis.com",
        Some("serviceusage") => "serviceusage.googleapis.com",
        _ => "artifactregistry.googleapis.com",
    }
}

/// Logs the text, and returns an error without it.
fn disk_full(message: &str) -> GoogleError {
    tracing::error!("answering RESOURCE_EXHAUSTED: {message}");
    let said = "The registry's disk is full: its operator has to make room.";
    GoogleError::new(Code::ResourceExhausted, said)
}

/// Logs the text, and returns an error without it.
fn unavailable(message: &str) -> GoogleError {
    tracing::warn!("answering UNAVAILABLE: {message}");
    GoogleError::new(Code::Unavailable, "The service is currently unavailable.")
}

/// Logs the text, which says what is missing, and returns an error without it.
fn store_away(message: &str) -> GoogleError {
    tracing::warn!("answering UNAVAILABLE: {message}");
    let text = "The registry's storage is not where it was: nothing is written until it is back.";
    GoogleError::new(Code::Unavailable, text)
}

/// Logs the text, and returns an error without it.
fn internal(message: &str) -> GoogleError {
    tracing::error!("answering INTERNAL: {message}");
    GoogleError::new(Code::Internal, "Internal error encountered.")
}
