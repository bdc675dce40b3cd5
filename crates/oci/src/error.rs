//! The only place that translates an [`EngineError`] into the status and code of OCI Distribution.

mod invalid_request;
mod upstream;

use axum::response::{IntoResponse, Response};
use engine::{EngineError, ErrorKind};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use identity::{CredentialError, IdentityError};
use model::digest::Digest;
use serde_json::{Value, json};

use web::auth::refusal::{self, host_of};
use web::layer::request_id;

use crate::challenge::challenge;

/// An error in the form of OCI Distribution: `{"errors":[{"code","message","detail"}]}`. The detail always has a hint
/// for the person at the client, who can do something about the error.
#[derive(Debug)]
pub struct OciError {
    status: StatusCode,
    code: &'static str,
    /// The message, boxed to keep the type small, because every answer has room for an error.
    message: Box<str>,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The `error` of the challenge, if another credential would help. An empty text is a challenge without `error`.
    challenge: Option<&'static str>,
    /// The reason for which a credential was refused. The text that the client gets names the registry's address, which
    /// is not known here.
    refusal: Option<Box<CredentialError>>,
}

impl OciError {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        let (message, detail) = (message.into().into_boxed_str(), json!({ "hint": hint }));
        let headers = Vec::new();
        Self { status, code, message, detail, headers, challenge: None, refusal: None }
    }

    pub(super) fn bad_request(
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, hint)
    }

    /// Adds the hint to the message, for clients that show the message only. Not for messages of Google's: client
    /// programs compare those.
    fn with_hint_in_message(self) -> Self {
        let hint = self.detail["hint"].as_str().unwrap_or_default();
        Self { message: format!("{}; {hint}", self.message).into_boxed_str(), ..self }
    }

    fn not_found(code: &'static str, message: String, hint: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, hint)
    }

    /// Returns the error of a request that needs a credential.
    fn unauthorized(message: impl Into<String>) -> Self {
        let hint = "log in, for example with docker login";
        let error = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message, hint);
        Self { challenge: Some(""), ..error }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Takes `error` out of the challenge, for a request without a token (RFC 6750 §3.1).
    pub(super) fn without_challenge_error(self) -> Self {
        Self { challenge: self.challenge.map(|_| ""), ..self }
    }

    pub(super) fn no_credential() -> Self {
        Self::unauthorized("not authenticated: No credential was supplied.")
    }

    /// Returns the error of a credential that is not accepted. The challenge says where to get another: a client that
    /// kept a token of an earlier registry at this address asks for a new one.
    fn refused(error: CredentialError) -> Self {
        refusal::log(error, None);
        let hint = match error {
            CredentialError::TooMany => return Self::too_many_credentials(),
            CredentialError::Expired | CredentialError::Revoked => {
                "log in again: the token has expired or was revoked"
            }
            CredentialError::Times(_) => {
                "set the clock of the machine that signs, or sign for an hour at most"
            }
            CredentialError::KeyDisabled
            | CredentialError::AccountDisabled
            | CredentialError::KeyFile
            | CredentialError::OtherKey
            | CredentialError::UserName
            | CredentialError::Audience
            | CredentialError::Limited
            | CredentialError::Kind
            | CredentialError::Token(_) => {
                "log in with oauth2accesstoken, _json_key or _json_key_base64 as the user name"
            }
        };
        let message = "No valid credential was supplied";
        let refused = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message, hint);
        Self { challenge: Some("invalid_token"), refusal: Some(Box::new(error)), ..refused }
    }

    fn too_many_credentials() -> Self {
        let message = "No valid credential was supplied, and too many wrong ones came before from this address or for this account.";
        let hint =
            "log in with a good credential: it is accepted in spite of the wrong ones before it";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, hint)
            .header(RETRY_AFTER, HeaderValue::from(1))
    }

    fn insufficient_scope() -> Self {
        let message = "insufficient scope: the token does not cover this image and action";
        let hint = "ask for a token with the scope that the challenge names";
        let error = Self::new(StatusCode::UNAUTHORIZED, "DENIED", message, hint);
        Self { challenge: Some("insufficient_scope"), ..error }
    }

    pub(super) fn marketplace() -> Self {
        let message = "marketplace.gcr.io has images of Google's own, which are not here";
        let hint = "pull them from Google, and push them to a repository of this registry";
        Self::not_found("NAME_UNKNOWN", message.to_owned(), hint)
    }

    pub(super) fn no_such_path() -> Self {
        let hint = "images are addressed as /v2/PROJECT/REPOSITORY/IMAGE/…";
        Self::not_found("NOT_FOUND", "there is nothing at this path".to_owned(), hint)
    }

    pub(super) fn no_host() -> Self {
        let hint = "address the registry by its name or IP address, and its port";
        Self::bad_request("NAME_INVALID", "the request names no valid host", hint)
    }

    /// Returns the error of a chunk that does not begin at `offset`, or whose Content-Range cannot be read.
    pub(super) fn chunk_out_of_order(message: impl Into<String>, offset: u64) -> Self {
        let hint = "the Range header has what is stored: send what follows it";
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message, hint)
            .header(http::header::RANGE, super::range::stored_range(offset))
    }

    /// Returns the error of deleting a manifest that an index names. Cleanup programs look for this code of Google's,
    /// delete the index, and try again.
    pub(super) fn has_parent(digest: &Digest, parent: &Digest) -> Self {
        let code = "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE";
        // Some of them read the digest at the end.
        let message = format!(
            "Manifest {digest} is still referenced by one or more parent images. Parent image: {parent}"
        );
        Self::bad_request(code, message, "delete the index that names it first")
    }

    pub(super) fn wrong_method(allowed: &[Method]) -> Self {
        let allowed: Vec<_> = allowed.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&allowed.join(", ")).expect("methods are plain words");
        let (message, hint) =
            ("this path does not take that method", "the Allow header has those that it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message, hint).header(ALLOW, allow)
    }

    /// Returns status and message, for the audit log.
    pub(super) fn summary(&self) -> (StatusCode, &str) {
        (self.status, &self.message)
    }

    /// Returns the answer to a request for `path`.
    pub(super) fn into_response_for(self, method: &Method, path: &str, base_url: &str) -> Response {
        let mut message = String::from(self.message);
        if let Some(error) = self.refusal {
            message = format!("{message}: {}", refusal::reason(*error, host_of(base_url)));
        }
        let error = json!({ "code": self.code, "message": message, "detail": self.detail });
        let body = json!({ "errors": [error] });
        let mut response = if method == Method::HEAD {
            self.status.into_response()
        } else {
            (self.status, axum::Json(body)).into_response()
        };
        response.headers_mut().extend(self.headers);
        if let Some(error) = self.challenge {
            let challenge = challenge(method, path, base_url, error);
            response.headers_mut().extend(challenge.map(|value| (WWW_AUTHENTICATE, value)));
        }
        response
    }
}

