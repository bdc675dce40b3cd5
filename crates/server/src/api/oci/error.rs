//! The only place where an [`EngineError`] meets OCI's HTTP.

use axum::response::{IntoResponse, Response};
use engine::{BodyError, CredentialError, EngineError, ErrorKind};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use model::digest::DigestError;
use model::manifest::ManifestError;
use model::name::NameError;
use model::paging::PageSizeError;
use model::reference::ReferenceError;
use serde_json::{Value, json};

use super::path::Route;

/// An error as OCI Distribution has it: `{"errors":[{"code","message","detail"}]}`.
#[derive(Debug)]
pub struct OciError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// A hint, or what is missing.
    detail: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The challenge's `error`, empty for none, where another credential would help.
    challenge: Option<&'static str>,
}

impl OciError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code, message, detail: None, headers: Vec::new(), challenge: None }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.detail = Some(json!({ "hint": hint }));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Without its challenge: a credential in every request's header would only be sent again.
    pub(super) fn without_challenge(self) -> Self {
        Self { challenge: None, ..self }
    }

    pub(super) fn no_credential() -> Self {
        let message = "not authenticated: No credential was supplied.";
        Self { challenge: Some(""), ..Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message) }
    }

    /// A credential that was sent and is not accepted. One whose time is over is asked for anew; for any other
    /// the answer has no challenge, so that clients do not ask again and again.
    fn refused(error: CredentialError) -> Self {
        tracing::info!(%error, "a credential was refused: {error}");
        let message = "not authenticated: No valid credential was supplied.";
        let refused = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
        match error {
            CredentialError::Expired | CredentialError::Revoked => Self {
                challenge: Some("invalid_token"),
                ..refused.hint("sign in again: the token has expired or was revoked")
            },
            CredentialError::KeyDisabled
            | CredentialError::AccountDisabled
            | CredentialError::KeyFile
            | CredentialError::OtherKey
            | CredentialError::UserName
            | CredentialError::Token(_) => refused.hint(
                "sign in with oauth2accesstoken, _json_key or _json_key_base64 as the user name",
            ),
        }
    }

    fn insufficient_scope() -> Self {
        let message = "insufficient scope: the token does not cover this image and action";
        let error = Self::new(StatusCode::UNAUTHORIZED, "DENIED", message);
        Self { challenge: Some("insufficient_scope"), ..error }
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
            .hint("images are addressed as /v2/PROJECT/REPOSITORY/IMAGE/…")
    }

    pub(super) fn wrong_method(allowed: &[Method]) -> Self {
        let allowed: Vec<_> = allowed.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&allowed.join(", ")).expect("methods are plain words");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            "this path does not take that method",
        )
        .header(ALLOW, allow)
    }

    /// The whole answer to a request for `path`.
    pub(super) fn into_response_for(
        self,
        (method, path): (&Method, &str),
        base_url: &str,
    ) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(detail) = self.detail {
            error["detail"] = detail;
        }
        let body = json!({ "errors": [error] });
        let mut response = if method == Method::HEAD {
            self.status.into_response()
        } else {
            (self.status, axum::Json(body)).into_response()
        };
        response.headers_mut().extend(self.headers);
        if let Some(problem) = self.challenge {
            let challenge = challenge((method, path), (base_url, problem));
            response.headers_mut().extend(challenge.map(|value| (WWW_AUTHENTICATE, value)));
        }
        response
    }
}

/// Where a token is to be had, and for what.
fn challenge(
    (method, path): (&Method, &str),
    (base_url, problem): (&str, &str),
) -> Option<HeaderValue> {
    let service = base_url.split_once("://").map_or(base_url, |(_, host)| host);
    let mut challenge = format!("Bearer realm=\"{base_url}/v2/token\",service=\"{service}\"");
    let route = path.strip_prefix("/v2/").and_then(Route::parse);
    let name = route.as_ref().map(|route| match route {
        Route::Blob { image, .. }
        | Route::Uploads { image }
        | Route::Upload { image, .. }
        | Route::Manifest { image, .. }
        | Route::Tags { image }
        | Route::Referrers { image, .. } => *image,
    });
    if let Some(name) = name {
        let actions = match *method {
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "pull,push,delete",
            _ => "pull,push",
        };
        challenge.push_str(&format!(",scope=\"repository:{name}:{actions}\""));
    }
    if !problem.is_empty() {
        challenge.push_str(&format!(",error=\"{problem}\""));
    }
    HeaderValue::from_str(&challenge).ok()
}

impl From<NameError> for OciError {
    fn from(error: NameError) -> Self {
        Self::bad_request("NAME_INVALID", error.to_string())
            .hint("images are addressed as HOST/PROJECT/REPOSITORY/IMAGE")
    }
}

impl From<ReferenceError> for OciError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag => Self::bad_request("TAG_INVALID", error.to_string()),
            ReferenceError::Digest(error) => error.into(),
        }
    }
}

impl From<DigestError> for OciError {
    fn from(error: DigestError) -> Self {
        Self::bad_request("DIGEST_INVALID", error.to_string())
    }
}

