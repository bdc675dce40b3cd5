//! The hosts that give tokens for credentials of other registries (the setting `egress.token_hosts`).
//!
//! A registry names the place where tokens are, and a registry that was broken into could name any. So credentials go
//! to the registry's own origin, to the places below, and to those that the operator lists.

use model::registry_host::has_host_characters;

use crate::egress::Url;

/// The registries whose tokens are known to be at another origin, each with that origin.
const KNOWN: [TokenPlace; 2] = [
    TokenPlace { registry: "https://registry-1.docker.io", tokens: "https://auth.docker.io" },
    TokenPlace { registry: "https://registry.gitlab.com", tokens: "https://gitlab.com" },
];

/// A registry, and the origin where its tokens are.
struct TokenPlace {
    registry: &'static str,
    tokens: &'static str,
}

/// The hosts of the setting.
#[derive(Debug, Default)]
pub(crate) struct TokenHosts(Vec<TokenHost>);

/// One entry, as `auth.example.com` or `auth.example.com:8443`.
#[derive(Debug)]
struct TokenHost {
    host: String,
    /// The port; `None` stands for the usual one of the scheme.
    port: Option<u16>,
}

impl TokenHosts {
    /// Parses the entries. An error names the entry that is wrong.
    pub(crate) fn new(entries: &[String]) -> anyhow::Result<Self> {
        let parse = |entry: &String| {
            parse(entry).ok_or_else(|| {
                anyhow::anyhow!(
                    "egress.token_hosts: {entry:?} is no host name, alone or with :PORT"
                )
            })
        };
        entries.iter().map(parse).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Returns whether the credentials of a registry may be sent to the place where it says that tokens are.
    pub(super) fn may_get_credentials(&self, registry: &Url, place: &Url) -> bool {
        if registry.origin() == place.origin() {
            return true;
        }
        if place.scheme() != "https" && place.scheme() != registry.scheme() {
            return false;
        }
        let origin = |url: &Url| url.origin().ascii_serialization();
        let (from, to) = (origin(registry), origin(place));
        let is_known = KNOWN.iter().any(|known| known.registry == from && known.tokens == to);
        is_known || self.0.iter().any(|listed| listed.is_host_of(place))
    }
}

impl TokenHost {
    fn is_host_of(&self, place: &Url) -> bool {
        let usual = match place.scheme() {
            "https" => 443,
            _ => 80,
        };
        place.host_str().is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && place.port_or_known_default() == Some(self.port.unwrap_or(usual))
    }
}

fn parse(entry: &str) -> Option<TokenHost> {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (entry, None),
    };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty()
        && has_host_characters(host)
        && (is_bracketed || !host.contains([':', '[', ']']));
    is_host.then(|| TokenHost { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entries: &[&str], registry: &str, place: &str, expected: bool) {
        let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
        let hosts = TokenHosts::new(&entries).expect("valid");
        let url = |text: &str| Url::parse(text).expect("a URL");
        let may = hosts.may_get_credentials(&url(registry), &url(place));
        assert_eq!(may, expected, "{entries:?} {registry} {place}");
    }

    #[test]
    fn credentials_go_to_the_registry_itself() {
        check(&[], "https://a.test/v2/x", "https://a.test/token", true);
        check(&[], "https://a.test/v2/x", "https://A.TEST:443/token", true);
        for other in [
            "https://a.test:444/",
            "http://a.test/",
            "https://b.a.test/",
            "https://a.test.b/",
            "https://a.test@b/",
        ] {
            check(&[], "https://a.test/v2/x", other, false);
        }
    }

    #[test]
    fn known_places_are_those_of_one_registry() {
        let hub = "https://registry-1.docker.io/v2/x";
        check(&[], hub, "https://auth.docker.io/token", true);
        check(&[], hub, "http://auth.docker.io/token", false);
        check(&[], hub, "https://auth.docker.io.evil.test/token", false);
        check(&[], "https://a.test/v2/x", "https://auth.docker.io/token", false);
        check(&[], "http://registry-1.docker.io/v2/x", "https://auth.docker.io/token", false);
        check(&[], "https://registry.gitlab.com/v2/x", "https://gitlab.com/jwt/auth", true);
    }

    #[test]
    fn the_operator_lists_others() {
        let listed = ["auth.test", "ports.test:8443", "[::1]:9"];
        check(&listed, "https://a.test", "https://auth.test/token", true);
        check(&listed, "https://a.test", "https://AUTH.test/token", true);
        check(&listed, "https://a.test", "https://auth.test:8443/token", false);
        check(&listed, "https://a.test", "https://ports.test:8443/token", true);
        check(&listed, "https://a.test", "https://ports.test/token", false);
        check(&listed, "https://a.test", "https://[::1]:9/token", true);
        check(&listed, "https://a.test", "https://x.auth.test/token", false);
        check(&listed, "https://a.test", "http://auth.test/token", false);
        check(&listed, "http://a.test", "http://auth.test/token", true);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for entry in ["", ":80", "a b", "host:port", "https://a", "a/b", "::1", "host:65536"] {
            let error = TokenHosts::new(&["a".to_owned(), entry.to_owned()]).expect_err(entry);
            assert!(
                error.to_string().contains(&format!("egress.token_hosts: {entry:?}")),
                "{error}"
            );
        }
    }
}