impl From<IdentityError> for OciError {
    fn from(error: IdentityError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<EngineError> for OciError {
    // Longer than the 60 lines of a function, because it is a table with a row for each error.
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Denied { permission, resource, anonymous: true } => {
                Self::unauthorized(format!(
                    "Unauthenticated request. Unauthenticated requests do not have permission \"{permission}\" on resource \"{resource}\" (or it may not exist)"
                ))
            }
            EngineError::Denied { .. } => {
                let hint =
                    "check the name, or ask for a role on the repository that has the permission";
                Self::new(StatusCode::FORBIDDEN, "DENIED", message, hint)
            }
            EngineError::ImageDenied { .. } => {
                let hint = "pull another image; whoever administers the repository sets its lists";
                Self::new(StatusCode::FORBIDDEN, "DENIED", message, hint)
            }
            EngineError::DownloadDenied(_) => {
                let hint =
                    "pull another version; whoever administers the repository sets its rules";
                Self::new(StatusCode::FORBIDDEN, "DENIED", message, hint).with_hint_in_message()
            }
            EngineError::InsufficientScope => Self::insufficient_scope(),
            EngineError::InsufficientOauthScopes => {
                let hint =
                    "ask for a token with the scope https://www.googleapis.com/auth/cloud-platform";
                Self::new(StatusCode::FORBIDDEN, "DENIED", message, hint)
            }
            EngineError::Credential(error) => Self::refused(error),
            EngineError::Upstream(problem) => Self::upstream(problem.kind, message),
            // Docker prints an error of this code at once. It repeats others for most of a minute.
            EngineError::ReadOnlyRepository { .. } => {
                let hint = "push to a standard repository; virtual repositories read from it";
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message, hint)
                    .header(ALLOW, HeaderValue::from_static("GET, HEAD"))
            }
            EngineError::UpstreamFailed { .. } => {
                let hint = "ask who administers the virtual repository; …:explain shows all of its upstreams";
                Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message, hint)
            }
            // Errors that only calls of Google's APIs end with.
            EngineError::ResourceUnknown(_)
            | EngineError::AlreadyExists(_)
            | EngineError::Conflict(_)
            | EngineError::Precondition(_)
            | EngineError::InvalidArgument { .. } => {
                Self::bad_request("UNSUPPORTED", message, "use Google's APIs for this")
            }
            EngineError::ConditionFailed => Self::condition_failed(),
            EngineError::RepositoryUnknown(name) => {
                // The location comes from the host. The name of the repository does not show a wrong one.
                let message = format!("{message} in {}", name.location);
                let hint = "check the name, or create the repository first: new_repositories.on_push decides where a push does";
                Self::not_found("NAME_UNKNOWN", message, hint)
            }
            EngineError::ProjectUnknown(_) => {
                let hint = "check the name, or create the project first";
                Self::not_found("NAME_UNKNOWN", message, hint)
            }
            EngineError::ImageUnknown(_) => {
                let hint = "check the name; /v2/_catalog lists the images that there are";
                Self::not_found("NAME_UNKNOWN", message, hint)
            }
            EngineError::BlobUnknown(_) => {
                let hint =
                    "push the image to this repository again: repositories do not share blobs";
                Self::not_found("BLOB_UNKNOWN", message, hint)
            }
            EngineError::ManifestUnknown(_) => {
                let hint = "check the tag or digest; …/tags/list lists the image's tags";
                Self::not_found("MANIFEST_UNKNOWN", message, hint)
            }
            EngineError::UploadUnknown => {
                let hint = "start the upload again with POST …/blobs/uploads/";
                Self::not_found("BLOB_UPLOAD_UNKNOWN", message, hint)
            }
            EngineError::TooManyUploads { .. } => {
                let hint = "finish uploads, or end them with DELETE; limits.open_uploads is how many may be open";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, hint)
                    .with_hint_in_message()
                    .header(RETRY_AFTER, HeaderValue::from(60))
            }
            EngineError::UploadBusy => {
                let hint = "wait for the other request to end, or start another upload";
                Self::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message, hint)
            }
            EngineError::ChunkOutOfOrder { offset } => Self::chunk_out_of_order(message, offset),
            EngineError::BlobTooLarge { .. } => {
                let hint = "split the content into several layers";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message, hint)
            }
            EngineError::DigestMismatch { .. } => {
                let hint =
                    "the content arrived changed, or was hashed before it changed: push again";
                Self::bad_request("DIGEST_INVALID", message, hint)
            }
            EngineError::ManifestInvalid(error) => error.into(),
            EngineError::ReferencesUnknown(missing) => missing_references(message, &missing),
            EngineError::SizeMismatch { .. } => {
                let hint = "state the size of the content as it was pushed";
                Self::bad_request("SIZE_INVALID", message, hint)
            }
            EngineError::TagImmutable { .. } => {
                let hint =
                    "push under a new tag; dockerConfig.immutableTags of the repository decides";
                Self::bad_request("MANIFEST_INVALID", message, hint)
            }
            EngineError::InUse { .. } => {
                let hint = "delete first what refers to it";
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message, hint)
                    .header(ALLOW, HeaderValue::from_static("GET, HEAD"))
            }
            EngineError::Body(error) => error.into(),
            EngineError::StorageFull => disk_full(&message),
            EngineError::DiskNearlyFull(_) => {
                let hint = "delete images, or let the registry's operator make room";
                Self::new(StatusCode::FORBIDDEN, "DENIED", message, hint)
            }
            EngineError::Database(error) => database(error.kind(), &message),
            EngineError::Unavailable(_) => unavailable(&message),
            EngineError::StoreAway(_) => store_away(&message),
            EngineError::Internal(_) => internal(&message),
        }
    }
}

