//! Secrets: passwords of other registries. The operator adds them, and remote repositories name them as Google's Secret
//! Manager names its own.
//!
//! A secret belongs to a project and to the origin of one registry, to which alone its value is sent. Each value is a
//! version, with a number.

use std::fmt;
use std::str::FromStr;

use crate::name::ProjectId;
use crate::repository::DOCKER_HUB;

/// The most bytes of a value, as in Secret Manager.
pub const MAX_SECRET_BYTES: usize = 64 << 10;

/// The reasons why the name of a secret, its origin or its value is refused. No text has a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text does not name a secret.
    #[error("{0:?} is no secret: a name is projects/P/secrets/S")]
    Name(String),
    /// The text does not name a version of a secret.
    #[error("{0:?} is no version of a secret: a name is projects/P/secrets/S/versions/V")]
    Version(String),
    /// The text is not the origin of a registry.
    #[error("{0:?} is no origin of a registry: https://HOST, perhaps with a port, or DOCKER-HUB")]
    Origin(String),
    /// The value is empty.
    #[error("the value is empty")]
    Empty,
    /// The value is too long.
    #[error("the value is longer than 64 KiB")]
    TooLong,
    /// The value cannot be a password.
    #[error("the value cannot be a password: it is not in UTF-8, or has control characters")]
    NoPassword,
}

/// Returns a text for an error message, cut to a length at which it is still readable.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The name of a secret: `projects/P/secrets/S`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    /// The project of the secret.
    pub project: ProjectId,
    /// The id of the secret in its project.
    secret: Box<str>,
}

impl SecretName {
    /// Creates a name.
    ///
    /// # Errors
    /// Fails unless the id has 1 to 255 letters, digits, `-` and `_`.
    pub fn new(project: ProjectId, secret: &str) -> Result<Self, SecretError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=255).contains(&secret.len()) || !secret.bytes().all(is_allowed) {
            return Err(SecretError::Name(shown(&format!("projects/{project}/secrets/{secret}"))));
        }
        Ok(Self { project, secret: secret.into() })
    }

    /// Returns the id of the secret in its project.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Returns the name of a version of the secret.
    pub fn version(&self, version: SecretVersion) -> SecretVersionName {
        SecretVersionName { secret: self.clone(), version }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}/secrets/{}", self.project, self.secret)
    }
}

impl FromStr for SecretName {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let wrong = || SecretError::Name(shown(text));
        let (project, secret) = text
            .strip_prefix("projects/")
            .and_then(|rest| rest.split_once("/secrets/"))
            .ok_or_else(wrong)?;
        Self::new(project.parse().map_err(|_| wrong())?, secret).map_err(|_| wrong())
    }
}

/// The version of a secret that a name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretVersion {
    /// The version with this number.
    Number(i64),
    /// The newest version.
    Latest,
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// The name of a version of a secret: `projects/P/secrets/S/versions/V`, where V is a number or `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretVersionName {
    /// The secret.
    pub secret: SecretName,
    /// The version.
    pub version: SecretVersion,
}

impl SecretVersionName {
    /// Returns whether the version is one of the secret with this name.
    pub fn is_version_of(&self, name: &SecretName) -> bool {
        let Self { secret: own, .. } = self;
        own == name
    }
}

impl fmt::Display for SecretVersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.secret, self.version)
    }
}

impl FromStr for SecretVersionName {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let wrong = || SecretError::Version(shown(text));
        let (secret, version) = text.split_once("/versions/").ok_or_else(wrong)?;
        let secret = secret.parse().map_err(|_| wrong())?;
        let is_number =
            !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
        let version = match version {
            "latest" => SecretVersion::Latest,
            number if is_number => SecretVersion::Number(number.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        Ok(Self { secret, version })
    }
}

/// The origin of a registry: scheme, host and port, in the one way in which each is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryOrigin(Box<str>);

impl RegistryOrigin {
    /// Returns the origin of a URL that `model::repository` has accepted. `None` if its host or port is not valid.
    ///
    /// ```
    /// # use berth_model::secret::RegistryOrigin;
    /// let origin = RegistryOrigin::of_url("https://Registry.example.com:443/team").expect("a URL");
    /// assert_eq!(origin.as_str(), "https://registry.example.com");
    /// ```
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let default_port: u16 = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, port.parse().ok()?)
            }
            _ => (authority.as_str(), default_port),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty()
            || !host.bytes().all(is_host)
            || host.contains(':') && !host.ends_with(']')
        {
            return None;
        }
        let port = if port == default_port { String::new() } else { format!(":{port}") };
        Some(Self(format!("{scheme}://{host}{port}").into()))
    }

    /// Returns the origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RegistryOrigin {
    type Err = SecretError;

    /// Parses an origin without a path. Docker Hub may be named as gcloud names it.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let url = if text == "DOCKER-HUB" { DOCKER_HUB } else { text };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let has_path = rest.strip_suffix('/').unwrap_or(rest).contains('/');
        let origin = Self::of_url(url).filter(|_| !has_path);
        origin.ok_or_else(|| SecretError::Origin(shown(text)))
    }
}