impl From<PageSizeError> for OciError {
    fn from(error: PageSizeError) -> Self {
        Self::bad_request("PAGINATION_NUMBER_INVALID", error.to_string())
    }
}

impl From<ManifestError> for OciError {
    fn from(error: ManifestError) -> Self {
        let status = match error {
            ManifestError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ManifestError::TooManyDescriptors(_)
            | ManifestError::Json(_)
            | ManifestError::Schema1
            | ManifestError::SchemaVersion
            | ManifestError::NoMediaType
            | ManifestError::MediaTypeMismatch { .. }
            | ManifestError::UnknownMediaType(_)
            | ManifestError::ForeignField { .. }
            | ManifestError::MissingField { .. }
            | ManifestError::Digest { .. }
            | ManifestError::Size { .. }
            | ManifestError::TwoSizes(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "MANIFEST_INVALID", error.to_string())
    }
}

impl From<BodyError> for OciError {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Closed => StatusCode::BAD_REQUEST,
            BodyError::Stalled => StatusCode::REQUEST_TIMEOUT,
        };
        Self::new(status, "BLOB_UPLOAD_INVALID", format!("request body ended early: {error}"))
    }
}

impl From<EngineError> for OciError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Denied { permission, resource, anonymous: true } => {
                let message = format!(
                    "Unauthenticated request. Unauthenticated requests do not have permission \"{permission}\" on resource \"{resource}\" (or it may not exist)"
                );
                let error = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
                Self { challenge: Some(""), ..error }
            }
            EngineError::Denied { .. } => Self::new(StatusCode::FORBIDDEN, "DENIED", message),
            EngineError::InsufficientScope => Self::insufficient_scope(),
            EngineError::Credential(error) => Self::refused(error),
            EngineError::ModeNotServed(_) => {
                Self::new(StatusCode::NOT_IMPLEMENTED, "UNSUPPORTED", message)
                    .hint("push to and pull from a standard repository")
            }
            // What only the APIs say.
            EngineError::ResourceUnknown(_)
            | EngineError::AlreadyExists(_)
            | EngineError::Conflict(_)
            | EngineError::Precondition(_)
            | EngineError::InvalidArgument { .. } => Self::bad_request("UNSUPPORTED", message),
            EngineError::RepositoryUnknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
                    .hint("a repository appears with the first push to it")
            }
            EngineError::ImageUnknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
            }
            EngineError::BlobUnknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
            }
            EngineError::ManifestUnknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
            }
            EngineError::UploadUnknown => {
                Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
                    .hint("start the upload again with POST …/blobs/uploads/")
            }
            EngineError::UploadBusy => {
                Self::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message)
            }
            EngineError::ChunkOutOfOrder { offset } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
                    .header(http::header::RANGE, super::uploads::stored_range(offset))
            }
            EngineError::BlobTooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
            }
            EngineError::DigestMismatch { .. } => Self::bad_request("DIGEST_INVALID", message)
                .hint("the content arrived changed, or was hashed before it changed: push again"),
            EngineError::ManifestInvalid(error) => error.into(),
            EngineError::ReferencesUnknown(missing) => missing_references(message, &missing),
            EngineError::SizeMismatch { .. } => Self::bad_request("SIZE_INVALID", message),
            EngineError::InUse { .. } => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
                    .hint("delete what needs it first")
            }
            EngineError::Body(error) => error.into(),
            EngineError::StorageFull => {
                tracing::error!("no space left for content");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE", message)
                    .hint("the registry's disk is full; its operator has to make room")
            }
            EngineError::Database(error) => match error.kind() {
                ErrorKind::Unavailable | ErrorKind::Retry | ErrorKind::Lost => {
                    unavailable(&message)
                }
                ErrorKind::Unique
                | ErrorKind::ForeignKey
                | ErrorKind::Check
                | ErrorKind::Corrupt
                | ErrorKind::Other => internal(&message),
            },
            EngineError::Unavailable(_) => unavailable(&message),
            EngineError::Internal(_) => internal(&message),
        }
    }
}

fn missing_references(message: String, missing: &[model::digest::Digest]) -> OciError {
    const NAMED: usize = 20;
    let digests: Vec<_> = missing.iter().take(NAMED).map(|digest| digest.as_str()).collect();
    let mut error = OciError::bad_request("MANIFEST_BLOB_UNKNOWN", message);
    error.detail = Some(json!({
        "missing": digests,
        "hint": "push blobs to this repository, and an index's manifests to this image, before what names them",
    }));
    error
}

/// The text is for the log; the client learns that it may come again.
fn unavailable(message: &str) -> OciError {
    tracing::warn!("answering 503: {message}");
    let text = "the registry cannot answer now; try again";
    OciError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", text)
        .header(RETRY_AFTER, HeaderValue::from(1))
}

/// The text is for the log.
fn internal(message: &str) -> OciError {
    tracing::error!("answering 500: {message}");
    let text = "internal error; the server's log has it under this answer's X-Request-Id";
    OciError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", text)
}
