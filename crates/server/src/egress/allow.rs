//! Lists of targets in the settings: those of `egress.allow`, which the operator opens though they are not public or not
//! encrypted, and those of `egress.no_proxy`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use model::registry_host::has_host_characters;

/// A list of targets.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList(Vec<AllowEntry>);

/// One entry, as `10.0.0.0/8`, `10.1.2.3`, `[fd00::1]:8080`, `hooks.internal`, `hooks.internal:8080` or `*.internal`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowEntry {
    destination: Destination,
    /// The port; `None` stands for every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Network(IpNet),
    /// A host name, whatever its addresses are.
    Name(String),
    /// All host names that end so, beginning with a dot.
    NamesBelow(String),
}

impl Destination {
    fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Name(allowed) => name.eq_ignore_ascii_case(allowed),
            Self::NamesBelow(end) => name.to_ascii_lowercase().ends_with(end),
        }
    }

    fn has_address(&self, ip: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&ip),
            Self::Name(_) | Self::NamesBelow(_) => false,
        }
    }
}

impl AllowList {
    /// Parses the entries of a setting. An error names the setting and the entry that is wrong.
    pub(crate) fn new(setting: &str, entries: &[String]) -> anyhow::Result<Self> {
        let parse = |entry: &String| {
            let parsed = entry.parse();
            parsed.map_err(|()| {
                anyhow::anyhow!(
                    "{setting}: {entry:?} is no network, address or host name, alone or with :PORT"
                )
            })
        };
        entries.iter().map(parse).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Adds the loopback addresses of this machine.
    #[must_use]
    pub(crate) fn and_loopback(mut self) -> Self {
        let networks = ["127.0.0.0/8", "::1/128"];
        let entry = |net: &str| AllowEntry {
            destination: Destination::Network(net.parse().expect("a network")),
            port: None,
        };
        self.0.extend(networks.map(entry));
        self
    }

    /// Returns whether an entry opens this port of an address. `name` is the host name that resolved to the address, or
    /// empty.
    pub(super) fn opens(&self, name: &str, ip: IpAddr, port: u16) -> bool {
        self.has(port, |target| target.has_address(ip) || target.has_name(name))
    }

    /// Returns whether an entry names this port of a host.
    pub(super) fn names(&self, name: &str, port: u16) -> bool {
        self.has(port, |target| target.has_name(name))
    }

    fn has(&self, port: u16, is_target: impl Fn(&Destination) -> bool) -> bool {
        self.0.iter().any(|entry| {
            is_target(&entry.destination) && entry.port.is_none_or(|allowed| allowed == port)
        })
    }
}

impl FromStr for AllowEntry {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = match text.rsplit_once(':') {
            // A colon within an IPv6 address without brackets does not separate a port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(drop)?))
            }
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let destination = if let Ok(network) = host.parse::<IpNet>() {
            Destination::Network(network.trunc())
        } else if let Ok(ip) = host.parse::<IpAddr>() {
            Destination::Network(ip.into())
        } else if let Some(domain) = host.strip_prefix("*.").filter(|domain| is_host(domain)) {
            Destination::NamesBelow(format!(".{}", domain.to_ascii_lowercase()))
        } else if is_host(host) {
            Destination::Name(host.to_owned())
        } else {
            return Err(());
        };
        Ok(Self { destination, port })
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && has_host_characters(text) && !text.contains([':', '[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn opens(entry: &str, name: &str, ip: &str, port: u16) -> bool {
        let allow = AllowList::new("egress.allow", &[entry.to_owned()]).expect("an entry");
        allow.opens(name, ip.parse().expect("an address"), port)
    }

    #[test]
    fn an_entry_opens_its_targets() {
        assert!(opens("10.0.0.0/8", "", "10.255.0.1", 80));
        assert!(opens("10.1.2.3/8", "", "10.255.0.1", 80));
        assert!(!opens("10.0.0.0/8", "", "11.0.0.1", 80));
        assert!(!opens("10.0.0.0/8:443", "", "10.0.0.1", 80));
        assert!(opens("10.0.0.0/8:443", "", "10.0.0.1", 443));
        assert!(opens("127.0.0.1", "localhost", "127.0.0.1", 9));
        assert!(!opens("127.0.0.1", "", "127.0.0.2", 9));
        assert!(!opens("127.0.0.1:8080", "", "127.0.0.1", 9));
        assert!(opens("::1", "", "::1", 9));
        assert!(opens("[::1]:8080", "", "::1", 8080));
        assert!(!opens("[::1]:8080", "", "::1", 9));
        assert!(opens("fd00::/8", "", "fd12::1", 9));
        assert!(opens("[fd00::/8]:9", "", "fd12::1", 9));
        assert!(opens("hooks.internal", "hooks.internal", "10.0.0.1", 9));
        assert!(opens("hooks.internal", "HOOKS.internal", "10.0.0.1", 9));
        assert!(!opens("hooks.internal", "a.hooks.internal", "10.0.0.1", 9));
        assert!(!opens("hooks.internal", "", "10.0.0.1", 9));
        assert!(!opens("hooks.internal:8080", "hooks.internal", "10.0.0.1", 9));
        assert!(opens("*.internal", "a.hooks.Internal", "10.0.0.1", 9));
        assert!(!opens("*.internal", "internal", "10.0.0.1", 9));
        assert!(!opens("*.internal", "notinternal", "10.0.0.1", 9));
        assert!(!opens("*.internal:8080", "hooks.internal", "10.0.0.1", 9));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for entry in [
            "",
            ":80",
            "a b",
            "10.0.0.0/33",
            "host:port",
            "host:",
            "http://host",
            "[::1",
            "a/b",
            "host:65536",
            "*",
            "*.",
            "a.*.b",
        ] {
            let entries = ["::1".to_owned(), entry.to_owned()];
            let error = AllowList::new("egress.allow", &entries).expect_err(entry);
            assert!(error.to_string().contains(&format!("egress.allow: {entry:?}")), "{error}");
        }
    }
}
