//! All routes on one page.

pub mod admin;
pub mod google;
pub mod oci;
pub mod ops;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use engine::Engine;
use model::host::Domains;

use crate::auth::Authenticate;
use crate::config::Limits;
use crate::layer::metrics::Metrics;

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
    /// Names besides loopback ones that are answered; `None` answers every name.
    pub dev_hosts: Option<Vec<String>>,
    /// What one client can take.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
}

impl App {
    /// Shares the parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What clients of the registry reach.
pub fn registry(app: App) -> Router {
    Router::new()
        .route("/v2", any(oci::ping))
        .route("/v2/", any(oci::ping))
        .route("/v2/_catalog", any(oci::catalog))
        // Names may hold slashes, so that what stands in the middle is found from the end.
        .route("/v2/{*path}", any(oci::by_path))
        .fallback(oci::nothing_here)
        .with_state(app)
}

/// What operators reach.
pub fn ops(app: App) -> Router {
    Router::new()
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .with_state(app)
}
