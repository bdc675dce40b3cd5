//! The headers in which proxies describe a request's client: `Forwarded` (RFC 7239) and `X-Forwarded-…`.
//!
//! The headers are believed only from proxies that the operator named, because everybody can send them. Each proxy adds
//! on the right. The client's address is the one that the leftmost trusted proxy saw; entries to the left of it are the
//! client's own claims.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use model::registry_host::has_host_characters;

use crate::units::NetworkSetting;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The longest host in bytes that is believed.
const MAX_HOST_BYTES: usize = 255;

/// The statements of a trusted proxy about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// The client's address.
    pub client: IpAddr,
    /// The scheme that the client used, if the proxy states it.
    pub scheme: Option<&'static str>,
    /// The host that the client named, if the proxy states it.
    pub host: Option<String>,
}

/// The error for a proxy that sent both kinds of headers, with different statements. One kind is the client's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContradictingHeaders;

/// One proxy's statements about one request.
#[derive(Debug, Default)]
struct ProxyHop {
    address: String,
    scheme: String,
    host: String,
}

impl ForwardedRequest {
    /// Reads the statements of the proxy at `peer`. Returns `None` if `peer` is none of `proxies`, or states nothing.
    ///
    /// # Errors
    /// Fails where the two kinds of headers contradict each other.
    pub fn read(
        peer: IpAddr,
        headers: &HeaderMap,
        proxies: &[NetworkSetting],
    ) -> Result<Option<Self>, ContradictingHeaders> {
        let is_trusted = |address| proxies.iter().any(|network| network.contains(address));
        if !is_trusted(peer) {
            return Ok(None);
        }
        let forwarded = forwarded_hops(headers);
        let forwarded = forwarded.map(|hops| Self::of(peer, &hops, is_trusted));
        let x_forwarded = x_forwarded_hops(headers).map(|hops| Self::of(peer, &hops, is_trusted));
        match (forwarded, x_forwarded) {
            (Some(one), Some(other)) => one.agreed(other).map(Some).ok_or(ContradictingHeaders),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// Follows the hops from the right as far as they are trusted.
    fn of(peer: IpAddr, hops: &[ProxyHop], is_trusted: impl Fn(IpAddr) -> bool) -> Self {
        let mut found = Self { client: peer.to_canonical(), scheme: None, host: None };
        for hop in hops.iter().rev() {
            // If a proxy does not state the scheme or the host, the statement of the proxy to the right of it stays.
            found.scheme = scheme(&hop.scheme).or(found.scheme);
            found.host = host(&hop.host).or(found.host);
            match address(&hop.address) {
                Some(address) => found.client = address,
                None => break,
            }
            if !is_trusted(found.client) {
                break;
            }
        }
        found
    }

    /// Returns the statements of both kinds of headers together, unless they contradict each other.
    fn agreed(self, other: Self) -> Option<Self> {
        fn one<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<Option<T>> {
            match (a, b) {
                (Some(a), Some(b)) if a != b => None,
                (a, b) => Some(a.or(b)),
            }
        }
        let scheme = one(self.scheme, other.scheme)?;
        let host = one(self.host, other.host)?;
        (self.client == other.client).then_some(Self { client: self.client, scheme, host })
    }
}

/// Returns the hops of `X-Forwarded-…`. The three lists belong together only if they have one length: many proxies add
/// to `X-Forwarded-For`, and replace the other two.
fn x_forwarded_hops(headers: &HeaderMap) -> Option<Vec<ProxyHop>> {
    let list = |name: &HeaderName| -> Vec<String> {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).map(|entry| entry.trim().to_owned()).collect()
    };
    let (addresses, schemes, hosts) = (list(&FOR), list(&PROTO), list(&HOST));
    if addresses.is_empty() && schemes.is_empty() && hosts.is_empty() {
        return None;
    }
    let count = addresses.len().max(1);
    let at = |list: &[String], index: usize| {
        let aligned = list.len() == count;
        // A list of another length has at its end the statement of the last proxy.
        let found =
            if aligned { list.get(index) } else { list.last().filter(|_| index + 1 == count) };
        found.cloned().unwrap_or_default()
    };
    let hop = |index| ProxyHop {
        address: at(&addresses, index),
        scheme: at(&schemes, index),
        host: at(&hosts, index),
    };
    Some((0..count).map(hop).collect())
}

/// Returns the hops of `Forwarded`.
fn forwarded_hops(headers: &HeaderMap) -> Option<Vec<ProxyHop>> {
    let lines = headers.get_all(FORWARDED).iter().filter_map(|line| line.to_str().ok());
    let hops: Vec<ProxyHop> =
        lines.flat_map(|line| split(line, ',')).map(|element| hop(&element)).collect();
    (!hops.is_empty()).then_some(hops)
}

fn hop(element: &str) -> ProxyHop {
    let mut hop = ProxyHop::default();
    for pair in split(element, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = unquoted(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.address = value,
            "proto" => hop.scheme = value,
            "host" => hop.host = value,
            _ => {}
        }
    }
    hop
}

/// Splits a text at the separators that are outside of quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for letter in text.chars() {
        let ends = letter == separator && !quoted;
        if ends {
            parts.push(String::new());
            continue;
        }
        (quoted, escaped) = match letter {
            '"' if !escaped => (!quoted, false),
            '\\' if quoted && !escaped => (true, true),
            _ => (quoted, false),
        };
        parts.last_mut().expect("there is always one").push(letter);
    }
    parts
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut letters = inner.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        text.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    text
}

