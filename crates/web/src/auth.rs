//! Finds out who makes a request.
//!
//! Knows how credentials travel, not what they prove: that is `identity`'s business, and so is what the caller may do.

mod credential;
pub mod refusal;
mod throttle;

use std::collections::HashMap;
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use identity::{
    AssertionAnswer, AuthorizationMode, Caller, CredentialError, Identity, IdentityError,
    TokenAudience,
};
use model::principal::Principal;

pub use credential::SentCredential;
use throttle::GuessThrottle;

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Authenticator {
    /// `--dev`: any credential, or none, is the developer, who may do everything.
    Dev,
    /// By accounts, keys and tokens; what they may do is in policies. Wrong ones are counted.
    Accounts(GuessThrottle),
    /// Bearer tokens from a fixed list, for tests; a request without one is anonymous.
    Listed(HashMap<String, Caller>),
}

impl Authenticator {
    /// By accounts, with nothing counted yet.
    pub fn accounts() -> Self {
        Self::Accounts(GuessThrottle::default())
    }

    /// Who sent these headers. No credential is nobody; one that is not accepted is an error.
    pub async fn caller(
        &self,
        identity: &Identity,
        headers: &HeaderMap,
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        match (self, headers.get(AUTHORIZATION)) {
            (Self::Listed(_) | Self::Accounts(_), None) => Ok(Caller::anonymous()),
            (Self::Dev, None) => Ok(developer()),
            (_, Some(header)) => {
                self.caller_with(identity, SentCredential::parse(header), surface).await
            }
        }
    }

    /// Who presents this credential, however it came, and if it is one. One that is refused is in the log.
    pub async fn caller_with(
        &self,
        identity: &Identity,
        credential: Result<SentCredential, CredentialError>,
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let caller = self.recognised(identity, &credential, surface).await;
        logged(caller, credential.as_ref().map_or("", SentCredential::text))
    }

    async fn recognised(
        &self,
        identity: &Identity,
        credential: &Result<SentCredential, CredentialError>,
        surface: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        match (self, credential) {
            (Self::Dev, _) => Ok(developer()),
            (Self::Listed(callers), Ok(SentCredential::Token(token))) => {
                callers.get(token).cloned().ok_or(CredentialError::UserName.into())
            }
            (Self::Listed(_), _) => Err(CredentialError::UserName.into()),
            (Self::Accounts(throttle), Err(error)) => throttle.judge("", Err((*error).into())),
            (Self::Accounts(throttle), Ok(credential)) => {
                let caller = by_credential(identity, credential, surface).await;
                throttle.judge(credential.text(), caller)
            }
        }
    }

    /// Exchanges an assertion of a service account.
    pub async fn exchange(
        &self,
        identity: &Identity,
        (assertion, urls): (&str, [&str; 2]),
    ) -> Result<AssertionAnswer, IdentityError> {
        let exchanged = identity.exchange_assertion(assertion, urls).await;
        let judged = match self {
            Self::Accounts(throttle) => throttle.judge(assertion, exchanged),
            Self::Dev | Self::Listed(_) => exchanged,
        };
        logged(judged, assertion)
    }
}

async fn by_credential(
    identity: &Identity,
    credential: &SentCredential,
    surface: TokenAudience<'_>,
) -> Result<Caller, IdentityError> {
    match (credential, surface) {
        (SentCredential::Token(token), _) => identity.caller_by_token(token, surface).await,
        (SentCredential::KeyFile(file), TokenAudience::Registry) => {
            identity.caller_by_key_file(file).await
        }
        // The APIs take tokens: a key file that travels with every request is for Docker alone.
        (SentCredential::KeyFile(_), TokenAudience::Api { .. }) => {
            Err(CredentialError::UserName.into())
        }
    }
}

/// The outcome, after the log has heard of it where it is a refusal.
fn logged<T>(outcome: Result<T, IdentityError>, credential: &str) -> Result<T, IdentityError> {
    if let Err(IdentityError::Credential(error)) = &outcome {
        refusal::log(*error, refusal::claimed(credential).as_deref());
    }
    outcome
}

fn developer() -> Caller {
    static DEVELOPER: LazyLock<Caller> = LazyLock::new(|| {
        Caller::new(Principal::User("dev@localhost".into()), AuthorizationMode::Everything)
    });
    DEVELOPER.clone()
}