/// The value of a secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Box<str>);

impl SecretValue {
    /// Checks a value. Line breaks are allowed, because key files have them and are used as passwords.
    ///
    /// # Errors
    /// Fails if the value is empty, too long, or no text that can be a password.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, SecretError> {
        let text = text.into();
        let is_wrong = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        match text.len() {
            0 => Err(SecretError::Empty),
            1..=MAX_SECRET_BYTES if text.contains(is_wrong) => Err(SecretError::NoPassword),
            1..=MAX_SECRET_BYTES => Ok(Self(text)),
            _ => Err(SecretError::TooLong),
        }
    }

    /// Reads a value from what a program wrote: the line break at its end is not a part of it.
    ///
    /// # Errors
    /// Fails as [`SecretValue::new`] does.
    pub fn from_input(mut bytes: Vec<u8>) -> Result<Self, SecretError> {
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        Self::new(String::from_utf8(bytes).map_err(|_| SecretError::NoPassword)?)
    }

    /// Returns the value, which must not be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["projects/p/secrets/S_1-a", "projects/example.com:p/secrets/s"] {
            assert_eq!(
                name.parse::<SecretName>().map(|name| name.to_string()),
                Ok(name.to_owned())
            );
            for version in ["1", "10", "latest"] {
                let name = format!("{name}/versions/{version}");
                let parsed = name.parse::<SecretVersionName>();
                assert_eq!(parsed.map(|parsed| parsed.to_string()), Ok(name));
            }
            for version in ["", "0", "01", "+1", "-1", "1/x", "Latest", "9223372036854775808"] {
                let name = format!("{name}/versions/{version}");
                let wrong = Err(SecretError::Version(name.clone()));
                assert_eq!(name.parse::<SecretVersionName>(), wrong);
            }
        }
        let long = format!("projects/p/secrets/{}", "s".repeat(256));
        for name in
            ["", "projects/P/secrets/s", "projects/p/secrets/", "projects/p/secrets/a.b", &long]
        {
            assert!(name.parse::<SecretName>().is_err(), "{name}");
            assert!(format!("{name}/versions/1").parse::<SecretVersionName>().is_err(), "{name}");
        }
    }

    #[test]
    fn origins() {
        let check = |text: &str, expected: Option<&str>| {
            let origin = text.parse::<RegistryOrigin>().ok();
            assert_eq!(origin.as_ref().map(RegistryOrigin::as_str), expected, "{text}");
        };
        check("https://a.test", Some("https://a.test"));
        check("https://A.test:443/", Some("https://a.test"));
        check("http://a.test:80", Some("http://a.test"));
        check("http://a.test:443", Some("http://a.test:443"));
        check("https://a.test:05000", Some("https://a.test:5000"));
        check("https://[FD00::1]", Some("https://[fd00::1]"));
        check("https://[fd00::1]:443", Some("https://[fd00::1]"));
        check("DOCKER-HUB", Some(DOCKER_HUB));
        for wrong in [
            "",
            "a.test",
            "ftp://a.test",
            "https://",
            "https:///a",
            "https://a.test/b",
            "https://u@a",
            "https://u:p@a",
            "https://a:b",
            "https://a:",
            "https://a:65536",
            "https://fd00::1",
            "https://a b",
            "https://a?b",
            "https://a%41",
            "https://a\\b",
        ] {
            check(wrong, None);
        }
        let of_url = RegistryOrigin::of_url("https://a.test:5000/b/c").expect("a URL");
        assert_eq!(of_url.as_str(), "https://a.test:5000");
    }

    #[test]
    fn values() {
        let read = |input: &[u8]| SecretValue::from_input(input.to_vec());
        for input in ["pass", "pass\n", "pass\r\n"] {
            assert_eq!(read(input.as_bytes()).expect(input).expose(), "pass");
        }
        assert_eq!(
            read("{\n \"ä\": 1\r\n}\n".as_bytes()).expect("text").expose(),
            "{\n \"ä\": 1\r\n}"
        );
        assert_eq!(read(b""), Err(SecretError::Empty));
        assert_eq!(read(b"\n"), Err(SecretError::Empty));
        assert_eq!(read(b"\xff"), Err(SecretError::NoPassword));
        assert_eq!(read(b"a\0"), Err(SecretError::NoPassword));
        assert_eq!(read(b"a\x1b[1m"), Err(SecretError::NoPassword));
        assert!(read(&[b'x'; MAX_SECRET_BYTES]).is_ok());
        assert_eq!(read(&[b'x'; MAX_SECRET_BYTES + 1]), Err(SecretError::TooLong));
        assert_eq!(format!("{:?}", read(b"pass").expect("text")), "SecretValue");
    }
}
