//! What becomes of a credential that is refused: one line in the log, and to its client as much as tells a guesser
//! nothing.
//!
//! Whether there is such a key or account, whether it is switched off and whether only the signature is wrong is for the
//! log alone. What is said of times and audiences is said to who holds the key: the signature was looked at first.

use identity::{CredentialError, claimed_account};

use crate::layer;

/// The reasons by which refused credentials are counted.
pub const REASONS: [&str; 12] = [
    "account_disabled",
    "audience",
    "expired",
    "key_disabled",
    "key_file",
    "limited",
    "other_key",
    "revoked",
    "times",
    "too_many",
    "unknown",
    "user_name",
];

/// The longest address of an account that is looked at.
pub(super) const LONGEST_ACCOUNT: usize = 256;

/// Why, for the client: the rest of a sentence that says that it was refused.
pub fn reason(error: CredentialError, registry: &str) -> String {
    match error {
        CredentialError::Expired => {
            "the token has expired; sign in again, or use a service account key (_json_key_base64)"
                .to_owned()
        }
        CredentialError::KeyFile => {
            "the password is not a service account's key file, plain or in base64".to_owned()
        }
        CredentialError::UserName => {
            "the user name must be oauth2accesstoken, _json_key or _json_key_base64".to_owned()
        }
        CredentialError::TooMany => {
            "too many wrong ones came lately from this address or for this account".to_owned()
        }
        CredentialError::Times(times) => times.to_string(),
        CredentialError::Audience => {
            format!("the token is for another than this registry ({registry})")
        }
        CredentialError::Limited => "a token that is limited to images makes no other".to_owned(),
        CredentialError::Revoked
        | CredentialError::KeyDisabled
        | CredentialError::AccountDisabled
        | CredentialError::OtherKey
        | CredentialError::Token(_)
        | CredentialError::Kind => {
            format!("the credential is not known to this registry ({registry})")
        }
    }
}

/// Why, for the figures: one of [`REASONS`].
fn counted(error: CredentialError) -> &'static str {
    match error {
        CredentialError::AccountDisabled => "account_disabled",
        CredentialError::Audience => "audience",
        CredentialError::Expired => "expired",
        CredentialError::KeyDisabled => "key_disabled",
        CredentialError::KeyFile => "key_file",
        CredentialError::Limited => "limited",
        CredentialError::OtherKey => "other_key",
        CredentialError::Revoked => "revoked",
        CredentialError::Times(_) => "times",
        CredentialError::TooMany => "too_many",
        CredentialError::Token(_) | CredentialError::Kind => "unknown",
        CredentialError::UserName => "user_name",
    }
}

/// The host that a registry's address names.
pub fn host_of(base_url: &str) -> &str {
    base_url.split_once("://").map_or(base_url, |(_, host)| host)
}

/// Whose it says it is, proven by nothing: good for a line in the log.
pub(super) fn claimed(credential: &str) -> Option<String> {
    let is_plain = |account: &String| {
        account.len() <= LONGEST_ACCOUNT && account.bytes().all(|byte| byte.is_ascii_graphic())
    };
    claimed_account(credential).filter(is_plain)
}

/// Writes the line. Who finds it out first knows best, and the request has no other one.
pub fn log(error: CredentialError, account: Option<&str>) {
    if !layer::is_first_refusal(counted(error)) {
        return;
    }
    let (id, account) = (layer::request_id(), account.unwrap_or("-"));
    let client = layer::client().map_or_else(|| "-".to_owned(), |client| client.to_string());
    tracing::info!(
        request.id = id,
        client,
        account,
        reason = %error,
        "a credential was refused: {error}; it says that it is of {account}, and came from {client} {id}"
    );
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// All that is no right credential sounds alike: guessing does not find out what there is.
    #[test]
    fn what_there_is_stays_unsaid() {
        let unknown = reason(CredentialError::Kind, "registry.example.com:5050");
        assert!(unknown.ends_with("not known to this registry (registry.example.com:5050)"));
        for error in [
            CredentialError::Revoked,
            CredentialError::KeyDisabled,
            CredentialError::AccountDisabled,
            CredentialError::OtherKey,
        ] {
            assert_eq!(reason(error, "registry.example.com:5050"), unknown);
        }
    }

    #[test]
    fn what_a_credential_says_of_itself_is_one_word_or_nothing() {
        let token = |subject: &str| {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let claims = serde_json::json!({ "sub": subject }).to_string();
            format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims), part("x"))
        };
        let check = |subject: &str, expected: Option<&str>| {
            assert_eq!(claimed(&token(subject)).as_deref(), expected, "{subject:.60}");
        };
        check("a@p.iam.gserviceaccount.com", Some("a@p.iam.gserviceaccount.com"));
        check("serviceAccount:a@p.iam.gserviceaccount.com", Some("a@p.iam.gserviceaccount.com"));
        for subject in ["a b", "a\nINFO all is well", "a\u{202e}b", &"a".repeat(300)] {
            check(subject, None);
        }
        assert_eq!(claimed("nonsense"), None);
    }
}
