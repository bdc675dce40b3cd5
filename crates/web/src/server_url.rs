//! The base URL of this server, as challenges, links and key files name it.
//!
//! The URL has a configured name, or the address and port at which the request came in. The host that the request
//! names only selects among these. If a client could choose the host freely, it could send other clients, and their
//! passwords, to another server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use model::registry_host::{RegistryDomains, is_container_registry_host, without_port};

use crate::host::host;
use crate::layer::RequestInfo;
use crate::layer::forwarded::ForwardedRequest;
use crate::layer::own_names::is_local;

/// The addresses by which clients reach this server.
#[derive(Debug, Clone)]
pub struct ServerUrl {
    /// The listener's scheme, `http` or `https`.
    scheme: &'static str,
    /// The listener's address and port.
    listen: SocketAddr,
    /// The configured `external_url`.
    external: Option<ExternalUrl>,
}

/// A scheme and a host. The host has a port if the configured URL names one.
#[derive(Debug, Clone)]
struct ExternalUrl {
    scheme: &'static str,
    host: String,
}

/// The host that one request names, and the connection that it came by.
#[derive(Debug, Clone)]
pub struct RequestArrival {
    /// The host that the client named.
    host: String,
    /// The connection's address on this side; `None` in tests that have no connection.
    local: Option<SocketAddr>,
    /// The statements of a trusted proxy about the request.
    forwarded: Option<ForwardedRequest>,
}

impl RequestArrival {
    /// Returns the host of a request and the connection that the request came by.
    pub fn of(parts: &Parts) -> Self {
        let info = parts.extensions.get::<Arc<RequestInfo>>();
        Self {
            host: host(parts),
            local: info.map(|info| info.local()),
            forwarded: info.and_then(|info| info.forwarded().cloned()),
        }
    }

    /// Returns the host that the client named.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The names of this server: its domains, and the names besides loopback ones that `--dev` answers.
#[derive(Debug, Clone, Copy)]
pub struct OwnNames<'a> {
    /// The domains whose hosts name locations.
    pub domains: &'a RegistryDomains,
    /// The names that `--dev-host` adds.
    pub dev_hosts: &'a [String],
}

impl ServerUrl {
    /// Creates the addresses of a server that listens at `listen`, with the `external_url` of its settings, which may
    /// be empty.
    pub fn new(external_url: &str, scheme: &'static str, listen: SocketAddr) -> Self {
        let external = external_url.trim_end_matches('/').split_once("://");
        let external = external.map(|(scheme, host)| ExternalUrl {
            scheme: if scheme == "https" { "https" } else { "http" },
            host: host.to_ascii_lowercase(),
        });
        Self { scheme, listen, external }
    }

    /// Returns the listener's scheme, `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the listener's address and port.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns the configured URL, if there is one.
    pub fn external(&self) -> Option<String> {
        self.external.as_ref().map(|ExternalUrl { scheme, host }| format!("{scheme}://{host}"))
    }

    /// Returns the URL that is right for every client, if there is one: the configured URL, or the URL of the address
    /// that the server listens on. Without a configured URL, a server that listens on all addresses of its machine has
    /// none.
    pub fn fixed(&self) -> Option<String> {
        match self.external() {
            Some(url) => Some(url),
            None if self.listen.ip().is_unspecified() => None,
            None => Some(url_of_address(self.scheme, self.listen)),
        }
    }

    /// Returns a URL by which this machine itself reaches the server. A server that listens on all addresses is reached
    /// on the loopback address.
    pub fn on_this_machine(&self) -> String {
        self.fixed().unwrap_or_else(|| url_of_address(self.scheme, reachable(self.listen)))
    }

    /// Returns the server's URL for a client that reached this machine at `address`.
    pub fn for_address(&self, address: IpAddr) -> String {
        let here = SocketAddr::new(address.to_canonical(), self.listen.port());
        self.fixed().unwrap_or_else(|| url_of_address(self.scheme, here))
    }

    /// Returns the port that belongs behind names of the server, as `:5050`. It is empty if the configured URL has no
    /// port.
    pub fn port_suffix(&self) -> String {
        match &self.external {
            Some(ExternalUrl { host, .. }) => host[without_port(host).len()..].to_owned(),
            None => format!(":{}", self.listen.port()),
        }
    }

    /// Returns the server's URL for the sender of a request.
    pub fn for_client(&self, arrival: &RequestArrival, names: OwnNames<'_>) -> String {
        let RequestArrival { host, local, forwarded } = arrival;
        let local = local.unwrap_or_else(|| reachable(self.listen));
        let forwarded = forwarded.as_ref();
        let host = forwarded
            .and_then(|forwarded| forwarded.host.as_ref())
            .unwrap_or(host)
            .to_ascii_lowercase();
        let proxy_scheme = forwarded.and_then(|forwarded| forwarded.scheme);
        if let Some(scheme) = self.configured_scheme(&host, local, names) {
            return format!("{}://{host}", proxy_scheme.unwrap_or(scheme));
        }
        if let Some(external) = &self.external {
            return format!("{}://{}", external.scheme, external.host);
        }
        match forwarded.and_then(|forwarded| forwarded.host.as_ref()) {
            // A trusted proxy knows the name that clients use for it.
            Some(host) => format!("{}://{host}", proxy_scheme.unwrap_or(self.scheme)),
            None if self.is_local_name(&host, local, names) => {
                format!("{}://{host}", self.scheme)
            }
            None => url_of_address(self.scheme, local),
        }
    }

