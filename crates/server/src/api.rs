//! All routes on one page.

pub mod admin;
pub mod google;
pub mod metadata_server;
pub mod oci;
pub mod ops;
pub mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use engine::Engine;
use model::host::{Domains, without_port};

use crate::audit::Audit;
use crate::auth::Authenticate;
use crate::config::Limits;
use crate::layer::is_local;
use crate::layer::metrics::Metrics;
use crate::layer::whole::Bodies;

/// What every handler shares.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts of an [`App`].
pub struct Shared {
    /// The registry.
    pub engine: Engine,
    /// How callers are told apart.
    pub authenticate: Authenticate,
    /// What hosts mean.
    pub domains: Domains,
    /// How clients reach this server.
    pub origin: Origin,
    /// Names besides loopback ones that are answered; `None` answers every name.
    pub dev_hosts: Option<Vec<String>>,
    /// What one client can take.
    pub limits: Limits,
    /// Memory for manifests on their way in.
    pub manifests: Bodies,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is written down who did what.
    pub audit: Audit,
}

/// How clients reach this server.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where they reach it under no name of ours, without a slash at the end.
    pub external_url: String,
}

impl App {
    /// Shares the parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The address that links and challenges begin with. A request's host only picks among our own names:
    /// whoever could choose it freely could send clients, and their passwords, elsewhere.
    pub fn base_url(&self, host: &str) -> String {
        let Origin { scheme, external_url } = &self.origin;
        let name = without_port(host);
        let plain =
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        let names = self.dev_hosts.as_deref().unwrap_or_default();
        let external = external_url.split_once("://").map(|(_, rest)| rest);
        let ours = is_local(name, names) || self.domains.knows(host) || external == Some(host);
        if plain && ours { format!("{scheme}://{host}") } else { external_url.clone() }
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What clients of the registry reach.
pub fn registry(app: App) -> anyhow::Result<Router> {
    let google =
        Router::new().fallback(google::entry::answer).with_state(google::entry::Entry::new(&app)?);
    Ok(Router::new()
        .route("/v2", any(oci::ping))
        .route("/v2/", any(oci::ping))
        .route("/v2/_catalog", any(oci::catalog))
        .route("/v2/token", get(token::get).post(token::post))
        .route("/token", post(token::token))
        .route("/introspect", post(token::introspect))
        .route("/revoke", post(token::revoke))
        .route("/oauth2/v3/certs", get(token::keys))
        // Names may hold slashes, so that what stands in the middle is found from the end.
        .route("/v2/{*path}", any(oci::by_path))
        .fallback_service(google)
        .with_state(app))
}

/// What operators reach.
pub fn ops(app: App) -> Router {
    Router::new()
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .with_state(app)
}
