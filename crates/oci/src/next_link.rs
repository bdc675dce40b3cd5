//! The `Link` header by which a list names its next page (OCI Distribution 1.1, section "Listing Tags").

use axum::response::Response;
use http::HeaderValue;
use http::header::LINK;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::context::OciRequest;

/// The characters of a query's value that are encoded: all but those that stand for themselves everywhere (RFC 3986,
/// section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds the link to the page at `path` with these names and values in its query. A client of a mirror is led to the mirror
/// again.
pub(crate) fn add_next_link(
    context: &OciRequest,
    response: &mut Response,
    path: &str,
    query: &[(&str, &str)],
) {
    let namespace = context.query.get("ns").map(|namespace| ("ns", namespace));
    let pairs = query.iter().copied().chain(namespace);
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}={}", percent_encode(value.as_bytes(), ENCODED)))
        .collect();
    let link = format!("<{path}?{}>; rel=\"next\"", pairs.join("&"));
    let link = HeaderValue::from_str(&link).expect("names, digests and encoded text are plain");
    response.headers_mut().insert(LINK, link);
}
