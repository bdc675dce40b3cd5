//! The token endpoints: Docker's, below `/v2/`, and OAuth 2.0's.

mod docker;
mod oauth;

pub use docker::{get, post};
pub use oauth::{introspect, keys, revoke, token};

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use web::app::App;
use web::layer::RequestInfo;
use web::layer::body_budget::{BodyBounds, WholeError};

/// The length of the longest form that is read.
const MAX_FORM_BYTES: usize = 256 << 10;
/// The memory that a request takes besides its form and its headers.
const REQUEST_BYTES: usize = 8 << 10;

/// The reason for which a form is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormError {
    /// The body is wrong, as the text says.
    Invalid(&'static str),
    /// The forms that are being sent take all the memory that there is for them.
    TooMany,
}

impl FormError {
    /// Returns the answer of RFC 6749 for this error.
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(problem) => oauth::error("invalid_request", problem),
            Self::TooMany => oauth::unavailable(),
        }
    }
}

/// Reads the fields of a form. Anybody may send one, so all forms together get little memory, and each little time. The
/// media type must be that of a form, and the names of the fields must be plain: the text of another document would
/// else be read as one field with a strange name.
async fn read_form(app: &App, request: Request) -> Result<Vec<(String, String)>, FormError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let (parts, body): (Parts, Body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let head = headers.sum::<usize>() + parts.uri.query().map_or(0, str::len) + REQUEST_BYTES;
    let idle = app.limits.idle_timeout.get();
    let bounds = BodyBounds { max_bytes: MAX_FORM_BYTES, idle, total: idle, head };
    let whole = app.forms.receive_within(body, bounds).await.map_err(|error| match error {
        WholeError::TooLarge | WholeError::Stalled | WholeError::Closed => {
            FormError::Invalid("the form is too long, or did not come in time")
        }
        WholeError::GivenUp => FormError::TooMany,
    })?;
    let bytes = &whole.bytes;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let media_type = parts.headers.get(CONTENT_TYPE).map(|value| essence(value.as_bytes()));
    if media_type.is_some_and(|media_type| !media_type.eq_ignore_ascii_case(FORM.as_bytes())) {
        return Err(FormError::Invalid("send a form: application/x-www-form-urlencoded"));
    }
    let fields = form_fields(bytes).ok_or(FormError::Invalid("the body is not a form"))?;
    let count = |wanted: &str| fields.iter().filter(|(name, _)| name == wanted).count();
    if SINGLE_PARAMETERS.iter().any(|parameter| count(parameter) > 1) {
        return Err(FormError::Invalid("a parameter occurs twice"));
    }
    Ok(fields)
}

/// The parameters that may occur once (RFC 6749 §3.2). Docker sends `scope` more than once.
const SINGLE_PARAMETERS: [&str; 5] = ["grant_type", "assertion", "username", "password", "token"];

/// Returns a media type without its parameters.
fn essence(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

fn form_fields(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._~+%".contains(&byte);
    let text = std::str::from_utf8(bytes).ok()?;
    let mut names = text.split('&').filter_map(|field| field.split('=').next());
    names
        .all(|name| name.bytes().all(is_plain))
        .then(|| form_urlencoded::parse(bytes).into_owned().collect())
}

/// Returns the description of a request, for the audit log.
fn request_info(parts: &Parts) -> Option<&Arc<RequestInfo>> {
    parts.extensions.get()
}

/// Returns the first field of that name.
fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_form() {
        let read = |text: &[u8]| form_fields(text).map(|fields| fields.len());
        assert_eq!(read(b"grant_type=password&scope=repository:a/b:pull&scope=x"), Some(3));
        assert_eq!(read(b"a&b="), Some(2));
        assert_eq!(read(b"password={\"type\":\"service_account\"}"), Some(1), "as people write it");
        for text in [
            &b"{\"grant_type\":\"password\"}"[..],
            b"{\"a\":\"b=c\"}",
            b"[1]",
            b"<a b='c'/>",
            b"a b=c",
            b"a=\xff",
            b"\0",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn media_types_have_parameters() {
        assert_eq!(essence(b"application/json ; charset=utf-8"), b"application/json");
        assert_eq!(essence(b""), b"");
    }
}