/// Returns the address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let alone = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    let found = alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    found.map(|address| address.to_canonical())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn host(text: &str) -> Option<String> {
    let plausible = (1..=MAX_HOST_BYTES).contains(&text.len()) && has_host_characters(text);
    plausible.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn read(
        peer: &str,
        lines: &[(&str, &str)],
    ) -> Result<Option<ForwardedRequest>, ContradictingHeaders> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let proxies = ["10.0.0.0/8".parse().expect("a network")];
        ForwardedRequest::read(peer.parse().expect("an address"), &headers, &proxies)
    }

    /// Compares the statements that are believed, as `CLIENT SCHEME HOST` with `-` for a missing one.
    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: &str) {
        let statements = match read(PROXY, lines) {
            Err(ContradictingHeaders) => "contradiction".to_owned(),
            Ok(None) => "nothing".to_owned(),
            Ok(Some(ForwardedRequest { client, scheme, host })) => {
                format!("{client} {} {}", scheme.unwrap_or("-"), host.as_deref().unwrap_or("-"))
            }
        };
        assert_eq!(statements, expected, "{lines:?}");
    }

    #[test]
    fn who_is_not_trusted_says_nothing() {
        let lines = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "host=evil.example")];
        for peer in ["11.0.0.1", "127.0.0.1", "::1", "192.0.2.1"] {
            assert_eq!(read(peer, &lines), Ok(None), "{peer}");
        }
        let mapped = read("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]);
        assert_eq!(
            mapped.map(|statements| statements.map(|statements| statements.client)),
            Ok("192.0.2.1".parse().ok())
        );
    }

    #[test]
    fn the_usual_headers() {
        let (address, proto, host) = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host");
        check(&[], "nothing");
        check(&[(address, "192.0.2.1")], "192.0.2.1 - -");
        check(&[(address, "192.0.2.1:4711")], "192.0.2.1 - -");
        check(&[(address, "[2001:db8::1]:4711")], "2001:db8::1 - -");
        check(&[(address, "2001:db8::1")], "2001:db8::1 - -");
        check(&[(proto, "https")], "10.0.0.1 https -");
        check(
            &[(proto, "HTTPS"), (host, "Registry.example.com")],
            "10.0.0.1 https registry.example.com",
        );
        check(&[(proto, "gopher"), (host, "a b")], "10.0.0.1 - -");
        // What the client sent itself stands to the left of what the proxy saw.
        check(&[(address, "203.0.113.9, 192.0.2.1"), (proto, "https")], "192.0.2.1 https -");
        check(&[(address, "203.0.113.9"), (address, "192.0.2.1")], "192.0.2.1 - -");
        check(
            &[(address, "203.0.113.9, 192.0.2.1"), (proto, "http, https"), (host, "evil, good")],
            "192.0.2.1 https good",
        );
        // Several trusted proxies.
        check(
            &[(address, "203.0.113.9, 192.0.2.1, 10.0.0.2"), (proto, "http, https, http")],
            "192.0.2.1 https -",
        );
        check(&[(address, "192.0.2.1, 10.0.0.2"), (host, "good")], "192.0.2.1 - good");
        check(&[(address, "10.0.0.3, 10.0.0.2")], "10.0.0.3 - -");
        check(&[(address, "192.0.2.1, unknown")], "10.0.0.1 - -");
        check(&[(address, "")], "10.0.0.1 - -");
    }

    #[test]
    fn the_standard_header() {
        check(&[("forwarded", "for=192.0.2.1;proto=https;host=h:8443")], "192.0.2.1 https h:8443");
        check(&[("forwarded", "For=\"[2001:db8::1]:4711\"; Proto=http")], "2001:db8::1 http -");
        check(&[("forwarded", "for=203.0.113.9;host=evil, for=192.0.2.1;host=h")], "192.0.2.1 - h");
        check(
            &[("forwarded", "for=192.0.2.1;host=h;proto=https"), ("forwarded", "for=10.0.0.2")],
            "192.0.2.1 https h",
        );
        check(&[("forwarded", "for=\"a\\\",for=203.0.113.9;b\";proto=https")], "10.0.0.1 https -");
        check(&[("forwarded", "for=_hidden;proto=https")], "10.0.0.1 https -");
        check(&[("forwarded", "for=unknown, for=10.0.0.2")], "10.0.0.2 - -");
        check(&[("forwarded", "host=\"a\\b\"")], "10.0.0.1 - ab");
    }

    #[test]
    fn both_kinds_have_to_agree() {
        let x_forwarded = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        let with = |forwarded| [&x_forwarded[..], &[("forwarded", forwarded)]].concat();
        check(&with("for=192.0.2.1"), "192.0.2.1 https -");
        check(&with("for=192.0.2.1;host=h"), "192.0.2.1 https h");
        check(&with("for=203.0.113.9"), "contradiction");
        check(&with("for=192.0.2.1;proto=http"), "contradiction");
        check(&with("host=evil"), "contradiction");
    }
}
