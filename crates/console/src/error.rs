//! The errors of the console.

use engine::EngineError;
use identity::{CredentialError, IdentityError, PasswordLinkError};
use model::permission::Permission;

use crate::csrf::CsrfError;

/// The reason why a page is not shown or a form not carried out.
#[derive(Debug)]
pub(crate) enum ConsoleError {
    /// The viewer is signed out, and somebody who is signed in may see more.
    SignIn,
    /// There is nothing here that the viewer may see.
    NotFound,
    /// The viewer may see this, but lacks the permission to change it.
    Forbidden(Permission),
    /// The page does not take the method. These are the ones that it takes.
    WrongMethod(Vec<&'static str>),
    /// The request changes something, and names a host that the console is not at.
    OtherHost,
    /// The form was not sent from a page of the viewer's.
    Csrf(CsrfError),
    /// The form or the query has a wrong value.
    Invalid(String),
    /// The thing that the viewer looked at has changed meanwhile.
    Changed(String),
    /// The server cannot do it now.
    Unavailable(String),
    /// The server refuses to do it.
    Refused(String),
    /// The one-time link was used, has expired, or is wrong.
    LinkUnusable,
    /// The caller has to wait after wrong credentials.
    TooMany,
    /// Too many passwords of the viewer's network are being checked.
    NetworkDelayed {
        /// The seconds to wait.
        seconds: u64,
    },
    /// A fault of the server. The text is for the log.
    Internal(String),
}

impl From<CsrfError> for ConsoleError {
    fn from(error: CsrfError) -> Self {
        Self::Csrf(error)
    }
}

impl From<PasswordLinkError> for ConsoleError {
    fn from(error: PasswordLinkError) -> Self {
        match error {
            PasswordLinkError::Unusable => Self::LinkUnusable,
            PasswordLinkError::Unacceptable(problem) => Self::Invalid(problem.to_string()),
            PasswordLinkError::NetworkBusy => Self::NetworkDelayed { seconds: 1 },
            PasswordLinkError::Busy => Self::Unavailable(error.to_string()),
            PasswordLinkError::Failed(error) => error.into(),
        }
    }
}

impl From<IdentityError> for ConsoleError {
    fn from(error: IdentityError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<EngineError> for ConsoleError {
    fn from(error: EngineError) -> Self {
        let text = error.to_string();
        match error {
            EngineError::Credential(CredentialError::TooMany) => Self::TooMany,
            EngineError::Denied { .. }
            | EngineError::Credential(_)
            | EngineError::InsufficientScope
            | EngineError::InsufficientOauthScopes
            | EngineError::ResourceUnknown(_)
            | EngineError::RepositoryUnknown(_)
            | EngineError::ProjectUnknown(_)
            | EngineError::ImageUnknown(_)
            | EngineError::BlobUnknown(_)
            | EngineError::ManifestUnknown(_)
            | EngineError::UploadUnknown => Self::NotFound,
            EngineError::Conflict(_) | EngineError::ConditionFailed | EngineError::UploadBusy => {
                Self::Changed(text)
            }
            EngineError::AlreadyExists(_)
            | EngineError::Precondition(_)
            | EngineError::ReadOnlyRepository { .. }
            | EngineError::ImageDenied { .. }
            | EngineError::DownloadDenied(_)
            | EngineError::InUse { .. }
            | EngineError::TagImmutable { .. }
            | EngineError::TooManyUploads { .. } => Self::Refused(text),
            EngineError::InvalidArgument { .. }
            | EngineError::ManifestInvalid(_)
            | EngineError::ReferencesUnknown(_)
            | EngineError::SizeMismatch { .. }
            | EngineError::DigestMismatch { .. }
            | EngineError::ChunkOutOfOrder { .. }
            | EngineError::BlobTooLarge { .. }
            | EngineError::Body(_) => Self::Invalid(text),
            EngineError::Upstream(_)
            | EngineError::UpstreamFailed { .. }
            | EngineError::StorageFull
            | EngineError::DiskNearlyFull(_) => Self::Unavailable(text),
            EngineError::Unavailable(_) | EngineError::StoreAway(_) => {
                tracing::warn!("a page of the console: {text}");
                Self::Unavailable(String::new())
            }
            EngineError::Database(_) | EngineError::Internal(_) => Self::Internal(text),
        }
    }
}
