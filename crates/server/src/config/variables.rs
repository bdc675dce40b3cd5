//! Environment variables: tells those that are settings from those that Kubernetes injects.

use super::KEYS;

/// The first letters of the name of every variable that is a setting.
const PREFIX: &str = "BERTH_";

/// Names that people expect, each with the key that they mean.
const SYNONYMS: [(&str, &str); 5] = [
    ("PORT", "listen"),
    ("HOST", "listen"),
    ("ADDRESS", "listen"),
    ("URL", "external_url"),
    ("HOSTNAME", "external_url"),
];

/// Returns the variable that overrides a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "_"))
}

/// Returns the key that a variable overrides.
pub(super) fn key_of(name: &str) -> Option<&'static str> {
    KEYS.iter().copied().find(|key| variable_of(key) == name)
}

/// Returns whether Kubernetes injects a variable like this into the pods beside a Service whose name begins with
/// `berth`, as `BERTH_SERVICE_HOST`, `BERTH_PORT=tcp://…` or `BERTH_WEB_PORT_80_TCP_ADDR`.
pub(super) fn is_from_kubernetes(name: &str, value: &str) -> bool {
    // The Service `berth` itself has nothing between BERTH and the endings below.
    let Some(name) = name.strip_prefix("BERTH") else { return false };
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") {
        return true;
    }
    if let Some((_, port)) = name.split_once("_SERVICE_PORT_") {
        return !port.is_empty();
    }
    // Only the value tells this variable from one that a person might set.
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if name.ends_with("_PORT") && is_url {
        return true;
    }
    // The Service's name may hold `_PORT_` too, so every occurrence is tried.
    name.match_indices("_PORT_").any(|(start, word)| is_port(&name[start + word.len()..]))
}

/// Returns whether a text is `5050_TCP`, `5050_TCP_PROTO`, `5050_TCP_PORT` or `5050_TCP_ADDR`.
fn is_port(text: &str) -> bool {
    let mut parts = text.split('_');
    let number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|name| ["TCP", "UDP", "SCTP"].contains(&name));
    let detail = parts.next().is_none_or(|name| ["PROTO", "PORT", "ADDR"].contains(&name));
    number && protocol && detail && parts.next().is_none()
}

/// Returns the key that a person most likely meant by the name of a variable that is no setting.
pub(super) fn nearest_key(name: &str) -> &'static str {
    let meant = name.strip_prefix(PREFIX).unwrap_or(name).to_uppercase();
    if let Some((_, key)) = SYNONYMS.iter().find(|(word, _)| *word == meant) {
        return key;
    }
    let plain = |key: &str| key.to_uppercase().replace('.', "_");
    let abbreviated = |key: &str| meant.len() >= 3 && plain(key).starts_with(&meant);
    let nearest = KEYS.iter().min_by_key(|key| (!abbreviated(key), distance(&plain(key), &meant)));
    nearest.expect("there are settings")
}

/// Returns how many letters have to be changed, added or left out to turn one text into the other (Levenshtein
/// distance).
fn distance(from: &str, to: &str) -> usize {
    let to = to.as_bytes();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_recognised() {
        for (name, value) in [
            ("BERTH_SERVICE_HOST", "10.96.0.17"),
            ("BERTH_SERVICE_HOST", "fd00::17"),
            ("BERTH_SERVICE_PORT", "5050"),
            ("BERTH_SERVICE_PORT_HTTPS", "443"),
            ("BERTH_SERVICE_PORT_WEB_UI", "443"),
            ("BERTH_PORT", "tcp://10.96.0.17:5050"),
            ("BERTH_PORT", "udp://[fd00::17]:53"),
            ("BERTH_PORT", "sctp://10.96.0.17:9"),
            ("BERTH_PORT_5050_TCP", "tcp://10.96.0.17:5050"),
            ("BERTH_PORT_5050_TCP_PROTO", "tcp"),
            ("BERTH_PORT_5050_TCP_PORT", "5050"),
            ("BERTH_PORT_5050_TCP_ADDR", "10.96.0.17"),
            ("BERTH_PORT_53_UDP_ADDR", "10.96.0.17"),
            ("BERTH_OPS_SERVICE_HOST", "10.96.0.18"),
            ("BERTH_OPS_SERVICE_PORT", "5051"),
            ("BERTH_OPS_SERVICE_PORT_METRICS", "5051"),
            ("BERTH_OPS_PORT", "tcp://10.96.0.18:5051"),
            ("BERTH_PORT_FORWARD_PORT_80_TCP_ADDR", "10.96.0.18"),
            ("BERTH_LISTEN_PORT_80_SCTP", "sctp://10.96.0.18:80"),
        ] {
            assert!(is_from_kubernetes(name, value), "{name}={value}");
        }
    }

    #[test]
    fn variables_of_people_are_not_taken_for_those_of_kubernetes() {
        for (name, value) in [
            ("BERTH_PORT", "5050"),
            ("BERTH_PORT", "127.0.0.1:5050"),
            ("BERTH_PORT", "http://127.0.0.1:5050"),
            ("BERTH_LISTEN_PORT", "5050"),
            ("BERTH_PORT_5050", "1"),
            ("BERTH_PORT_TCP", "5050"),
            ("BERTH_PORT_5050_HTTP", "1"),
            ("BERTH_PORT_5050_TCP_NAME", "1"),
            ("BERTH_PORT_5050_TCP_ADDR_X", "1"),
            ("BERTH_PORT_99999_TCP", "tcp://10.0.0.1:99999"),
            ("BERTH_SERVICE", "1"),
            ("BERTH_SERVICE_HOSTS", "1"),
            ("BERTH_SERVICE_PORT_", "1"),
            ("BERTH_SERVICEHOST", "1"),
        ] {
            assert!(!is_from_kubernetes(name, value), "{name}={value}");
        }
        for key in KEYS {
            let variable = variable_of(key);
            assert!(!is_from_kubernetes(&variable, "tcp://10.0.0.1:1"), "{variable}");
        }
    }

    #[test]
    fn nearest_keys() {
        for (name, key) in [
            ("BERTH_LISEN", "listen"),
            ("BERTH_listen", "listen"),
            ("BERTH_PORT", "listen"),
            ("BERTH_EXTERNALURL", "external_url"),
            ("BERTH_EXTERNAL", "external_url"),
            ("BERTH_TLS_CERT", "tls.certificate"),
            ("BERTH_TLS_CERTFICATE", "tls.certificate"),
            ("BERTH_DOMAIN", "domains"),
            ("BERTH_GC_GRASE", "gc.grace"),
            ("BERTH_DATABASE_URL", "database"),
            ("BERTH_LOG", "log.level"),
        ] {
            assert_eq!(nearest_key(name), key, "{name}");
        }
    }
}
