//! All routes on one page.

pub mod admin;
mod content;
pub mod google;
pub mod metadata_server;
pub mod oci;
pub mod ops;
pub mod origin;
pub mod routes;
pub mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use engine::Engine;
use model::host::Domains;
use model::name::RepositoryName;

use self::origin::{Arrival, Origin, OwnNames};
use self::routes::{Asks, Routes};
use crate::audit::Audit;
use crate::auth::Authenticate;
use crate::config::{Limits, Network};
use crate::layer::metrics::Metrics;
use crate::layer::networks::Networks;
use crate::layer::sending::SendMemory;
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
    /// Proxies whose word about a request counts.
    pub proxies: Vec<Network>,
    /// What one client can take.
    pub limits: Limits,
    /// Memory for manifests on their way in.
    pub manifests: Bodies,
    /// Who is sent complete lists.
    pub list_readers: Arc<oci::Readers>,
    /// Memory for the forms of the token endpoints, which strangers send.
    pub forms: Bodies,
    /// Requests by way of trusted proxies, by the network that they came from.
    pub forwarded: Networks,
    /// Memory for answers on their way out.
    pub sending: SendMemory,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is written down who did what.
    pub audit: Audit,
}

impl App {
    /// Shares the parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Returns the address that challenges name. The hosts of Container Registry are told as they are: whoever asks for
    /// one of them here has made its name lead here, and a token is for the place that its host names.
    pub fn base_url(&self, arrival: &Arrival) -> String {
        self.origin.challenged(arrival, self.own_names())
    }

    /// Returns the address that clients are told. What somebody signed for it was meant for this server.
    pub fn own_url(&self, arrival: &Arrival) -> String {
        self.origin.told(arrival, self.own_names())
    }

    fn own_names(&self) -> OwnNames<'_> {
        let dev_hosts = self.dev_hosts.as_deref().unwrap_or_default();
        OwnNames { domains: &self.domains, dev_hosts }
    }

    /// `LOCATION-docker.DOMAIN[:PORT]/PROJECT/REPOSITORY`: the location's own host, with our own port.
    pub fn registry_uri(&self, name: &RepositoryName) -> String {
        let (domain, location) = (self.domains.main(), &name.location);
        format!("{location}-docker.{domain}{}/{}", self.origin.port_suffix(), name.path())
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What clients of the registry reach, besides the Google APIs.
pub fn registry_routes() -> Routes<App> {
    const OWN: &str = "what is good for something is in the form";
    Routes::new()
        .with(("GET HEAD", "/v2"), Asks::Somebody, any(oci::ping))
        .with(("GET HEAD", "/v2/"), Asks::Somebody, any(oci::ping))
        .with(
            ("GET HEAD", "/v2/_catalog"),
            Asks::Credential("it lists what the caller may read"),
            any(oci::catalog),
        )
        .with(
            ("GET HEAD POST", "/v2/token"),
            Asks::NoMore("nobody's token is good for what everybody may do"),
            get(token::get).post(token::post),
        )
        .with(("POST", "/token"), Asks::Nothing(OWN), post(token::token))
        .with(("POST", "/introspect"), Asks::Nothing(OWN), post(token::introspect))
        .with(("POST", "/revoke"), Asks::Nothing(OWN), post(token::revoke))
        .with(
            ("GET HEAD", "/oauth2/v3/certs"),
            Asks::Nothing("public keys are public"),
            get(token::keys),
        )
        // Names may hold slashes, so that what stands in the middle is found from the end.
        .below("/v2/{*path}", &oci::ROUTES, any(oci::by_path))
}

/// What clients of the registry reach. The Google APIs have their routes from the contract, which says of each method
/// what it asks.
pub fn registry(app: App) -> anyhow::Result<Router> {
    let google =
        Router::new().fallback(google::entry::answer).with_state(google::entry::Entry::new(&app)?);
    Ok(registry_routes().into_router().fallback_service(google).with_state(app))
}

/// What operators reach.
pub fn ops_routes() -> Routes<App> {
    const OPERATORS: Asks = Asks::Nothing("the listener is for those who run the server");
    Routes::new()
        .with(("GET HEAD", "/healthz"), OPERATORS, get(ops::alive))
        .with(("GET HEAD", "/readyz"), OPERATORS, get(ops::ready))
        .with(("GET HEAD", "/metrics"), OPERATORS, get(ops::metrics))
}

/// See [`ops_routes`].
pub fn ops(app: App) -> Router {
    let router = ops_routes().into_router().with_state(app);
    router.layer(axum::middleware::from_fn(ops::mark_as_probe))
}
