//! All routes on one page.

pub mod admin;
mod content;
pub mod google;
pub mod metadata_server;
pub mod oci;
pub mod ops;
pub mod routes;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use engine::Engine;
use model::host::{Domains, without_port};
use model::name::RepositoryName;

use self::routes::{Asks, Routes};
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
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Origin {
    /// The address of that host, if the host can mean no other server than this one: a host of a domain that is set, or
    /// this machine, where nobody else comes from. Under `localhost` everybody has something else. Whoever sends the
    /// request chooses the host, but not what this answers for it.
    fn url_of(&self, host: &str, (domains, local): (&Domains, &[String])) -> Option<String> {
        let Self { scheme, external_url, listen } = self;
        let external = external_url.split_once("://").map_or("", |(_, rest)| rest);
        let port = self.port(host)?;
        let local = listen.ip().is_loopback()
            && is_local(without_port(host), local)
            && port == listen.port();
        let ports = [self.port(""), self.port(external), Some(listen.port())];
        let configured = domains.are_set_for(host) && ports.contains(&Some(port));
        (is_plain(host) && (local || configured)).then(|| format!("{scheme}://{host}"))
    }

    fn port(&self, host: &str) -> Option<u16> {
        match host.strip_prefix(without_port(host))?.strip_prefix(':') {
            Some(port) => port.parse().ok(),
            None if self.scheme == "https" => Some(443),
            None => Some(80),
        }
    }
}

impl App {
    /// Shares the parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The address that links and challenges begin with. A request's host only picks among our own names:
    /// whoever could choose it freely could send clients, and their passwords, elsewhere.
    pub fn base_url(&self, host: &str) -> String {
        let Origin { scheme, external_url, .. } = &self.origin;
        let name = without_port(host);
        let names = self.dev_hosts.as_deref().unwrap_or_default();
        let external = external_url.split_once("://").map(|(_, rest)| rest);
        let ours = is_local(name, names) || self.domains.knows(host) || external == Some(host);
        if is_plain(host) && ours { format!("{scheme}://{host}") } else { external_url.clone() }
    }

    /// The address that a request's host is of, if it can be of no other server; otherwise the one that is set. What
    /// somebody signed for it was meant for us.
    pub fn own_url(&self, host: &str) -> String {
        let names = self.dev_hosts.as_deref().unwrap_or_default();
        let url = self.origin.url_of(host, (&self.domains, names));
        url.unwrap_or_else(|| self.origin.external_url.clone())
    }

    /// `LOCATION-docker.DOMAIN[:PORT]/PROJECT/REPOSITORY`: the location's own host, with our own port.
    pub fn registry_uri(&self, name: &RepositoryName) -> String {
        let external = self.origin.external_url.split_once("://").map_or("", |(_, host)| host);
        let port = external.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let (domain, location) = (self.domains.main(), &name.location);
        format!("{location}-docker.{domain}{port}/{}", name.path())
    }
}

fn is_plain(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((url, listen): (&str, &str), host: &str, own: bool) {
        let location = "us-west1".parse().expect("a location");
        let domains = Domains::new(["example.com".to_owned()], location);
        let scheme = if url.starts_with("https") { "https" } else { "http" };
        let listen = listen.parse().expect("an address");
        let origin = Origin { scheme, external_url: url.to_owned(), listen };
        let expected = own.then(|| format!("{scheme}://{host}"));
        assert_eq!(
            origin.url_of(host, (&domains, &["registry.test".to_owned()])),
            expected,
            "{host}"
        );
    }

    #[test]
    fn hosts_that_can_mean_no_other_server() {
        let here = ("http://127.0.0.1:5050", "127.0.0.1:5050");
        let everywhere = ("https://us-west1-docker.example.com:8443", "0.0.0.0:5050");
        for host in ["localhost:5050", "127.0.0.1:5050", "[::1]:5050", "registry.test:5050"] {
            check(here, host, true);
            check(everywhere, host, false);
        }
        for host in ["localhost", "localhost:3000", "127.0.0.1:80", "a\"b.localhost:5050", ""] {
            check(here, host, false);
            check(everywhere, host, false);
        }
        for host in
            ["eu-west1-docker.example.com", "docker.eu-west1.rep.example.com", "example.com"]
        {
            check(everywhere, host, true);
            check(everywhere, &format!("{host}:8443"), true);
            check(everywhere, &format!("{host}:5050"), true);
            check(everywhere, &format!("{host}:3000"), false);
            check(here, host, true);
        }
        for host in
            ["gcr.io", "eu.gcr.io", "www.example.com", "evil.example", "example.com.evil.example"]
        {
            check(here, host, false);
            check(everywhere, host, false);
        }
        check(("http://localhost", "127.0.0.1:80"), "localhost", true);
    }
}
