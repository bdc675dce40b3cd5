//! The challenge by which a registry says where to get a token (RFC 6750 §3).

/// A challenge of the scheme `Bearer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BearerChallenge {
    /// The URL of the token endpoint.
    pub(super) realm: String,
    /// The name of the registry at the token endpoint, or an empty text.
    pub(super) service: String,
    /// The scope to ask for, or an empty text.
    pub(super) scope: String,
}

/// Returns whether the value of `WWW-Authenticate` asks for a user name and a password (RFC 7617).
pub(super) fn is_basic(header: &str) -> bool {
    header.split_whitespace().next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
}

impl BearerChallenge {
    /// Reads the value of `WWW-Authenticate`. Returns `None` for another scheme, and for a challenge without a realm.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Self::default();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            let field = match name.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
                "realm" => Some(&mut challenge.realm),
                "service" => Some(&mut challenge.service),
                "scope" => Some(&mut challenge.scope),
                _ => None,
            };
            if let Some(field) = field {
                value.trim().clone_into(field);
            }
            rest = after;
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<[&str; 3]>) {
        let challenge = BearerChallenge::parse(header);
        let parts =
            challenge.map(|challenge| [challenge.realm, challenge.service, challenge.scope]);
        assert_eq!(parts, expected.map(|parts| parts.map(str::to_owned)), "{header}");
    }

    #[test]
    fn challenges_of_registries() {
        check(
            r#"Bearer realm="https://a.test/token",service="a.test",scope="repository:x/y:pull""#,
            Some(["https://a.test/token", "a.test", "repository:x/y:pull"]),
        );
        check(
            r#"bearer scope="a,b", error="x", realm="https://a.test/t?x=1,2""#,
            Some(["https://a.test/t?x=1,2", "", "a,b"]),
        );
        check("Bearer realm=https://a.test/t,service=s", Some(["https://a.test/t", "s", ""]));
        check("Basic realm=\"x\"", None);
        assert!(is_basic("basic realm=\"x\"") && is_basic("Basic") && !is_basic("Bearer basic"));
        check("Bearer", None);
        check("Bearer service=\"s\"", None);
        check("Bearer realm=\"open", None);
        check("", None);
    }
}
