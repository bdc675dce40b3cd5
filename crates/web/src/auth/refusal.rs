//! The texts about a refused credential: one line in the log, and a reason for the client.
//!
//! The reason must not help somebody who guesses. Only the log says that a key or account does not exist, is disabled,
//! or that the signature alone is wrong. The client is told about wrong times and audiences, because these are looked
//! at after the signature: this client holds the key.

use identity::{CredentialError, claimed_account};

use crate::layer;

/// The reasons for refusals, as `/metrics` has them.
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

/// The longest address of an account, in bytes, that is logged and counted.
pub(super) const MAX_ACCOUNT_BYTES: usize = 256;

/// Returns the reason for the client: the rest of a sentence that begins with the refusal.
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
            "too many wrong credentials came from this address or for this account lately"
                .to_owned()
        }
        CredentialError::Times(times) => times.to_string(),
        CredentialError::Audience => {
            format!("the token has another audience than this registry ({registry})")
        }
        CredentialError::Limited => {
            "a token that is limited to images cannot be exchanged for another".to_owned()
        }
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

/// Returns the reason for the metrics: one of [`REASONS`].
fn metric_reason(error: CredentialError) -> &'static str {
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

/// Returns the host of a base URL.
pub fn host_of(base_url: &str) -> &str {
    base_url.split_once("://").map_or(base_url, |(_, host)| host)
}

/// Returns the account that a credential claims to be of, if its address is short and printable. Nothing proves the
/// claim: it is good enough for the log and for counting.
pub(super) fn printable_claim(credential: &str) -> Option<String> {
    let is_plain = |account: &String| {
        account.len() <= MAX_ACCOUNT_BYTES && account.bytes().all(|byte| byte.is_ascii_graphic())
    };
    claimed_account(credential).filter(is_plain)
}

/// Logs why a credential is refused. Only the first refusal of a request is logged: the first place that refuses knows
/// the reason best.
pub fn log(error: CredentialError, account: Option<&str>) {
    if !layer::is_first_refusal(metric_reason(error)) {
        return;
    }
    let (id, account) = (layer::request_id(), account.unwrap_or("-"));
    let client = layer::client().map_or_else(|| "-".to_owned(), |client| client.to_string());
    tracing::info!(
        request.id = id,
        client,
        account,
        reason = %error,
        "a credential was refused: {error}; it claims the account {account} and came from {client} {id}"
    );
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// All wrong credentials get the same text, so that guessing does not find out which keys and accounts exist.
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
            assert_eq!(printable_claim(&token(subject)).as_deref(), expected, "{subject:.60}");
        };
        check("a@p.iam.gserviceaccount.com", Some("a@p.iam.gserviceaccount.com"));
        check("serviceAccount:a@p.iam.gserviceaccount.com", Some("a@p.iam.gserviceaccount.com"));
        for subject in ["a b", "a\nINFO all is well", "a\u{202e}b", &"a".repeat(300)] {
            check(subject, None);
        }
        assert_eq!(printable_claim("nonsense"), None);
    }
}
