//! Finds out who makes a request.
//!
//! Knows how credentials travel, not what they prove: that is the engine's, and so is what the caller may do.

mod credential;

use std::collections::HashMap;

use engine::{Caller, CredentialError, Engine, EngineError, Proof, Rights, Surface};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::principal::Principal;
use model::scope::Scope;

pub use credential::Credential;

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Authenticate {
    /// `--dev`: any credential, or none, is the developer, who may do everything.
    Dev,
    /// By accounts, keys and tokens; what they may do is in policies.
    Accounts,
    /// Bearer tokens from a fixed list, for tests; a request without one is anonymous.
    Listed(HashMap<String, Caller>),
}

impl Authenticate {
    /// Who sent these headers. No credential is nobody; one that is not accepted is an error.
    pub async fn caller(
        &self,
        engine: &Engine,
        headers: &HeaderMap,
        surface: Surface<'_>,
    ) -> Result<Caller, EngineError> {
        let header = headers.get(AUTHORIZATION);
        match (self, header) {
            (Self::Dev, _) => Ok(developer()),
            (_, None) => Ok(Caller::anonymous()),
            (Self::Listed(callers), Some(header)) => {
                let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                let caller = token.and_then(|token| callers.get(token)).cloned();
                caller.ok_or_else(|| CredentialError::UserName.into())
            }
            (Self::Accounts, Some(header)) => {
                by_credential(engine, &Credential::parse(header)?, surface).await
            }
        }
    }

    /// Who presents this credential, however it came.
    pub async fn caller_with(
        &self,
        engine: &Engine,
        credential: &Credential,
    ) -> Result<Caller, EngineError> {
        match self {
            Self::Dev => Ok(developer()),
            Self::Listed(_) | Self::Accounts => {
                by_credential(engine, credential, Surface::Registry).await
            }
        }
    }
}

async fn by_credential(
    engine: &Engine,
    credential: &Credential,
    surface: Surface<'_>,
) -> Result<Caller, EngineError> {
    match (credential, surface) {
        (Credential::Token(token), _) => engine.caller_by_token(token, surface).await,
        (Credential::KeyFile(file), Surface::Registry) => engine.caller_by_key_file(file).await,
        // The APIs take tokens: a key file that travels with every request is for Docker alone.
        (Credential::KeyFile(_), Surface::Api { .. }) => Err(CredentialError::UserName.into()),
    }
}

fn developer() -> Caller {
    Caller {
        principal: Principal::User("dev@localhost".into()),
        rights: Rights::All,
        scope: Scope::All,
        proof: Proof::default(),
    }
}
