//! The location, and sometimes the repository, that a request's Host header names.
//!
//! `us-west1-docker.DOMAIN` and `docker.us-west1.rep.DOMAIN` name a location, where DOMAIN is one of the configured
//! domains. The four hosts of Container Registry name a location and a repository. A mirror is a host, or a namespace
//! that containerd asks for, whose images are those of one repository. Any other host names the default location.

use crate::name::{
    ImagePath, Location, NameError, ProjectId, RepositoryId, RepositoryName, parse_repository_path,
};

/// The domain that is always one of ours. Every machine has a `localhost` of its own, so that the name never proves
/// that a request was meant for this server.
const LOCALHOST: &str = "localhost";

/// The domains that name locations, and the location of every other host.
#[derive(Debug, Clone)]
pub struct RegistryDomains {
    domains: Vec<String>,
    default_location: Location,
    mirrors: Vec<RegistryMirror>,
}

/// A mirror: clients name images without a project and a repository, as in the registry that is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryMirror {
    /// The name by which clients ask for the mirror.
    pub name: MirrorName,
    /// The repository whose images the mirror has.
    pub repository: RepositoryName,
}

/// The name by which clients ask for a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorName {
    /// A host of this server, in small letters and without a port.
    Host(String),
    /// The registry that is mirrored, as containerd names it in the query: `?ns=docker.io`.
    Namespace(String),
}

/// The location, and perhaps the repository, that a host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTarget {
    /// The location.
    pub location: Location,
    /// The repository, if the host is one of Container Registry's.
    pub repository: Option<RepositoryId>,
    /// The repository whose images are named without project and repository, if the request is for a mirror.
    pub mirrored: Option<RepositoryName>,
}

impl HostTarget {
    fn of_location(location: Location) -> Self {
        Self { location, repository: None, mirrored: None }
    }

    fn of_mirror(repository: &RepositoryName) -> Self {
        Self {
            mirrored: Some(repository.clone()),
            ..Self::of_location(repository.location.clone())
        }
    }

    /// Parses the path of an image in a request to this host. A mirror also takes the full path.
    ///
    /// # Errors
    /// Fails if the path names no image.
    pub fn parse_image_path(&self, path: &str) -> Result<ImagePath, NameError> {
        match &self.mirrored {
            None => ImagePath::parse(path, self.repository.as_ref()),
            Some(mirrored) => ImagePath::parse(&full_path(mirrored, path), None),
        }
    }

    /// Parses the path of a repository in a request to this host. Returns `None` if the path names an image, as every
    /// path of a mirror does.
    ///
    /// # Errors
    /// Fails if the path is no valid name.
    pub fn parse_repository_path(
        &self,
        path: &str,
    ) -> Result<Option<(ProjectId, RepositoryId)>, NameError> {
        match &self.mirrored {
            None => parse_repository_path(path, self.repository.as_ref()),
            Some(_) => Ok(None),
        }
    }

    /// Returns the full path of an image of a mirror. Other paths stay as they are.
    pub fn full_path(&self, path: &str) -> String {
        self.mirrored.as_ref().map_or_else(|| path.to_owned(), |mirrored| full_path(mirrored, path))
    }
}

fn full_path(mirrored: &RepositoryName, path: &str) -> String {
    let prefix = mirrored.path();
    match path.strip_prefix(&prefix) {
        Some(rest) if rest.starts_with('/') => path.to_owned(),
        Some(_) | None => format!("{prefix}/{path}"),
    }
}

impl RegistryDomains {
    /// Creates the set of the configured domains and `localhost`.
    pub fn new(domains: impl IntoIterator<Item = String>, default_location: Location) -> Self {
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.push(LOCALHOST.to_owned());
        Self { domains, default_location, mirrors: Vec::new() }
    }

    /// Adds mirrors.
    pub fn with_mirrors(self, mirrors: Vec<RegistryMirror>) -> Self {
        Self { mirrors, ..self }
    }

    /// Returns whether there are mirrors.
    pub fn have_mirrors(&self) -> bool {
        !self.mirrors.is_empty()
    }

    /// Returns the location of hosts that name none.
    pub fn default_location(&self) -> &Location {
        &self.default_location
    }

    /// Returns the domain in the addresses of images that the APIs show: the first configured domain, or `localhost`.
    pub fn primary(&self) -> &str {
        self.domains.first().map_or(LOCALHOST, String::as_str)
    }

    /// Returns whether a host is a configured domain, the host of a location in a configured domain, or the host of a
    /// mirror. `localhost` counts only if it was configured.
    pub fn are_configured_for(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        if self.find_mirror(&MirrorName::Host(name.clone())).is_some() {
            return true;
        }
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
        let mirrored = self.find_mirror(&MirrorName::Host(name));
        mirrored.unwrap_or_else(|| {
            HostTarget::of_location(location.unwrap_or_else(|| self.default_location.clone()))
        })
    }

    /// Returns the target of a namespace that containerd asks for, if there is a mirror of it.
    pub fn target_of_namespace(&self, namespace: &str) -> Option<HostTarget> {
        self.find_mirror(&MirrorName::Namespace(namespace.to_owned()))
    }

    fn find_mirror(&self, name: &MirrorName) -> Option<HostTarget> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.name == *name)?;
        Some(HostTarget::of_mirror(&mirror.repository))
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
    let repository = Some(name.parse().ok()?);
    Some(HostTarget { repository, ..HostTarget::of_location(location.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        let location = "us-west1".parse().expect("a location");
        let HostTarget { location, repository, .. } =
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
    fn mirrors_have_the_images_of_one_repository() {
        let repository: RepositoryName =
            "projects/example.com:p-1/locations/europe-west4/repositories/hub"
                .parse()
                .expect("one");
        let mirror = |name| RegistryMirror { name, repository: repository.clone() };
        let names = [
            MirrorName::Host("hub.example.com".to_owned()),
            MirrorName::Namespace("docker.io".to_owned()),
        ];
        let domains = RegistryDomains::new([], "us-west1".parse().expect("a location"))
            .with_mirrors(names.map(mirror).into());
        let by_host = domains.target_of("Hub.example.com:5050");
        let by_namespace = domains.target_of_namespace("docker.io").expect("a mirror");
        for target in [by_host, by_namespace] {
            assert_eq!(target.location.as_str(), "europe-west4");
            for path in ["library/alpine", "example.com/p-1/hub/library/alpine"] {
                let image = target.parse_image_path(path).expect("an image");
                assert_eq!(image.path(), "example.com/p-1/hub/library/alpine");
                assert_eq!(target.full_path(path), image.path());
            }
            assert_eq!(target.parse_image_path("alpine").expect("one").image.as_str(), "alpine");
            assert_eq!(target.parse_repository_path("example.com/p-1/hub"), Ok(None));
            assert!(target.parse_image_path("").is_err());
        }
        assert!(domains.are_configured_for("hub.example.com"));
        assert_eq!(domains.target_of_namespace("quay.io"), None);
        assert_eq!(domains.target_of("docker.io").mirrored, None, "a namespace is no host");
        assert_eq!(domains.target_of("example.com").full_path("a/b/c"), "a/b/c");
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
