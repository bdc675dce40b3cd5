//! The token endpoints: Docker's, below `/v2/`, and OAuth 2.0's.

mod docker;
mod oauth;

pub use docker::{get, post};
pub use oauth::{introspect, keys, revoke, token};

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};

use crate::api::App;
use crate::layer::RequestInfo;
use crate::layer::body::with_idle_timeout;

/// The longest form that is read.
const LONGEST_FORM: usize = 256 << 10;

/// The fields of a form. `None`: it is too long, not text, or did not come.
async fn read_form(app: &App, request: Request) -> Option<Vec<(String, String)>> {
    let body: Body = request.into_body();
    let body = with_idle_timeout(body, app.limits.idle_timeout.get());
    let bytes = Limited::new(body, LONGEST_FORM).collect().await.ok()?.to_bytes();
    Some(form_urlencoded::parse(&bytes).into_owned().collect())
}

/// What is known of a request, for the audit log.
fn info(parts: &Parts) -> Option<&Arc<RequestInfo>> {
    parts.extensions.get()
}

/// The first field of that name.
fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