    /// Returns the server's URL for a challenge: the same as [`ServerUrl::for_client`], but a host of Container
    /// Registry stays as the request has it.
    pub fn for_challenge(&self, arrival: &RequestArrival, names: OwnNames<'_>) -> String {
        let forwarded = arrival.forwarded.as_ref();
        let host = forwarded.and_then(|forwarded| forwarded.host.as_ref()).unwrap_or(&arrival.host);
        if !is_container_registry_host(host) {
            return self.for_client(arrival, names);
        }
        let external_scheme =
            self.external.as_ref().map_or(self.scheme, |external| external.scheme);
        let proxy_scheme = forwarded.and_then(|forwarded| forwarded.scheme);
        format!("{}://{}", proxy_scheme.unwrap_or(external_scheme), host.to_ascii_lowercase())
    }

    /// Returns the scheme of a host that is configured, or `None` for other hosts.
    fn configured_scheme(
        &self,
        host: &str,
        local: SocketAddr,
        names: OwnNames<'_>,
    ) -> Option<&'static str> {
        if let Some(external) = self.external.as_ref().filter(|external| external.host == host) {
            return Some(external.scheme);
        }
        if !is_plain(host) {
            return None;
        }
        let location = host.contains(".localhost") && self.is_local_name(host, local, names);
        if !names.domains.are_configured_for(host) && !location {
            return None;
        }
        // The client used the listener's own port, or the port of a proxy before it.
        if port_of(host, self.scheme) == Some(local.port()) {
            return Some(self.scheme);
        }
        let external_scheme =
            self.external.as_ref().map_or(self.scheme, |external| external.scheme);
        let external = self.external.as_ref().and_then(|it| port_of(&it.host, it.scheme));
        let port = port_of(host, external_scheme)?;
        [external, port_of("", external_scheme)].contains(&Some(port)).then_some(external_scheme)
    }

    /// Returns whether a host is a local name of the address and port at which the request came in.
    fn is_local_name(&self, host: &str, local: SocketAddr, names: OwnNames<'_>) -> bool {
        let name = without_port(host);
        let is_address = name.starts_with('[') || name.parse::<IpAddr>().is_ok();
        let is_named = names.dev_hosts.iter().any(|known| known == name)
            || (local.ip().to_canonical().is_loopback() && !is_address && is_local(name, &[]));
        is_plain(host) && is_named && port_of(host, self.scheme) == Some(local.port())
    }
}

/// Returns the address at which this machine reaches a listener: loopback, if it listens on all addresses.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

/// Returns the URL of an address, without an IPv6 zone and without the `::ffff:` that a socket for both families adds
/// to IPv4 addresses: both have a meaning on this machine only.
fn url_of_address(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{}", SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn port_of(host: &str, scheme: &str) -> Option<u16> {
    match host.strip_prefix(without_port(host))?.strip_prefix(':') {
        Some(port) => port.parse().ok(),
        None if scheme == "https" => Some(443),
        None => Some(80),
    }
}

