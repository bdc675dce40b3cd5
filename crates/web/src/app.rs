//! The state that every handler shares.

use std::sync::Arc;

use engine::Engine;
use http::{HeaderName, HeaderValue};
use model::name::RepositoryName;
use model::registry_host::RegistryDomains;

use crate::audit::AuditLog;
use crate::auth::Authenticator;
use crate::layer::body_budget::BodyBudget;
use crate::layer::metrics::Metrics;
use crate::layer::network_counter::NetworkCounter;
use crate::layer::sending::SendMemory;
use crate::list_readers::ListReaders;
use crate::server_url::{OwnNames, RequestArrival, ServerUrl};
use crate::settings::LimitSettings;
use crate::units::NetworkSetting;

/// The application, as every handler gets it. Cheap to clone; every clone shares the same state.
#[derive(Clone)]
pub struct App(Arc<AppState>);

/// The parts of an [`App`].
pub struct AppState {
    /// The registry itself.
    pub engine: Engine,
    /// The check of credentials.
    pub authenticate: Authenticator,
    /// The domains whose hosts name locations.
    pub domains: RegistryDomains,
    /// The addresses by which clients reach this server.
    pub origin: ServerUrl,
    /// The host names besides loopback ones that are answered; `None` answers every name.
    pub dev_hosts: Option<Vec<String>>,
    /// The proxies whose `Forwarded` and `X-Forwarded-…` headers are believed.
    pub proxies: Vec<NetworkSetting>,
    /// The limits of connections, times, uploads and memory.
    pub limits: LimitSettings,
    /// The memory for manifests that are being received.
    pub manifests: BodyBudget,
    /// The callers that complete lists are being sent to.
    pub list_readers: Arc<ListReaders>,
    /// The memory for the forms of the token endpoints, which anybody can send.
    pub forms: BodyBudget,
    /// The number of running requests by way of trusted proxies, for each network that they came from.
    pub forwarded: NetworkCounter,
    /// The memory for answers that wait for their readers.
    pub sending: SendMemory,
    /// The counters and gauges of `/metrics`.
    pub metrics: Metrics,
    /// The log of who did what.
    pub audit: AuditLog,
    /// The value of [`LOOP_MARK`] in this server's own requests to other registries.
    pub loop_mark: HeaderValue,
}

/// The header by which a process recognises its own requests: a remote repository may name the very server that it is
/// on. A circle over several servers ends by its time-outs.
pub const LOOP_MARK: HeaderName = HeaderName::from_static("x-berth-fetch");

impl App {
    /// Creates the application from its parts.
    pub fn new(shared: AppState) -> Self {
        Self(Arc::new(shared))
    }

    /// Returns the base URL that authentication challenges name.
    ///
    /// A host of Container Registry (`gcr.io`) stays as the request has it. Such a name reaches this server only where
    /// somebody made it resolve to this machine, and a token is for the location that the host stands for.
    pub fn base_url(&self, arrival: &RequestArrival) -> String {
        self.origin.for_challenge(arrival, self.own_names())
    }

    /// Returns the base URL of this server, as the sender of a request is told it. An assertion whose audience is this
    /// URL was signed for this server.
    pub fn own_url(&self, arrival: &RequestArrival) -> String {
        self.origin.for_client(arrival, self.own_names())
    }

    fn own_names(&self) -> OwnNames<'_> {
        let dev_hosts = self.dev_hosts.as_deref().unwrap_or_default();
        OwnNames { domains: &self.domains, dev_hosts }
    }

    /// Returns `LOCATION-docker.DOMAIN[:PORT]/PROJECT/REPOSITORY`: the host of the location, with this server's port.
    pub fn registry_uri(&self, name: &RepositoryName) -> String {
        let (domain, location) = (self.domains.primary(), &name.location);
        format!("{location}-docker.{domain}{}/{}", self.origin.port_suffix(), name.path())
    }
}

impl std::ops::Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}
