//! The answers that carry a page, or lead to one.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use crate::assets::{self, gzip, takes_gzip};
use crate::error::ConsoleError;
use crate::request::ConsoleRequest;

/// A page below this many bytes is not compressed.
const MIN_COMPRESSED: usize = 1_024;

/// The policy of every page: scripts and styles come from this server alone, and never from the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'";

/// Answers with a page.
pub(crate) fn show(request: &ConsoleRequest, page: &impl Template) -> Response {
    show_with_status(request, StatusCode::OK, page)
}

/// Answers with a page and a status.
pub(crate) fn show_with_status(
    request: &ConsoleRequest,
    status: StatusCode,
    page: &impl Template,
) -> Response {
    let rendered = RenderedPage::new(page, takes_gzip(&request.headers));
    answer(request, status, rendered)
}

/// Answers with a page that shows documents of so many bytes. A long one is rendered on a thread beside those that serve
/// requests.
pub(crate) async fn show_long(
    request: &ConsoleRequest,
    length: usize,
    page: impl Template + Send + 'static,
) -> Result<Response, ConsoleError> {
    let takes_gzip = takes_gzip(&request.headers);
    let parsing = request.engine().parsing();
    let rendered = parsing.run(length, move || RenderedPage::new(&page, takes_gzip)).await?;
    Ok(answer(request, StatusCode::OK, rendered))
}

/// The bytes of a page.
struct RenderedPage {
    body: Bytes,
    is_compressed: bool,
}

impl RenderedPage {
    fn new(page: &impl Template, takes_gzip: bool) -> Self {
        let html = page.render().expect("a template writes to memory");
        let is_compressed = html.len() >= MIN_COMPRESSED && takes_gzip;
        let body = if is_compressed { gzip(html.as_bytes()) } else { Bytes::from(html) };
        Self { body, is_compressed }
    }
}

fn answer(request: &ConsoleRequest, status: StatusCode, rendered: RenderedPage) -> Response {
    let RenderedPage { body, is_compressed } = rendered;
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_LENGTH, body.len())
        .header(VARY, "accept-encoding, accept-language, cookie")
        .header("speculation-rules", format!("\"{}\"", assets::links().speculation));
    if is_compressed {
        response = response.header(CONTENT_ENCODING, "gzip");
    }
    let response = response.body(Body::from(body)).expect("the headers are valid");
    secured(request, response)
}

/// Adds the headers that every answer of the console has.
pub(crate) fn secured(request: &ConsoleRequest, mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 8] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if request.is_https() {
        headers.insert(
            http::header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    if request.has_message() {
        headers.append(SET_COOKIE, crate::session::cleared_message());
    }
    response
}

/// Answers with the address of another page, which the browser gets by GET.
pub(crate) fn redirect(request: &ConsoleRequest, to: &str) -> Response {
    let response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(LOCATION, to)
        .header(CONTENT_LENGTH, 0)
        .body(Body::empty())
        .expect("links have only characters that headers may have");
    secured(request, response)
}
