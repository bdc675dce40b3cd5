//! Credentials as clients send them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderValue;
use identity::CredentialError;

/// A credential as it was sent, before it is checked.
#[derive(Clone, PartialEq, Eq)]
pub enum SentCredential {
    /// A token of this registry, or one that a service account signed.
    Token(String),
    /// A service account's key file, plain or in base64.
    KeyFile(String),
}

impl SentCredential {
    /// Returns the token or the key file, as it was sent.
    pub fn text(&self) -> &str {
        match self {
            Self::Token(text) | Self::KeyFile(text) => text,
        }
    }

    /// Reads an `Authorization` header.
    pub fn parse(header: &HeaderValue) -> Result<Self, CredentialError> {
        let text = header.to_str().map_err(|_| CredentialError::UserName)?;
        let (scheme, rest) = text.split_once(' ').ok_or(CredentialError::UserName)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Token(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(CredentialError::UserName);
        }
        let decoded = STANDARD.decode(rest).or_else(|_| STANDARD_NO_PAD.decode(rest));
        let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or(CredentialError::UserName)?;
        let (user, password) = decoded.split_once(':').ok_or(CredentialError::UserName)?;
        Self::of_user(user, password)
    }

    /// Returns the credential of a user name and a password. The user name says only of which kind the password is.
    pub fn of_user(user: &str, password: &str) -> Result<Self, CredentialError> {
        match user {
            "oauth2accesstoken" | "_dcgcloud_token" | "_token" => {
                Ok(Self::Token(password.trim().to_owned()))
            }
            "_json_key" | "_json_key_base64" => Ok(Self::KeyFile(password.to_owned())),
            _ if is_helper(user) => Ok(Self::Token(password.trim().to_owned())),
            _ => Err(CredentialError::UserName),
        }
    }
}

/// Returns whether a user name is docker-credential-gcr's, which has that program's version in it:
/// `_dcgcr_2_2_1_token`.
fn is_helper(user: &str) -> bool {
    let version = user.strip_prefix("_dcgcr_").and_then(|rest| rest.strip_suffix("token"));
    version.is_some_and(|version| {
        version.is_empty()
            || version.strip_suffix('_').is_some_and(|version| {
                version
                    .split('_')
                    .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: &str) {
        let header = HeaderValue::from_str(header).expect("a header");
        let actual = match SentCredential::parse(&header) {
            Ok(SentCredential::Token(token)) => format!("token {token}"),
            Ok(SentCredential::KeyFile(file)) => format!("key {file}"),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(actual, expected, "{header:?}");
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn headers() {
        check("Bearer abc", "token abc");
        check("bearer  abc ", "token abc");
        check(&basic("oauth2accesstoken:abc"), "token abc");
        check(&basic("_dcgcloud_token:abc"), "token abc");
        check(&basic("_dcgcr_2_2_1_token:abc"), "token abc");
        check(&basic("_dcgcr_token:abc"), "token abc");
        check(&basic("_token:abc"), "token abc");
        check(&basic("oauth2accesstoken:abc\n"), "token abc");
        check(&basic("_json_key:{\"a\":\"b:c\"}"), "key {\"a\":\"b:c\"}");
        check(&basic("_json_key_base64:e30="), "key e30=");
        check(basic("_token:a").trim_end_matches('='), "token a");
        check(&basic("_dcgcr_x_token:abc"), "refused");
        check(&basic("_dcgcr__token:abc"), "refused");
        check(&basic("admin:admin"), "refused");
        check(&basic("nocolon"), "refused");
        check("Basic !!!", "refused");
        check("Basic", "refused");
        check("Digest abc", "refused");
        check("", "refused");
    }
}
