//! Checks of values that parse, but cannot work. Each check returns the problem of one value.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use model::locations::LOCATIONS;
use model::name::{Location, RepositoryName};
use model::principal::{PolicyMember, UserEmail};
use model::registry_host::{
    MirrorName, RegistryMirror, domain_of_location_host, has_host_characters,
};

use super::SettingProblem;
use super::settings::{MirrorSettings, SessionSettings};

/// The most characters of a DNS name.
const MAX_NAME_LENGTH: usize = 253;
/// The most characters that a location's prefix, as `northamerica-northeast1-docker.`, takes before a domain.
const MAX_LOCATION_LENGTH: usize = 40;

/// Checks the URL by which clients reach the server: `https://HOST` or `http://HOST`, with or without a port. Empty is
/// allowed.
pub(super) fn external_url(url: &str) -> Result<(), String> {
    if url.is_empty() {
        return Ok(());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("{url:?} has no scheme: write \"https://{url}\""));
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        // The text before the @ may be a password, so the message does not repeat it.
        return Err(
            "has a user name or a password in it, and all clients are told this URL".to_owned()
        );
    }
    if !["http", "https"].contains(&scheme) {
        return Err(format!("{url:?} begins with {scheme}://, and not with https:// or http://"));
    }
    let without_path = format!("{scheme}://{authority}");
    if path.contains('?') {
        return Err(format!("{url:?} has a query: write {without_path:?}"));
    }
    if path.contains('#') {
        return Err(format!("{url:?} has a fragment: write {without_path:?}"));
    }
    if !path.trim_matches('/').is_empty() {
        return Err(format!(
            "{url:?} has a path, and clients ask for /v2/ at the root of a host: write {without_path:?}"
        ));
    }
    self::authority(authority).map_err(|problem| format!("{url:?} {problem}"))
}

