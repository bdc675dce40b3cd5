//! Finds out who sent a request.
//!
//! This module knows how credentials travel. What they prove and what the caller may do is decided in `identity`.

mod credential;
pub mod refusal;
mod throttle;

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

/// The way in which callers are recognised.
#[derive(Debug, Clone)]
pub enum Authenticator {
    /// `--dev`: every request is the developer's, with any credential or none, and the developer may do everything.
    Dev,
    /// By accounts, keys and tokens, with the permissions that policies grant them. Wrong credentials are counted.
    Accounts(GuessThrottle),
}

impl Authenticator {
    /// Creates the check by accounts, with no wrong credentials counted.
    pub fn accounts() -> Self {
        Self::Accounts(GuessThrottle::default())
    }

    /// Returns the caller that sent these headers: the anonymous one without a credential, and an error for a
    /// credential that is not accepted.
    pub async fn caller(
        &self,
        identity: &Identity,
        headers: &HeaderMap,
        audience: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        match (self, headers.get(AUTHORIZATION)) {
            (Self::Accounts(_), None) => Ok(Caller::anonymous()),
            (Self::Dev, None) => Ok(developer()),
            (_, Some(header)) => {
                self.caller_with(identity, SentCredential::parse(header), audience).await
            }
        }
    }

    /// Returns the caller that presents this credential, which may have come in a header or in a form. Logs a refusal,
    /// also of a credential that could not be read.
    pub async fn caller_with(
        &self,
        identity: &Identity,
        credential: Result<SentCredential, CredentialError>,
        audience: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        let caller = self.recognise(identity, &credential, audience).await;
        log_refusal(caller, credential.as_ref().map_or("", SentCredential::text))
    }

    async fn recognise(
        &self,
        identity: &Identity,
        credential: &Result<SentCredential, CredentialError>,
        audience: TokenAudience<'_>,
    ) -> Result<Caller, IdentityError> {
        match (self, credential) {
            (Self::Dev, _) => Ok(developer()),
            (Self::Accounts(throttle), Err(error)) => {
                throttle.limit_guesses("", Err((*error).into()))
            }
            (Self::Accounts(throttle), Ok(credential)) => {
                let caller = caller_by_credential(identity, credential, audience).await;
                throttle.limit_guesses(credential.text(), caller)
            }
        }
    }

    /// Exchanges an assertion of a service account for a token. `audiences` are the URLs that the assertion may name.
    pub async fn exchange(
        &self,
        identity: &Identity,
        assertion: &str,
        audiences: [&str; 2],
    ) -> Result<AssertionAnswer, IdentityError> {
        let exchanged = identity.exchange_assertion(assertion, audiences).await;
        let outcome = match self {
            Self::Accounts(throttle) => throttle.limit_guesses(assertion, exchanged),
            Self::Dev => exchanged,
        };
        log_refusal(outcome, assertion)
    }
}

async fn caller_by_credential(
    identity: &Identity,
    credential: &SentCredential,
    audience: TokenAudience<'_>,
) -> Result<Caller, IdentityError> {
    match (credential, audience) {
        (SentCredential::Token(token), _) => identity.caller_by_token(token, audience).await,
        (SentCredential::KeyFile(file), TokenAudience::Registry) => {
            identity.caller_by_key_file(file).await
        }
        // The APIs take only tokens. Docker can send nothing but a password, so its password may be a key file.
        (SentCredential::KeyFile(_), TokenAudience::Api { .. }) => {
            Err(CredentialError::UserName.into())
        }
    }
}

/// Returns the outcome, and logs it if it is a refusal.
fn log_refusal<T>(outcome: Result<T, IdentityError>, credential: &str) -> Result<T, IdentityError> {
    if let Err(IdentityError::Credential(error)) = &outcome {
        refusal::log(*error, refusal::printable_claim(credential).as_deref());
    }
    outcome
}

fn developer() -> Caller {
    static DEVELOPER: LazyLock<Caller> = LazyLock::new(|| {
        Caller::new(Principal::User("dev@localhost".into()), AuthorizationMode::Everything)
    });
    DEVELOPER.clone()
}
