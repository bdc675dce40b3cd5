//! Forms: what a page of the console sends back.

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use web::layer::body_budget::{BodyBounds, BufferedBody, WholeError};

use crate::csrf;
use crate::error::ConsoleError;
use crate::query::Fields;
use crate::request::ConsoleRequest;

/// The length of the longest form in bytes: the digests of some two thousand versions.
const MAX_FORM_BYTES: usize = 256 << 10;
/// The memory that a request takes besides its form and its headers.
const REQUEST_BYTES: usize = 8 << 10;

/// Reads a form, and checks that a page of this viewer has sent it.
///
/// # Errors
/// Fails if another site sent the form, or if it is no form, too long or too slow.
pub(crate) async fn read(request: &ConsoleRequest, body: Body) -> Result<Fields, ConsoleError> {
    csrf::check_origin(&request.headers, &request.address.url)?;
    if !is_form(&request.headers) {
        return Err(ConsoleError::Invalid("this is not a form of the console".to_owned()));
    }
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let idle = request.app.limits.idle_timeout.get();
    let bounds = BodyBounds {
        max_bytes: MAX_FORM_BYTES,
        idle,
        total: idle,
        head: headers.sum::<usize>() + request.here.len() + REQUEST_BYTES,
    };
    let received = request.app.forms.receive_within(body, bounds).await;
    let BufferedBody { bytes, .. } = &received.map_err(refused)?;
    let fields = Fields::parse(bytes);
    request.form_key().check(fields.get(csrf::FIELD).unwrap_or_default())?;
    Ok(fields)
}

fn refused(error: WholeError) -> ConsoleError {
    match error {
        WholeError::TooLarge | WholeError::Stalled | WholeError::Closed => {
            ConsoleError::Invalid("the form is too long, or did not come in time".to_owned())
        }
        WholeError::GivenUp => ConsoleError::Unavailable(String::new()),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
