//! The frame that all pages have, and the answer that carries a page.

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

use crate::assets::{self, AssetLinks, gzip, takes_gzip};
use crate::links::Link;
use crate::request::ConsoleRequest;
use crate::texts::Texts;

/// A page below this many bytes is not compressed.
const MIN_COMPRESSED: usize = 1_024;

/// The policy of every page: scripts and styles come from this server alone, and never from the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'";

/// One step of the path to a page.
#[derive(Debug, Clone)]
pub(crate) struct Crumb {
    pub(crate) label: String,
    /// `None` where the viewer may not see the page.
    pub(crate) link: Option<Link>,
}

/// A link to a page about the same thing.
#[derive(Debug, Clone)]
pub(crate) struct Tab {
    pub(crate) label: &'static str,
    pub(crate) link: Link,
    pub(crate) is_current: bool,
}

/// A choice of a language.
#[derive(Debug, Clone)]
pub(crate) struct LanguageLink {
    pub(crate) language: &'static str,
    pub(crate) name: &'static str,
    pub(crate) link: Link,
}

/// The parts of a page around its content.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) t: &'static Texts,
    pub(crate) title: String,
    pub(crate) crumbs: Vec<Crumb>,
    pub(crate) tabs: Vec<Tab>,
    /// The name of the viewer; `None` if signed out.
    pub(crate) viewer: Option<String>,
    pub(crate) sign_in: Link,
    pub(crate) is_dev: bool,
    pub(crate) form_token: String,
    pub(crate) search: String,
    pub(crate) assets: &'static AssetLinks,
    pub(crate) languages: Vec<LanguageLink>,
    /// What the form that was sent before has done.
    pub(crate) message: Option<String>,
    /// The commands that say the same as the page.
    pub(crate) commands: Vec<String>,
}

impl Frame {
    /// Sets the path to the page. The names of its steps follow in the title, so that no two pages share a title.
    pub(crate) fn with_crumbs(self, crumbs: Vec<Crumb>) -> Self {
        let named = self.title.rsplit(" · ").next();
        let last = crumbs.iter().rposition(|crumb| Some(crumb.label.as_str()) == named);
        let mut title = self.title;
        // The first step leads to all projects.
        for crumb in crumbs[..last.unwrap_or(0)].iter().skip(1).rev() {
            title.push_str(" · ");
            title.push_str(&crumb.label);
        }
        Self { title, crumbs, ..self }
    }

    pub(crate) fn with_tabs(self, tabs: Vec<Tab>) -> Self {
        Self { tabs, ..self }
    }

    pub(crate) fn with_commands(self, commands: Vec<String>) -> Self {
        Self { commands, ..self }
    }
}

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
    let html = page.render().expect("a template writes to memory");
    let is_compressed = html.len() >= MIN_COMPRESSED && takes_gzip(&request.headers);
    let body = if is_compressed { gzip(html.as_bytes()) } else { Bytes::from(html) };
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
