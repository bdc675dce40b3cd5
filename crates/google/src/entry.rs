//! The entry to both doors, which authenticates the caller of every request.

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use identity::TokenAudience;
use model::permission::Permission;
use tower::ServiceExt;

use crate::contract::AccessRule;
use crate::doors::{methods, router};
use crate::error::GoogleError;
use crate::intake::{BodyLimit, BodyReader, RejectedCredential};
use crate::services::{BaseUrl, EngineAuthorizer, routes};
use web::app::App;
use web::auth::refusal;
use web::layer::RequestInfo;
use web::server_url::RequestArrival;

/// The largest message in bytes of an anonymous caller. Methods that anonymous callers may use need no larger ones.
const MAX_ANONYMOUS_BYTES: usize = 16 << 10;

/// Google's APIs: the application and the router of both doors.
#[derive(Clone)]
pub struct ApiEntry {
    app: App,
    doors: Router,
}

impl ApiEntry {
    /// Creates the router of both doors.
    ///
    /// # Errors
    /// Fails if the contract is broken, or if a method asks for a permission that no role holds: nobody could call it.
    pub fn new(app: &App) -> anyhow::Result<Self> {
        let intake = BodyReader::new(app.limits.idle_timeout.get(), app.engine.parsing());
        let doors = router(routes(app), EngineAuthorizer::new(app), intake);
        let doors = doors.context("the contract is broken")?;
        for method in methods() {
            if let AccessRule::Permission { permission, .. } = &method.access
                && permission.parse::<Permission>().is_err()
            {
                bail!("{} asks for {permission}, which no role holds", method.name);
            }
        }
        Ok(Self { app: app.clone(), doors })
    }
}

/// Returns whether a request is for Google's APIs, including those that are not served.
pub fn is_api(request: &Request) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    is_googles(request.uri().path())
        || content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Returns whether a path is one of Google's APIs: below a version other than the registry's `v2`, or below `upload`,
/// `download` or `batch`.
fn is_googles(path: &str) -> bool {
    let first = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
    let version = first.strip_prefix('v').filter(|_| first != "v2").map(str::as_bytes);
    let is_version = version.is_some_and(|version| {
        version.first().is_some_and(u8::is_ascii_digit)
            && version.iter().all(u8::is_ascii_alphanumeric)
    });
    is_version || ["upload", "download", "batch"].contains(&first)
}

/// Answers a request for Google's APIs.
pub async fn answer(State(entry): State<ApiEntry>, request: Request) -> Response {
    let ApiEntry { app, doors } = entry;
    let (mut parts, body) = request.into_parts();
    // HEAD gets the answer of GET. The body is left out when the answer is sent.
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    let own_url = app.own_url(&RequestArrival::of(&parts));
    let fixed = app.origin.fixed().unwrap_or_else(|| own_url.clone());
    let info = parts.extensions.get::<Arc<RequestInfo>>().cloned();
    let guard = app.audit.begin_unnamed(info.as_ref(), &parts.headers);
    let surface = TokenAudience::Api { urls: [&fixed, &own_url] };
    if let Some(info) = &info {
        info.set_route("api");
    }
    match app.authenticate.caller(app.engine.identity(), &parts.headers, surface).await {
        Ok(caller) => {
            guard.trail().note_caller(&caller);
            if let Some(info) = &info {
                info.set_principal(&caller.principal);
            }
            if caller.is_anonymous() {
                let otherwise = GoogleError::no_credential();
                parts.extensions.insert(BodyLimit { bytes: MAX_ANONYMOUS_BYTES, otherwise });
            }
            parts.extensions.insert(caller);
        }
        // The gate answers with the error, in the form of the door that the request came by.
        Err(error) => {
            guard.trail().note_refusal(&error);
            let base_url = app.base_url(&RequestArrival::of(&parts));
            let error = GoogleError::refused(error, refusal::host_of(&base_url));
            parts.extensions.insert(RejectedCredential(error));
        }
    }
    parts.extensions.insert(BaseUrl(own_url));
    // The gate notes the operation and the outcome.
    parts.extensions.insert(guard.trail().clone());
    let Ok(response) = doors.oneshot(Request::from_parts(parts, body)).await;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_googles() {
        for path in [
            "/v1/projects",
            "/v1beta2/projects/p/locations",
            "/v1beta1/x",
            "/v1p1beta1/x",
            "/v1alpha/x",
            "/v3/projects",
            "/v10/x",
            "/v1",
            "/v2beta1/x",
            "/upload/v1/projects/p",
            "/download/v1/x",
            "/batch",
            "/batch/artifactregistry/v1",
        ] {
            assert!(is_googles(path), "{path}");
        }
        for path in [
            "/v2",
            "/v2/",
            "/v2/p/r/i/tags/list",
            "/",
            "",
            "/v/x",
            "/vx/y",
            "/v1.5/x",
            "/version",
            "/uploads/x",
            "//v1/x",
            "/token",
            "/x/v1/y",
        ] {
            assert!(!is_googles(path), "{path}");
        }
    }
}
