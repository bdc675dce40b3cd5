//! The errors of the console, and the pages that say them.

use askama::Template;
use axum::response::Response;
use engine::EngineError;
use http::StatusCode;
use identity::{CredentialError, IdentityError, PasswordLinkError};
use model::permission::Permission;

use crate::csrf::CsrfError;
use crate::links::Link;
use crate::page::{Frame, redirect, show_with_status};
use crate::request::ConsoleRequest;

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
    /// The form was not sent from a page of the viewer's.
    Csrf(CsrfError),
    /// The form or the query has a wrong value.
    Invalid(String),
    /// What the viewer looked at has changed meanwhile.
    Changed(String),
    /// The server cannot do it now.
    Unavailable(String),
    /// The server refuses to do it.
    Refused(String),
    /// The one-time link was used, has expired, or is wrong.
    LinkUnusable,
    /// The caller has to wait after wrong credentials.
    TooMany,
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

/// The page that says an error.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    text: String,
    /// The permission or the number of the request, in the type of a code.
    code: String,
}

impl ConsoleError {
    /// Answers a request that failed.
    pub(crate) fn into_response(self, request: &ConsoleRequest) -> Response {
        let t = request.texts;
        let allow =
            if let Self::WrongMethod(methods) = &self { methods.join(", ") } else { String::new() };
        let (status, title, text, code) = match self {
            Self::WrongMethod(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                t.refused,
                request.method.to_string(),
                String::new(),
            ),
            Self::SignIn => {
                let to = Link::own("sign-in").with("next", &request.here);
                return redirect(request, &to.to_string());
            }
            Self::NotFound => {
                (StatusCode::NOT_FOUND, t.not_found, t.not_found_hint.to_owned(), String::new())
            }
            Self::Forbidden(permission) => {
                let code = permission.to_string();
                (StatusCode::FORBIDDEN, t.forbidden, t.forbidden_hint.to_owned(), code)
            }
            Self::Csrf(error) => {
                (StatusCode::FORBIDDEN, t.refused, error.to_string(), String::new())
            }
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, t.refused, text, String::new()),
            Self::Changed(text) => (StatusCode::CONFLICT, t.changed, text, String::new()),
            Self::Refused(text) => (StatusCode::CONFLICT, t.refused, text, String::new()),
            Self::Unavailable(text) => {
                (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, text, String::new())
            }
            Self::LinkUnusable => {
                (StatusCode::GONE, t.refused, t.link_unusable.to_owned(), String::new())
            }
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, t.refused, t.too_many.to_owned(), String::new())
            }
            Self::Internal(text) => {
                tracing::error!("a page of the console failed: {text}");
                let code = request.id.clone();
                (StatusCode::INTERNAL_SERVER_ERROR, t.unavailable, t.internal.to_owned(), code)
            }
        };
        request.trail.note_failure(status, &text);
        let page = ErrorPage { frame: request.frame(title), text, code };
        let mut response = show_with_status(request, status, &page);
        if !allow.is_empty() {
            let allow = allow.parse().expect("methods are words");
            response.headers_mut().insert(http::header::ALLOW, allow);
        }
        response
    }
}
