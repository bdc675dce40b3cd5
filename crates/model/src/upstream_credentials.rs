//! The credentials with which a remote repository asks its upstream: a user name, and the secret that has the password.
//! They are in the same document as the mode of the repository.

use serde::Deserialize;

use crate::repository::ModeError;
use crate::secret::SecretVersionName;

/// The field of the API's message that has the credentials.
pub const CREDENTIALS_FIELD: &str = "repository.remote_repository_config.upstream_credentials";

/// The most characters of a user name.
const MAX_USERNAME: usize = 255;

/// The credentials for an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCredentials {
    /// The user name.
    pub username: String,
    /// The secret that has the password.
    pub secret: SecretVersionName,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ModeDocument {
    remote_repository_config: RemoteDocument,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RemoteDocument {
    upstream_credentials: CredentialsDocument,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CredentialsDocument {
    username_password_credentials: PasswordDocument,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PasswordDocument {
    username: String,
    password_secret_version: String,
}

impl UpstreamCredentials {
    /// Reads the credentials from the document of a repository's API message. Without a user name and a secret, there
    /// are none.
    ///
    /// # Errors
    /// Fails if only one of both is there, or if one is not valid.
    ///
    /// ```
    /// # use berth_model::upstream_credentials::UpstreamCredentials;
    /// assert_eq!(UpstreamCredentials::parse(r#"{"remoteRepositoryConfig": {}}"#), Ok(None));
    /// ```
    pub fn parse(document: &str) -> Result<Option<Self>, ModeError> {
        let refused = |problem: &str| {
            Err(ModeError { field: CREDENTIALS_FIELD, problem: problem.to_owned() })
        };
        let Ok(document) = serde_json::from_str::<ModeDocument>(document) else {
            return refused("cannot be read");
        };
        let CredentialsDocument { username_password_credentials } =
            document.remote_repository_config.upstream_credentials;
        let PasswordDocument { username, password_secret_version } = username_password_credentials;
        if username.is_empty() && password_secret_version.is_empty() {
            return Ok(None);
        }
        if username.is_empty() || password_secret_version.is_empty() {
            return refused("username and password_secret_version need each other");
        }
        let is_wrong = |c: char| c == ':' || c.is_control();
        if username.chars().count() > MAX_USERNAME || username.contains(is_wrong) {
            return refused(
                "username has at most 255 characters, no colon and no control characters",
            );
        }
        match password_secret_version.parse() {
            Ok(secret) => Ok(Some(Self { username, secret })),
            Err(error) => refused(&format!("password_secret_version: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(credentials: &str, expected: Result<Option<(&str, &str)>, &str>) {
        let document = format!(
            r#"{{"remoteRepositoryConfig": {{"commonRepository": {{"uri": "https://a"}}{credentials}}}}}"#
        );
        let read = UpstreamCredentials::parse(&document);
        let read = read.map(|found| found.map(|found| (found.username, found.secret.to_string())));
        let expected =
            expected.map(|found| found.map(|(name, of)| (name.to_owned(), of.to_owned())));
        let expected = expected.map_err(|problem| format!("{CREDENTIALS_FIELD}: {problem}"));
        assert_eq!(read.map_err(|error| error.to_string()), expected, "{credentials}");
    }

    #[test]
    fn credentials_are_read() {
        let secret = "projects/p/secrets/s/versions/latest";
        let of = |username: &str, secret: &str| {
            format!(
                r#", "upstreamCredentials": {{"usernamePasswordCredentials":
                     {{"username": "{username}", "passwordSecretVersion": "{secret}"}}}}"#
            )
        };
        check("", Ok(None));
        check(r#", "upstreamCredentials": {}"#, Ok(None));
        check(&of("", ""), Ok(None));
        check(&of("me", secret), Ok(Some(("me", secret))));
        let both = "username and password_secret_version need each other";
        check(&of("me", ""), Err(both));
        check(&of("", secret), Err(both));
        let name = "username has at most 255 characters, no colon and no control characters";
        check(&of("a:b", secret), Err(name));
        check(&of("a\\n", secret), Err(name));
        check(&of(&"a".repeat(256), secret), Err(name));
        let wrong = "password_secret_version: \"projects/p/secrets/s\" is no version of a secret: a name is projects/P/secrets/S/versions/V";
        check(&of("me", "projects/p/secrets/s"), Err(wrong));
    }

    #[test]
    fn a_document_of_another_mode_has_none() {
        assert_eq!(UpstreamCredentials::parse("{}"), Ok(None));
        assert_eq!(UpstreamCredentials::parse(r#"{"virtualRepositoryConfig": {}}"#), Ok(None));
        assert!(UpstreamCredentials::parse("[").is_err());
    }
}
