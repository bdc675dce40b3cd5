//! The logins that registries asked for before they gave content: a token, or the password itself. Each is kept for one
//! image and one password, so that the login of one repository opens nothing for another one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{RegistryCredentials, UpstreamImage};
use http::HeaderValue;
use serde::Deserialize;

/// The lifetime of a token whose endpoint does not state it.
const DEFAULT_TOKEN_LIFETIME: u64 = 60;
/// The longest time for which a token is kept.
const MAX_LIFETIME: u64 = 3_600;
/// The largest number of logins that are kept.
const MAX_LOGINS: usize = 1_000;

/// The image and the credentials that a login is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct LoginKey {
    /// The URL of the registry.
    url: String,
    image: String,
    /// The id of the password and the user name, or `None` for an anonymous caller.
    credentials: Option<(String, String)>,
}

impl LoginKey {
    pub(super) fn new(image: UpstreamImage<'_>) -> Self {
        let id = |credentials: &RegistryCredentials| {
            (credentials.id.clone(), credentials.username.clone())
        };
        Self {
            url: image.url.to_owned(),
            image: image.image.to_owned(),
            credentials: image.credentials.map(id),
        }
    }
}

/// The way in which a registry was asked with success, or is to be asked.
#[derive(Clone)]
pub(super) struct Login {
    header: LoginHeader,
    ends: Instant,
}

/// The value of `Authorization`. A password is not kept.
#[derive(Clone)]
enum LoginHeader {
    Token(HeaderValue),
    Password,
}

impl Login {
    /// Returns the login by which a registry gets the password with each request.
    pub(super) fn with_password() -> Self {
        Self {
            header: LoginHeader::Password,
            ends: Instant::now() + Duration::from_secs(MAX_LIFETIME),
        }
    }

    /// Reads the answer of a token endpoint. Returns `None` if it has no token that can be sent.
    pub(super) fn read_token(body: &[u8]) -> Option<Self> {
        let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
        let text = answer.token.or(answer.access_token)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        let lifetime = answer.expires_in.unwrap_or(DEFAULT_TOKEN_LIFETIME).min(MAX_LIFETIME);
        let ends = Instant::now() + Duration::from_secs(lifetime);
        Some(Self { header: LoginHeader::Token(value), ends })
    }

    /// Returns the value of `Authorization`.
    pub(super) fn authorization(
        &self,
        credentials: Option<&RegistryCredentials>,
    ) -> Option<HeaderValue> {
        match &self.header {
            LoginHeader::Token(value) => Some(value.clone()),
            LoginHeader::Password => credentials.map(basic),
        }
    }

    /// Returns whether the login is the password itself.
    pub(super) fn is_password(&self) -> bool {
        matches!(self.header, LoginHeader::Password)
    }
}

/// Returns the value of `Authorization` with a user name and a password.
pub(super) fn basic(credentials: &RegistryCredentials) -> HeaderValue {
    let RegistryCredentials { username, password, .. } = credentials;
    let encoded = STANDARD.encode(format!("{username}:{}", password.expose()));
    let value = HeaderValue::from_str(&format!("Basic {encoded}"));
    let mut value = value.expect("base64 has only characters of headers");
    value.set_sensitive(true);
    value
}

/// The answer of a token endpoint.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// The lifetime in seconds.
    expires_in: Option<u64>,
}

/// The logins that are kept.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<LoginKey, Login>>);

impl Logins {
    pub(super) fn find(&self, key: &LoginKey) -> Option<Login> {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.get(key).filter(|login| login.ends > Instant::now()).cloned()
    }

    pub(super) fn keep(&self, key: LoginKey, login: Login) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MAX_LOGINS {
            let now = Instant::now();
            logins.retain(|_, held| held.ends > now);
        }
        if logins.len() < MAX_LOGINS {
            logins.insert(key, login);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::secret::SecretValue;

    fn credentials(id: &str, username: &str) -> RegistryCredentials {
        let password = SecretValue::new("pa:ss wörd").expect("a password");
        RegistryCredentials { id: id.to_owned(), username: username.to_owned(), password }
    }

    #[test]
    fn a_login_is_for_one_image_and_one_password() {
        let logins = Logins::default();
        let (one, two, other) =
            (credentials("a/1", "me"), credentials("a/2", "me"), credentials("a/1", "you"));
        let key = |image, credentials| {
            LoginKey::new(UpstreamImage { url: "https://a.test", image, credentials })
        };
        logins.keep(key("app", Some(&one)), Login::with_password());
        assert!(logins.find(&key("app", Some(&one))).is_some());
        for unknown in [
            key("app", None),
            key("app", Some(&two)),
            key("app", Some(&other)),
            key("b", Some(&one)),
        ] {
            assert!(logins.find(&unknown).is_none());
        }
    }

    #[test]
    fn headers() {
        let me = credentials("a/1", "me");
        let sent = Login::with_password().authorization(Some(&me)).expect("a password");
        assert_eq!(sent, format!("Basic {}", STANDARD.encode("me:pa:ss wörd")));
        let shown = format!("{sent:?} {me:?}");
        for hidden in ["wörd", &STANDARD.encode("me:pa:ss wörd")] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(Login::with_password().authorization(None).is_none());
        let token =
            Login::read_token(br#"{"access_token": "t", "expires_in": 1}"#).expect("a token");
        assert_eq!(token.authorization(Some(&me)).expect("a token"), "Bearer t");
        for wrong in ["", "{}", r#"{"token": "a\n"}"#] {
            assert!(Login::read_token(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
