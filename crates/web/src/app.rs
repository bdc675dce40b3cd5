//! The state that every handler shares.

use std::sync::Arc;

use engine::Engine;
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

/// What every handler shares.
#[derive(Clone)]
pub struct App(Arc<AppState>);

/// The parts of an [`App`].
pub struct AppState {
    /// The registry.
    pub engine: Engine,
    /// How callers are told apart.
    pub authenticate: Authenticator,
    /// What hosts mean.
    pub domains: RegistryDomains,
    /// How clients reach this server.
    pub origin: ServerUrl,
    /// Names besides loopback ones that are answered; `None` answers every name.
    pub dev_hosts: Option<Vec<String>>,
    /// Proxies whose word about a request counts.
    pub proxies: Vec<NetworkSetting>,
    /// What one client can take.
    pub limits: LimitSettings,
    /// Memory for manifests on their way in.
    pub manifests: BodyBudget,
    /// Who is sent complete lists.
    pub list_readers: Arc<ListReaders>,
    /// Memory for the forms of the token endpoints, which strangers send.
    pub forms: BodyBudget,
    /// Requests by way of trusted proxies, by the network that they came from.
    pub forwarded: NetworkCounter,
    /// Memory for answers on their way out.
    pub sending: SendMemory,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is written down who did what.
    pub audit: AuditLog,
}

impl App {
    /// Shares the parts.
    pub fn new(shared: AppState) -> Self {
        Self(Arc::new(shared))
    }

    /// Returns the address that challenges name. The hosts of Container Registry are told as they are: whoever asks for
    /// one of them here has made its name lead here, and a token is for the place that its host names.
    pub fn base_url(&self, arrival: &RequestArrival) -> String {
        self.origin.challenged(arrival, self.own_names())
    }

    /// Returns the address that clients are told. What somebody signed for it was meant for this server.
    pub fn own_url(&self, arrival: &RequestArrival) -> String {
        self.origin.told(arrival, self.own_names())
    }

    fn own_names(&self) -> OwnNames<'_> {
        let dev_hosts = self.dev_hosts.as_deref().unwrap_or_default();
        OwnNames { domains: &self.domains, dev_hosts }
    }

    /// `LOCATION-docker.DOMAIN[:PORT]/PROJECT/REPOSITORY`: the location's own host, with our own port.
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