fn authority(text: &str) -> Result<(), String> {
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return Err(format!("has an IPv6 address, which must be in brackets: [{text}]"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if let Some(port) = port {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !port.parse().is_ok_and(|port: u16| port > 0) {
            return Err(format!("has {port:?} where a port belongs"));
        }
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(host) => {
            let address: Result<Ipv6Addr, _> = host.parse();
            Some(IpAddr::V6(address.map_err(|_| format!("has no address in {text:?}"))?))
        }
        None => host.parse().ok(),
    };
    match address {
        Some(address) if address.is_unspecified() || address.is_multicast() => {
            Err(format!("names {address}, which is the address of no machine"))
        }
        Some(_) => Ok(()),
        None => host_name(host).map_err(|problem| format!("has a host that {problem}")),
    }
}

/// Checks an entry of `domains`, which has a host for each location: `us-east1-docker.DOMAIN`.
pub(super) fn domain(text: &str) -> Result<(), String> {
    let problem = if text.contains("://") || text.contains('/') {
        Some("is a URL: write the name alone".to_owned())
    } else if let Some(domain) = text.strip_prefix("*.") {
        Some(format!("has a wildcard, which is not needed: write {domain:?}"))
    } else if text.parse::<IpAddr>().is_ok() || text.starts_with('[') {
        Some("is an address: below it there are no names of locations".to_owned())
    } else if text.contains(':') {
        Some("has a port: write the name alone".to_owned())
    } else if let Some(domain) = domain_of_location_host(text) {
        Some(format!("is the host of a location: its domain is {domain:?}"))
    } else if text.len() > MAX_NAME_LENGTH - MAX_LOCATION_LENGTH {
        Some("is too long for a location's name to stand before it".to_owned())
    } else {
        host_name(text).err().map(str::to_owned)
    };
    problem.map_or(Ok(()), |problem| Err(format!("{text:?} {problem}")))
}

/// Checks the name of a host, by RFC 1123.
fn host_name(text: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    if text.is_empty() {
        Err("is empty")
    } else if !text.is_ascii() {
        Err("is not in ASCII: write the form that begins with xn--")
    } else if text.len() > MAX_NAME_LENGTH || !text.split('.').all(is_label) {
        Err("is no name of a host: letters, digits and dashes, with dots between")
    } else if last.bytes().all(|byte| byte.is_ascii_digit()) {
        Err("is neither a name nor an address: only an address ends in a number")
    } else {
        Ok(())
    }
}

/// Checks the location of hosts that name none.
pub(super) fn location(text: &str) -> Result<(), String> {
    match text.parse::<Location>() {
        Err(error) => Err(format!("{text:?} is no location: {error}")),
        Ok(_) if !LOCATIONS.contains(&text) => {
            let is_near = |known: &&&str| known.split('-').next() == text.split('-').next();
            let near: Vec<_> = LOCATIONS.iter().filter(is_near).copied().collect();
            let near = if near.is_empty() { vec!["us-west1", "europe-west4"] } else { near };
            Err(format!(
                "{text:?} is no location of Artifact Registry; examples are {}",
                near.join(", ")
            ))
        }
        Ok(_) => Ok(()),
    }
}

/// The most members of `admins`: each has several roles, and a policy has room for 1,500 members.
const MAX_ADMINS: usize = 100;

/// Reads the administrators, each only once.
pub(super) fn admins(settings: &[String]) -> Result<Vec<PolicyMember>, String> {
    if settings.len() > MAX_ADMINS {
        return Err(format!("names more than {MAX_ADMINS} members"));
    }
    let mut admins = Vec::new();
    for text in settings {
        let member = match text.split_once(':') {
            Some(("user", email)) => email.parse::<UserEmail>().map(|email| email.member()),
            _ => text.parse::<PolicyMember>(),
        };
        match member.map_err(|error| format!("{text:?}: {error}"))? {
            member @ (PolicyMember::User(_) | PolicyMember::ServiceAccount(_)) => {
                if !admins.contains(&member) {
                    admins.push(member);
                }
            }
            PolicyMember::Group(_)
            | PolicyMember::Domain(_)
            | PolicyMember::AllUsers
            | PolicyMember::AllAuthenticatedUsers => {
                return Err(format!(
                    "{text:?} is not one person or service account: write user:EMAIL or serviceAccount:EMAIL"
                ));
            }
        }
    }
    Ok(admins)
}

/// Checks the lengths of sessions.
pub(super) fn sessions(settings: SessionSettings) -> Result<(), SettingProblem> {
    let (idle, lifetime) = (settings.idle.get(), settings.lifetime.get());
    // A use is written down once a minute, so that a session may look unused for a minute too long.
    if idle < Duration::from_secs(300) {
        let text = "must be at least 5m".to_owned();
        Err(SettingProblem { key: "sessions.idle", text })
    } else if lifetime < idle || lifetime > Duration::from_secs(90 * 24 * 3600) {
        let text = "must be between sessions.idle and 90d".to_owned();
        Err(SettingProblem { key: "sessions.lifetime", text })
    } else {
        Ok(())
    }
}

/// Reads the mirrors. Each has a host or a namespace, which no other one has.
pub(super) fn mirrors(settings: &[MirrorSettings]) -> Result<Vec<RegistryMirror>, String> {
    let mut mirrors: Vec<RegistryMirror> = Vec::new();
    for MirrorSettings { host, ns, repository } in settings {
        let name = match (host.as_str(), ns.as_str()) {
            ("", "") => return Err("needs a host or an ns".to_owned()),
            (host, "") => {
                domain(host).map_err(|problem| format!("host {problem}"))?;
                MirrorName::Host(host.to_ascii_lowercase())
            }
            ("", ns) if has_host_characters(ns) => MirrorName::Namespace(ns.to_owned()),
            ("", ns) => return Err(format!("ns {ns:?} is no registry, such as \"docker.io\"")),
            (_, _) => return Err("has a host and an ns: write two mirrors".to_owned()),
        };
        let Ok(repository) = repository.parse::<RepositoryName>() else {
            return Err(format!(
                "repository {repository:?} is no repository: write \"projects/P/locations/L/repositories/R\""
            ));
        };
        if mirrors.iter().any(|mirror| mirror.name == name) {
            return Err(format!("{host}{ns} has two repositories"));
        }
        mirrors.push(RegistryMirror { name, repository });
    }
    Ok(mirrors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcome: Result<(), String>, expected: &str) {
        let said = outcome.err().unwrap_or_default();
        let right = if expected.is_empty() { said.is_empty() } else { said.contains(expected) };
        assert!(right, "{said:?} instead of {expected:?}");
    }

    #[test]
    fn mirrors_have_one_name_and_one_repository() {
        let repository = "projects/p-1/locations/us-west1/repositories/r";
        let check_mirrors = |named: &[(&str, &str, &str)], expected: &str| {
            let settings = named.iter().map(|(host, ns, repository)| MirrorSettings {
                host: (*host).to_owned(),
                ns: (*ns).to_owned(),
                repository: (*repository).to_owned(),
            });
            check(mirrors(&settings.collect::<Vec<_>>()).map(drop), expected);
        };
        let good = [
            ("hub.example.com", "", repository),
            ("", "docker.io", repository),
            ("", "registry.example.com:5000", repository),
        ];
        check_mirrors(&good, "");
        check_mirrors(&[], "");
        check_mirrors(&[("", "", repository)], "needs a host or an ns");
        check_mirrors(&[("hub.example.com", "docker.io", repository)], "write two mirrors");
        check_mirrors(&[("https://hub.example.com", "", repository)], "host ");
        check_mirrors(&[("", "docker.io/library", repository)], "is no registry");
        check_mirrors(&[("", "docker.io", "p-1/r")], "is no repository");
        let twice = [("", "docker.io", repository), ("", "docker.io", repository)];
        check_mirrors(&twice, "docker.io has two repositories");
    }

    #[test]
    fn external_urls() {
        for good in [
            "",
            "https://registry.example.com",
            "https://registry.example.com/",
            "https://Registry.example.com:8443",
            "http://localhost:5050",
            "http://127.0.0.1:5050",
            "https://[2001:db8::1]:5050",
            "https://[2001:db8::1]",
            "http://registry",
        ] {
            check(external_url(good), "");
        }
        for (url, problem) in [
            ("registry.example.com", "write \"https://registry.example.com\""),
            ("registry.example.com:5050", "has no scheme"),
            ("//registry.example.com", "has no scheme"),
            ("ftp://registry.example.com", "ftp://"),
            ("HTTPS://registry.example.com", "https://"),
            ("https://registry.example.com/reg", "has a path"),
            ("https://registry.example.com/reg/", "write \"https://registry.example.com\""),
            ("https://registry.example.com/v2/", "has a path"),
            ("https://registry.example.com?a=b", "has a query"),
            ("https://registry.example.com/?", "has a query"),
            ("https://registry.example.com/#a", "has a fragment"),
            ("https://user:pass@registry.example.com", "user name"),
            ("https://", "is empty"),
            ("https:///", "is empty"),
            ("https://:5050", "is empty"),
            ("https://registry.example.com:", "where a port belongs"),
            ("https://registry.example.com:0", "where a port belongs"),
            ("https://registry.example.com:+80", "where a port belongs"),
            ("https://registry.example.com:65536", "where a port belongs"),
            ("https://registry.example.com:https", "where a port belongs"),
            ("https://0.0.0.0:5050", "of no machine"),
            ("https://[::]:5050", "of no machine"),
            ("https://2001:db8::1", "[2001:db8::1]"),
            ("https://[registry]", "no address"),
            ("https://registry_1.example.com", "is no name of a host"),
            ("https://registry.example.com.", "is no name of a host"),
            ("https://regi stry", "is no name of a host"),
            ("https://*.example.com", "is no name of a host"),
            ("https://b\u{fc}cher.example", "xn--"),
            ("https://10.0.0.256", "only an address ends in a number"),
        ] {
            check(external_url(url), problem);
        }
        let said = external_url("https://user:pass@host").expect_err("a password");
        assert!(!said.contains("pass@"), "{said}");
    }

    #[test]
    fn domains() {
        for good in ["example.com", "Example.com", "berth.test", "test", "localhost", "pkg.dev"] {
            check(domain(good), "");
        }
        for (text, problem) in [
            ("https://example.com", "is a URL"),
            ("example.com/", "is a URL"),
            ("*.example.com", "write \"example.com\""),
            ("example.com:5050", "has a port"),
            ("10.0.0.1", "is an address"),
            ("[::1]", "is an address"),
            ("::1", "is an address"),
            ("us-west1-docker.example.com", "its domain is \"example.com\""),
            ("docker.us-west1.rep.example.com", "its domain is \"example.com\""),
            (".example.com", "is no name"),
            ("example.com.", "is no name"),
            ("a b", "is no name"),
            ("", "is empty"),
            ("user@example.com", "is no name"),
            ("b\u{fc}cher.example", "xn--"),
        ] {
            check(domain(text), problem);
        }
        check(domain(&vec!["a"; 110].join(".")), "too long");
    }

    #[test]
    fn default_locations() {
        for good in ["us-west1", "europe", "europe-west12"] {
            check(location(good), "");
        }
        check(location("mars"), "us-west1");
        check(location("europe-west7"), "europe-west4");
        check(location("US-WEST1"), "is no location");
        check(location("us-west1-a"), "is no location of Artifact Registry");
        check(location(""), "is no location");
        check(location("https://example.com"), "is no location");
    }
}
