//! Finds out who makes a request.
//!
//! Knows credentials, not repositories: what the caller may do is the engine's question, asked with the
//! [`Caller`] that comes from here.

use std::collections::HashMap;

use engine::{Caller, Grants};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Authenticate {
    /// `--dev`: any credential, or none, is the developer, who may do everything.
    Dev,
    /// Bearer tokens from a fixed list, for tests; a request without one is anonymous.
    Listed(HashMap<String, Caller>),
}

/// A credential was sent and is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl Authenticate {
    /// Who sent these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        match self {
            Self::Dev => Ok(Caller {
                principal: "user:dev@localhost".to_owned(),
                anonymous: false,
                grants: Grants::All,
                scope: Grants::All,
            }),
            Self::Listed(callers) => {
                let Some(credential) = headers.get(AUTHORIZATION) else { return Ok(anonymous()) };
                let token = credential.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                token.and_then(|token| callers.get(token)).cloned().ok_or(Refused)
            }
        }
    }
}

fn anonymous() -> Caller {
    Caller {
        principal: "allUsers".to_owned(),
        anonymous: true,
        grants: Grants::Listed(Vec::new()),
        scope: Grants::All,
    }
}
