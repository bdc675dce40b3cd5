//! What the Host header says about where a repository is.
//!
//! `us-west1-docker.DOMAIN` and `docker.us-west1.rep.DOMAIN` name a location of a configured domain, the four
//! hosts of Container Registry name a location and a repository, and any other host is the default location.

use crate::name::{Location, RepositoryId};

/// The domain that everybody has, and everybody for something else.
const LOCAL: &str = "localhost";

/// The domains that name locations, and the location of every other host.
#[derive(Debug, Clone)]
pub struct Domains {
    domains: Vec<String>,
    default_location: Location,
}

/// Where a request's repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The location.
    pub location: Location,
    /// The repository, for hosts that name one.
    pub repository: Option<RepositoryId>,
}

impl Domains {
    /// `localhost` is always one of the domains.
    pub fn new(domains: impl IntoIterator<Item = String>, default_location: Location) -> Self {
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.push(LOCAL.to_owned());
        Self { domains, default_location }
    }

    /// The location of hosts that name none.
    pub fn default_location(&self) -> &Location {
        &self.default_location
    }

    /// The domain that images are shown under: the first that was configured.
    pub fn main(&self) -> &str {
        self.domains.first().map_or(LOCAL, String::as_str)
    }

    /// Whether a name is of a domain that was configured: the domain itself, or a location's host in it.
    pub fn are_set_for(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let set = self.domains.iter().filter(|domain| *domain != LOCAL);
        let mut set = set.filter(|domain| name == **domain || location_in(&name, domain).is_some());
        set.next().is_some()
    }

    /// The place that a Host header names, with or without a port.
    pub fn place(&self, host: &str) -> Place {
        let name = without_port(host).to_ascii_lowercase();
        if let Some((location, repository)) = container_registry(&name) {
            return Place { location, repository: Some(repository) };
        }
        let location = self.domains.iter().find_map(|domain| location_in(&name, domain));
        Place {
            location: location.unwrap_or_else(|| self.default_location.clone()),
            repository: None,
        }
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

/// Returns whether a host is one of the four of Container Registry, on the port of its scheme.
pub fn is_container_registry(host: &str) -> bool {
    container_registry(&host.to_ascii_lowercase()).is_some()
}

/// Whether a host has only the characters of names, addresses and ports: it is written into challenges. None at
/// all is how clients say that they know no name.
pub fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    host.bytes().all(is_plain)
}

/// The domain of a location's host: of `us-west1-docker.example.com`, that is `example.com`.
pub fn domain_of(host: &str) -> Option<&str> {
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
    let below = name.strip_suffix(domain)?.strip_suffix('.')?;
    let location = match below.strip_suffix("-docker") {
        Some(location) => location,
        None => below.strip_prefix("docker.")?.strip_suffix(".rep")?,
    };
    location.parse().ok()
}

fn container_registry(name: &str) -> Option<(Location, RepositoryId)> {
    let location = match name {
        "gcr.io" | "us.gcr.io" => "us",
        "eu.gcr.io" => "europe",
        "asia.gcr.io" => "asia",
        _ => return None,
    };
    Some((location.parse().ok()?, name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        let location = "us-west1".parse().expect("a location");
        let Place { location, repository } =
            Domains::new(["pkg.dev".to_owned()], location).place(host);
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
            assert_eq!(domain_of(host), domain, "{host}");
        }
    }

    #[test]
    fn what_a_host_is_made_of() {
        for host in ["", "localhost:5050", "[::1]:5050", "us-west1-docker.pkg.dev", "a_b"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["a\"b", "a b", "a/b", "user@host", "a,b", "\u{e9}", "a\0"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