fn missing_references(message: String, missing: &[Digest]) -> OciError {
    const MAX_NAMED: usize = 20;
    let digests: Vec<_> = missing.iter().take(MAX_NAMED).map(|digest| digest.as_str()).collect();
    let hint = "push blobs to this repository, and an index's manifests to this image, before what names them";
    let mut error = OciError::bad_request("MANIFEST_BLOB_UNKNOWN", message, hint);
    error.detail["missing"] = json!(digests);
    error
}

fn database(kind: ErrorKind, message: &str) -> OciError {
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

/// Returns the error of a full disk, and logs `message`. There is no `Retry-After`, because to try again does not help.
fn disk_full(message: &str) -> OciError {
    let id = request_id();
    tracing::error!(request.id = id, "answering 507: {message} {id}");
    let (text, hint) =
        ("the registry's disk is full", "the registry's operator has to make room on its disk");
    OciError::new(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE", text, hint)
}

/// Returns the error of a registry that cannot answer now, and logs `message`. The client learns when to try again.
fn unavailable(message: &str) -> OciError {
    let id = request_id();
    tracing::warn!(request.id = id, "answering 503: {message} {id}");
    let (text, hint) = ("the registry cannot answer now", "try again in a moment");
    OciError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", text, hint)
        .header(RETRY_AFTER, HeaderValue::from(1))
}

/// Returns the error of storage that is not where it was, and logs `message`, which says what is missing. The storage
/// may be back soon, or need the operator.
fn store_away(message: &str) -> OciError {
    let id = request_id();
    tracing::warn!(request.id = id, "answering 503: {message} {id}");
    let text = "the registry's storage is not where it was: nothing is written until it is back";
    let hint = "try again later, or tell the registry's operator: the log says what is missing";
    OciError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", text, hint)
        .header(RETRY_AFTER, HeaderValue::from(10))
}

/// Returns the error of a fault of ours, and logs `message`.
fn internal(message: &str) -> OciError {
    let id = request_id();
    tracing::error!(request.id = id, "answering 500: {message} {id}");
    let hint =
        "tell the registry's operator: the log has the cause under this answer's X-Request-Id";
    OciError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "internal error", hint)
}
