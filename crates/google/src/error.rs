//! The errors of Google's APIs, in the forms of gRPC and REST. No other module builds these forms.

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use proto::google::rpc;
use proto::google::rpc::bad_request::FieldViolation;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::json;

/// The most bytes of a client's text that come back in an error. gRPC's errors travel in headers, whose size is
/// limited.
const MAX_ECHO_BYTES: usize = 1000;

/// An error in the form of Google's APIs: `google.rpc.Status`.
#[derive(Debug, Clone, PartialEq)]
pub struct GoogleError {
    code: Code,
    message: String,
    details: Vec<Any>,
}

/// A field of a request that its message does not have.
pub(super) struct UnknownField {
    /// The path of the message, as `repository.docker_config`; empty for the request itself.
    pub(super) path: String,
    /// The name, as it was sent.
    pub(super) name: String,
}

impl GoogleError {
    /// Creates an error without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: truncated(message.into()), details: Vec::new() }
    }

    /// Creates the error about a wrong field of the request; `field` is a dotted path.
    pub fn bad_field(field: &str, problem: impl std::fmt::Display) -> Self {
        let field = truncated(field.to_owned());
        let description = truncated(problem.to_string());
        let message = format!("Invalid value at '{field}': {description}");
        let violation = FieldViolation { field, description };
        let detail = rpc::BadRequest { field_violations: vec![violation] };
        Self::new(Code::InvalidArgument, message).with_detail(&detail)
    }

    /// Creates the error about unknown fields of the request. The message has a line for each.
    pub(super) fn unknown_fields(unknown: &[UnknownField]) -> Self {
        let violation = |UnknownField { path, name }: &UnknownField| {
            let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
            let name = truncated(name.clone());
            let description = format!(
                "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
            );
            FieldViolation { field: path.clone(), description: truncated(description) }
        };
        let field_violations: Vec<_> = unknown.iter().map(violation).collect();
        let lines: Vec<_> = field_violations.iter().map(|line| line.description.as_str()).collect();
        let message = lines.join("\n");
        Self::new(Code::InvalidArgument, message).with_detail(&rpc::BadRequest { field_violations })
    }

    /// Adds the reason in a form for programs (`google.rpc.ErrorInfo`): `reason` is in capitals, and `domain` is the
    /// service that gives it.
    pub fn with_info<const N: usize>(
        self,
        reason: &str,
        domain: &str,
        metadata: [(&str, &str); N],
    ) -> Self {
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.with_detail(&rpc::ErrorInfo {
            reason: reason.to_owned(),
            domain: domain.to_owned(),
            metadata: metadata.into(),
        })
    }

    /// Adds a detail, which is a message of the contract.
    fn with_detail(mut self, detail: &impl prost::Name) -> Self {
        self.details.push(Any::from_msg(detail).expect("a Vec grows"));
        self
    }

    /// Returns the code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the answer over REST.
    pub(super) fn into_response(self, pool: &DescriptorPool) -> Response {
        let (status, name) = rest_status(self.code);
        let mut error = json!({ "code": status.as_u16(), "message": self.message, "status": name });
        let details: Vec<_> =
            self.details.iter().filter_map(|any| detail_as_json(any, pool)).collect();
        if !details.is_empty() {
            error["details"] = details.into();
        }
        let mut response = (status, axum::Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // gcloud needs only the status. Other clients expect the scheme that Google names.
            let realm = "Bearer realm=\"https://accounts.google.com/\"";
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(realm));
        }
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

impl From<GoogleError> for Status {
    /// Returns the error for gRPC. The text is in it twice, and both must be the same, because Google's Python client
    /// refuses the answer otherwise.
    fn from(error: GoogleError) -> Self {
        let GoogleError { code, message, details } = error;
        if details.is_empty() {
            return Self::new(code, message);
        }
        let status = rpc::Status { code: code as i32, message: message.clone(), details };
        Self::with_details(code, message, status.encode_to_vec().into())
    }
}

impl From<Status> for GoogleError {
    /// Reads the error that a service answered, so that REST can show it.
    fn from(status: Status) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
        Self { code: status.code(), message: status.message().to_owned(), details }
    }
}

/// Returns the HTTP status of a code, and the name of the code in the body.
fn rest_status(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Ok => (StatusCode::OK, "OK"),
        Code::Cancelled => (StatusCode::from_u16(499).expect("three digits"), "CANCELLED"),
        Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::FailedPrecondition => (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION"),
        Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
        Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Code::DataLoss => (StatusCode::INTERNAL_SERVER_ERROR, "DATA_LOSS"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
    }
}

/// Returns a detail as JSON. Returns `None` for a type outside the contract, so that the rest of the error is answered.
fn detail_as_json(any: &Any, pool: &DescriptorPool) -> Option<Value> {
    let mut detail = DynamicMessage::new(pool.get_message_by_name("google.protobuf.Any")?);
    detail.transcode_from(any).ok()?;
    match json::write(&detail, json::EnumFormat::Names) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(detail = any.type_url, %error, "an error's detail cannot be printed: {error}");
            None
        }
    }
}

fn truncated(mut text: String) -> String {
    if text.len() > MAX_ECHO_BYTES {
        text.truncate(text.floor_char_boundary(MAX_ECHO_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_same_in_both_places() {
        let error = GoogleError::new(Code::NotFound, "no such thing: ü").with_info(
            "NOT_THERE",
            "artifactregistry.googleapis.com",
            [("resource", "r")],
        );
        let status = Status::from(error.clone());
        let inner = rpc::Status::decode(status.details()).expect("readable");
        assert_eq!(inner.message, status.message());
        assert_eq!(inner.code, Code::NotFound as i32);
        assert_eq!(GoogleError::from(status), error);
    }

    #[test]
    fn what_clients_sent_comes_back_shortened() {
        let error = GoogleError::bad_field(&"é".repeat(10_000), "é".repeat(10_000));
        assert!(error.message().len() < 2 * MAX_ECHO_BYTES, "{}", error.message().len());
        let size = Status::from(error).details().len();
        assert!(size < 4 * MAX_ECHO_BYTES, "{size}");
    }
}