pub(super) fn is_plain(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server, and the address at which a request came in.
    #[derive(Clone, Copy)]
    struct Server {
        external_url: &'static str,
        listen: &'static str,
        local: &'static str,
    }

    fn url_for(server: Server, host: &str, forwarded: Option<ForwardedRequest>) -> String {
        let Server { external_url, listen, local } = server;
        let domains =
            RegistryDomains::new(["example.com".to_owned()], "us-west1".parse().expect("one"));
        let listen = listen.parse().expect("an address");
        let names = OwnNames { domains: &domains, dev_hosts: &["registry.test".to_owned()] };
        let local = Some(local.parse().expect("an address"));
        let arrival = RequestArrival { host: host.to_owned(), local, forwarded };
        ServerUrl::new(external_url, "http", listen).for_client(&arrival, names)
    }

    #[track_caller]
    fn check(server: Server, host: &str, expected: &str) {
        assert_eq!(url_for(server, host, None), expected, "{host}");
    }

    const HERE: Server =
        Server { external_url: "", listen: "127.0.0.1:5050", local: "127.0.0.1:5050" };
    const EVERYWHERE: Server =
        Server { external_url: "", listen: "0.0.0.0:5050", local: "10.1.2.3:5050" };
    const BOTH_FAMILIES: Server =
        Server { external_url: "", listen: "[::]:5050", local: "[::ffff:10.1.2.3]:5050" };
    const NAMED: Server = Server {
        external_url: "https://us-west1-docker.example.com:8443",
        listen: "0.0.0.0:5050",
        local: "10.1.2.3:5050",
    };

    #[test]
    fn without_a_configured_name_it_is_where_the_request_came_in() {
        for host in
            ["localhost:5050", "127.0.0.1:5050", "us-docker.localhost:5050", "registry.test:5050"]
        {
            check(HERE, host, &format!("http://{host}"));
        }
        for host in [
            "localhost",
            "localhost:3000",
            "127.0.0.1:80",
            "127.0.0.2:5050",
            "[::1]:5050",
            "0.0.0.0:5050",
            "a\"b.localhost:5050",
            "evil.example",
            "evil.example:5050",
            "localhost.evil.example:5050",
            "",
            "gcr.io",
            "www.example.com",
            "example.com.evil.example",
        ] {
            check(HERE, host, "http://127.0.0.1:5050");
            check(EVERYWHERE, host, "http://10.1.2.3:5050");
            check(BOTH_FAMILIES, host, "http://10.1.2.3:5050");
        }
        for host in ["localhost:5050", "us-docker.localhost:5050"] {
            check(EVERYWHERE, host, "http://10.1.2.3:5050");
        }
        check(
            Server { external_url: "", listen: "[::]:5050", local: "[fe80::1%2]:5050" },
            "x",
            "http://[fe80::1]:5050",
        );
        check(
            Server { external_url: "", listen: "127.0.0.1:80", local: "127.0.0.1:80" },
            "localhost",
            "http://localhost",
        );
        check(
            Server { external_url: "", listen: "[::1]:5050", local: "[::1]:5050" },
            "[::1]:5050",
            "http://[::1]:5050",
        );
    }

    #[test]
    fn a_configured_name_is_told_with_the_scheme_of_its_port() {
        for host in
            ["eu-west1-docker.example.com", "docker.eu-west1.rep.example.com", "example.com"]
        {
            check(NAMED, host, &format!("https://{host}"));
            check(NAMED, &format!("{host}:8443"), &format!("https://{host}:8443"));
            check(NAMED, &format!("{host}:5050"), &format!("http://{host}:5050"));
            check(NAMED, &format!("{host}:3000"), NAMED.external_url);
            check(HERE, host, &format!("http://{host}"));
            check(HERE, &format!("{host}:5050"), &format!("http://{host}:5050"));
        }
        check(NAMED, "US-west1-docker.EXAMPLE.com:8443", NAMED.external_url);
    }

    /// A proxy on the same machine may call the server by the address that it knows.
    #[test]
    fn the_configured_address_wins() {
        let proxied = Server {
            external_url: "https://registry.example.net",
            listen: "127.0.0.1:5050",
            local: "127.0.0.1:5050",
        };
        for host in
            ["127.0.0.1:5050", "localhost:5050", "evil.example", "", "registry.example.net:80"]
        {
            check(proxied, host, "https://registry.example.net");
        }
        check(proxied, "Registry.example.net", "https://registry.example.net");
        check(proxied, "us-docker.localhost:5050", "http://us-docker.localhost:5050");
        check(
            Server { external_url: "https://h/", listen: "127.0.0.1:1", local: "127.0.0.1:1" },
            "x",
            "https://h",
        );
    }

    #[test]
    fn a_trusted_proxy_knows_how_it_is_reached() {
        let forwarded = |scheme: Option<&'static str>, host: Option<&str>| {
            let client = IpAddr::from([192, 0, 2, 1]);
            Some(ForwardedRequest { client, scheme, host: host.map(str::to_owned) })
        };

        let both = forwarded(Some("https"), Some("r.example.org"));
        assert_eq!(url_for(EVERYWHERE, "10.1.2.3:5050", both.clone()), "https://r.example.org");
        assert_eq!(
            url_for(NAMED, "10.1.2.3:5050", both),
            NAMED.external_url,
            "the configured URL wins"
        );
        let host = forwarded(None, Some("r.example.org:5050"));
        assert_eq!(url_for(EVERYWHERE, "x", host), "http://r.example.org:5050");
        let domain = forwarded(Some("https"), Some("us-docker.example.com"));
        assert_eq!(url_for(EVERYWHERE, "x", domain), "https://us-docker.example.com");
        // Without a host from the proxy, the request's own host is not trusted either.
        assert_eq!(
            url_for(EVERYWHERE, "evil", forwarded(Some("https"), None)),
            "http://10.1.2.3:5050"
        );
    }

    #[test]
    fn who_listens_everywhere_has_no_address_by_itself() {
        let origin = |listen: &str| ServerUrl::new("", "http", listen.parse().expect("an address"));
        assert_eq!(origin("127.0.0.1:5050").fixed().as_deref(), Some("http://127.0.0.1:5050"));
        for (listen, here) in [("0.0.0.0:5050", "127.0.0.1:5050"), ("[::]:5050", "[::1]:5050")] {
            assert_eq!(origin(listen).fixed(), None);
            assert_eq!(origin(listen).on_this_machine(), format!("http://{here}"));
            assert_eq!(origin(listen).for_address([10, 0, 0, 1].into()), "http://10.0.0.1:5050");
            assert_eq!(origin(listen).port_suffix(), ":5050");
        }
    }
}
