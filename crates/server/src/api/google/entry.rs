//! The way into both doors: who calls is found out here, before anything is looked at.

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use engine::Surface;
use http::Method;
use model::permission::Permission;
use tower::ServiceExt;

use super::services::{BaseUrl, EngineGate, routes};
use super::{AccessRule, AtMost, GoogleError, Intake, Refused, doors, methods};
use crate::api::origin::Arrival;
use crate::api::{App, oci};
use crate::auth::refusal;
use crate::layer::RequestInfo;

/// The largest message of somebody who is nobody: enough for all that they could be let in for.
const ANONYMOUS_LIMIT: usize = 16 << 10;

/// What is served beside the registry.
#[derive(Clone)]
pub struct Entry {
    app: App,
    doors: Router,
}

impl Entry {
    /// Opens the doors. Fails where a method asks for a permission that no role holds: nobody could call it.
    pub fn new(app: &App) -> anyhow::Result<Self> {
        let intake = Intake::new(app.limits.idle_timeout.get());
        let doors = doors(routes(app), EngineGate::new(app), intake);
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

/// Whether a request is for the APIs.
fn is_api(request: &Request) -> bool {
    let path = request.uri().path();
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    path.starts_with("/v1/")
        || path.starts_with("/v1beta2/")
        || content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers whatever is no path of the registry.
pub async fn answer(State(entry): State<Entry>, request: Request) -> Response {
    let Entry { app, doors } = entry;
    if !is_api(&request) {
        return oci::nothing_here(State(app), request).await;
    }
    let (mut parts, body) = request.into_parts();
    // The same answer; its body is left out on the way to the client.
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    let own_url = app.own_url(&Arrival::of(&parts));
    let fixed = app.origin.fixed().unwrap_or_else(|| own_url.clone());
    let info = parts.extensions.get::<Arc<RequestInfo>>().cloned();
    let attempt = app.audit.attempt_at_something((info.as_ref(), &parts.headers));
    let surface = Surface::Api { urls: [&fixed, &own_url] };
    if let Some(info) = &info {
        info.set_route("api");
    }
    match app.authenticate.caller(&app.engine, &parts.headers, surface).await {
        Ok(caller) => {
            attempt.trail().caller(&caller);
            if let Some(info) = &info {
                info.set_principal(&caller.principal.to_string());
            }
            if caller.is_anonymous() {
                let otherwise = GoogleError::no_credential();
                parts.extensions.insert(AtMost { bytes: ANONYMOUS_LIMIT, otherwise });
            }
            parts.extensions.insert(caller);
        }
        // Said by the gate, in the words of the door that was taken.
        Err(error) => {
            attempt.trail().refused(&error);
            let base_url = app.base_url(&Arrival::of(&parts));
            let error = GoogleError::refused(error, refusal::host_of(&base_url));
            parts.extensions.insert(Refused(error));
        }
    }
    parts.extensions.insert(BaseUrl(own_url));
    // The gate finds out what is asked for, and how it ends.
    parts.extensions.insert(attempt.trail().clone());
    let Ok(response) = doors.oneshot(Request::from_parts(parts, body)).await;
    response
}
