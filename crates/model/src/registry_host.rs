//! The location, and sometimes the repository, that a request's Host header names.
//!
//! `us-west1-docker.DOMAIN` and `docker.us-west1.rep.DOMAIN` name a location, where DOMAIN is one of the configured
//! domains. The four hosts of Container Registry name a location and a repository. Any other host names the default
//! location.

use crate::name::{Location, RepositoryId};

/// The domain that is always one of ours. Every machine has a `localhost` of its own, so that the name never proves
/// that a request was meant for this server.
const LOCALHOST: &str = "localhost";

/// The domains that name locations, and the location of every other host.
#[derive(Debug, Clone)]
pub struct RegistryDomains {
    domains: Vec<String>,
    default_location: Location,
}

/// The location, and perhaps the repository, that a host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTarget {
    /// The location.
    pub location: Location,
    /// The repository, if the host is one of Container Registry's.
    pub repository: Option<RepositoryId>,
}

impl RegistryDomains {
    /// Creates the set of the configured domains and `localhost`.
    pub fn new(domains: impl IntoIterator<Item = String>, default_location: Location) -> Self {
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.push(LOCALHOST.to_owned());
        Self { domains, default_location }
    }

    /// Returns the location of hosts that name none.
    pub fn default_location(&self) -> &Location {
        &self.default_location
    }

    /// Returns the domain in the addresses of images that the APIs show: the first configured domain, or `localhost`.
    pub fn primary(&self) -> &str {
        self.domains.first().map_or(LOCALHOST, String::as_str)
    }

    /// Returns whether a host is a configured domain, or the host of a location in a configured domain. `localhost`
    /// counts only if it was configured.
    pub fn are_configured_for(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let set = self.domains.iter().filter(|domain| *domain != LOCALHOST);
        let mut set = set.filter(|domain| name == **domain || location_in(&name, domain).is_some());
        set.next().is_some()
    }

    /// Returns the location, and perhaps the repository, of a host. The host may have a port.
    pub fn target_of(&self, host: &str) -> HostTarget {
        let name = without_port(host).to_ascii_lowercase();
        if let Some(place) = container_registry(&name) {
            return place;
        }
        let location = self.domains.iter().find_map(|domain| location_in(&name, domain));
        HostTarget {
            location: location.unwrap_or_else(|| self.default_location.clone()),
            repository: None,
        }
    }
}

/// Returns a host without its port. An IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

/// Returns whether a host is one of the four hosts of Container Registry. A host with a port is not.
pub fn is_container_registry_host(host: &str) -> bool {
    container_registry(&host.to_ascii_lowercase()).is_some()
}

/// Returns whether a host has only characters of names, addresses and ports, so that it can be written into a challenge
/// as it is. An empty host is accepted: clients that know no name of the server send an empty Host header.
pub fn has_host_characters(host: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    host.bytes().all(is_plain)
}

/// Returns the domain of a location's host: `example.com` for `us-west1-docker.example.com`.
pub fn domain_of_location_host(host: &str) -> Option<&str> {
    let (first, rest) = without_port(host).split_once('.')?;
    let (location, domain) = match first.strip_suffix("-docker") {
        Some(location) => (location, rest),
        None if first == "docker" => rest.split_once(".rep.")?,
        None => return None,
    };
    location.parse::<Location>().ok()?;
    Some(domain)
}

fn location_in(name: &str, domain: &str) -> Option<Location> {
    let subdomain = name.strip_suffix(domain)?.strip_suffix('.')?;
    let location = match subdomain.strip_suffix("-docker") {
        Some(location) => location,
        None => subdomain.strip_prefix("docker.")?.strip_suffix(".rep")?,
    };
    location.parse().ok()
}

fn container_registry(name: &str) -> Option<HostTarget> {
    let location = match name {
        "gcr.io" | "us.gcr.io" => "us",
        "eu.gcr.io" => "europe",
        "asia.gcr.io" => "asia",
        _ => return None,
    };
    Some(HostTarget { location: location.parse().ok()?, repository: Some(name.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        let location = "us-west1".parse().expect("a location");
        let HostTarget { location, repository } =
            RegistryDomains::new(["pkg.dev".to_owned()], location).target_of(host);
        let repository = repository.map(|name| format!(" {name}")).unwrap_or_default();
        assert_eq!(format!("{location}{repository}"), expected, "{host}");
    }

    #[test]
    fn hosts() {
        check("127.0.0.1:5050", "us-west1");
        check("[::1]:5050", "us-west1");
        check("registry.example.com", "us-west1");
        check("europe-west4-docker.localhost:5050", "europe-west4");
        check("EUROPE-west4-docker.pkg.dev", "europe-west4");
        check("docker.asia-east1.rep.pkg.dev:443", "asia-east1");
        check("europe-docker.pkg.dev", "europe");
        check("europe-west4-docker.other.dev", "us-west1");
        check("europe-west4-docker.evilpkg.dev", "us-west1");
        check("x.europe-west4-docker.pkg.dev", "us-west1");
        check("-docker.pkg.dev", "us-west1");
        check("gcr.io", "us gcr.io");
        check("eu.gcr.io", "europe eu.gcr.io");
        check("", "us-west1");
        check("localhost", "us-west1");
    }

    #[test]
    fn domains_of_locations_hosts() {
        for (host, domain) in [
            ("us-west1-docker.example.com", Some("example.com")),
            ("us-west1-docker.example.com:8443", Some("example.com")),
            ("europe-docker.localhost", Some("localhost")),
            ("docker.us-west1.rep.example.com", Some("example.com")),
            ("docker.us-west1.example.com", None),
            ("docker..rep.example.com", None),
            ("registry.example.com", None),
            ("Us_West-docker.example.com", None),
            ("-docker.example.com", None),
            ("us-west1-docker", None),
            ("127.0.0.1:5050", None),
            ("[::1]:5050", None),
        ] {
            assert_eq!(domain_of_location_host(host), domain, "{host}");
        }
    }

    #[test]
    fn characters_of_hosts() {
        for host in ["", "localhost:5050", "[::1]:5050", "us-west1-docker.pkg.dev", "a_b"] {
            assert!(has_host_characters(host), "{host}");
        }
        for host in ["a\"b", "a b", "a/b", "user@host", "a,b", "\u{e9}", "a\0"] {
            assert!(!has_host_characters(host), "{host}");
        }
    }
}
