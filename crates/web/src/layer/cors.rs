//! Cross-origin requests (CORS): the web pages of the origins that the settings name may use the APIs, all others may
//! not.
//!
//! A browser asks before it sends a request of a page, and hides the answer from the page unless the answer permits it.
//! So these headers protect people who use a browser. They are no access control: every request still needs its
//! credential.

use std::sync::Arc;

use anyhow::{bail, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

static METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The request headers that pages may send, besides those that every page may.
static SENT: HeaderValue = HeaderValue::from_static(
    "Authorization, Accept, Content-Type, Content-Range, Range, If-Match, If-None-Match, If-Range, Cache-Control, \
     X-Request-Id, X-HTTP-Method-Override, X-Goog-Api-Client, X-Goog-User-Project, X-Goog-FieldMask",
);
/// The response headers that pages may see, besides those that every page may.
static SEEN: HeaderValue = HeaderValue::from_static(
    "Docker-Content-Digest, Docker-Distribution-Api-Version, Docker-Upload-UUID, WWW-Authenticate, Link, Location, \
     Content-Length, Content-Range, Content-Disposition, Accept-Ranges, Range, ETag, Allow, Retry-After, OCI-Subject, OCI-Tag, \
     OCI-Filters-Applied, Warning, X-Request-Id",
);
/// The seconds for which a browser need not ask again.
static MAX_AGE: HeaderValue = HeaderValue::from_static("600");
static ASKED: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// The origins whose pages may use the APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// The origins in the list. Browsers may send the person's stored credentials along.
    Listed(Arc<[HeaderValue]>),
    /// All origins. Browsers send no stored credentials.
    Any,
}

impl AllowedOrigins {
    /// Reads `cors.origins`. Returns `None` if the setting names no origin.
    pub fn new(origins: &[String]) -> anyhow::Result<Option<Self>> {
        match origins {
            [] => return Ok(None),
            [any] if any == "*" => return Ok(Some(Self::Any)),
            _ => {}
        }
        let listed = origins.iter().map(|origin| {
            check(origin)?;
            Ok(HeaderValue::from_str(origin)?)
        });
        Ok(Some(Self::Listed(listed.collect::<anyhow::Result<_>>()?)))
    }

    /// Returns the headers that let pages of an origin see an answer, or `None` for an origin that is not allowed.
    fn allow(&self, origin: &HeaderValue) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        match self {
            Self::Any => headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Self::Listed(origins) if origins.contains(origin) => {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())
            }
            Self::Listed(_) => return None,
        };
        Some(headers)
    }
}

/// Refuses a text that no browser sends as an origin: as a setting, it would have no effect.
fn check(origin: &str) -> anyhow::Result<()> {
    if origin == "*" {
        bail!("cors.origins: \"*\" stands for all origins, and stands alone");
    }
    let is_origin = |uri: &Uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let scheme = uri.scheme_str().unwrap_or_default();
        let is_default =
            matches!((scheme, uri.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        origin == format!("{scheme}://{authority}")
            && !authority.contains('@')
            && !authority.ends_with(':')
            && !is_default
    };
    let is_lower = !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    ensure!(
        is_lower && origin.parse::<Uri>().is_ok_and(|uri| is_origin(&uri)),
        "cors.origins: {origin:?} is no origin; write it as browsers do, https://ui.example.com or http://localhost:3000, \
         without a path or a default port"
    );
    Ok(())
}

/// Lets a router answer the pages of these origins.
pub fn answer_pages(router: Router, origins: Option<AllowedOrigins>) -> Router {
    match origins {
        Some(origins) => router.layer(from_fn_with_state(origins, answer)),
        None => router,
    }
}

/// Returns whether a path is one of the web console, where a cookie is a credential.
fn is_console(path: &str) -> bool {
    path == "/console" || path.starts_with("/console/")
}

async fn answer(State(origins): State<AllowedOrigins>, request: Request, next: Next) -> Response {
    let allowed = match request.headers().get(ORIGIN) {
        // The console is for people: a page of another origin gets nothing of it.
        Some(origin) if !is_console(request.uri().path()) => origins.allow(origin),
        Some(_) | None => None,
    };
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &allowed {
        // The question is answered before routing and authentication: browsers send no credential with it.
        Some(_) if is_preflight => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE.clone());
            response
        }
        Some(_) => {
            let mut response = next.run(request).await;
            response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, SEEN.clone());
            response
        }
        None => next.run(request).await,
    };
    let vary = if is_preflight { ASKED.clone() } else { HeaderValue::from_static("Origin") };
    response.headers_mut().append(VARY, vary);
    response.headers_mut().extend(allowed.unwrap_or_default());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for origin in [
            "https://ui.example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
            "https://a:8443",
        ] {
            let origins = AllowedOrigins::new(&[origin.to_owned()]).expect(origin).expect("one");
            assert!(origins.allow(&origin.parse().expect("a header")).is_some());
        }
        for origin in [
            "",
            "null",
            "*.example.com",
            "ui.example.com",
            "https://ui.example.com/",
            "https://ui.example.com/path",
            "https://ui.example.com?x",
            "https://UI.example.com",
            "https://ui.example.com:443",
            "http://ui.example.com:80",
            "https://ui.example.com:",
            "https://me@ui.example.com",
            "https://",
            "https://a, https://b",
        ] {
            let error = AllowedOrigins::new(&[origin.to_owned()]).expect_err(origin).to_string();
            assert!(error.contains("cors.origins"), "{error}");
        }
        assert_eq!(AllowedOrigins::new(&[]).expect("none"), None);
        assert_eq!(AllowedOrigins::new(&["*".to_owned()]).expect("all"), Some(AllowedOrigins::Any));
        let both = ["*".to_owned(), "https://ui.example.com".to_owned()];
        assert!(
            AllowedOrigins::new(&both).expect_err("which?").to_string().contains("stands alone")
        );
    }
}
