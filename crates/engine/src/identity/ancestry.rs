//! What a token rests on when it was made by acting as somebody else: it goes with each of them.

use serde::{Deserialize, Serialize};

use super::credentials::Proof;
use crate::EngineError;

/// The most tokens, and the most accounts, that a token comes down from. So tokens stay small, and whoever lost the key
/// that all began with cannot renew them for ever.
const MOST: usize = 16;

/// Those that a token comes down from by impersonation, oldest first. Its own key, and the token that it was made from
/// for the same account, are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ancestry {
    /// Ids of tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<String>,
    /// Ids of accounts' keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<String>,
    /// Numbers of accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) accounts: Vec<String>,
}

impl Ancestry {
    /// Whether there is none: the token was not made by acting as somebody else.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The one of what is made by somebody who proved themselves so, through the accounts of these numbers.
    pub(crate) fn after(proof: &Proof, delegates: Vec<String>) -> Result<Self, EngineError> {
        let mut ancestry = proof.ancestry.clone();
        let Self { tokens, keys, accounts } = &mut ancestry;
        add(tokens, proof.token.iter().chain(&proof.from));
        add(keys, &proof.key);
        add(accounts, proof.uid.iter().chain(&delegates));
        if tokens.len() > MOST || accounts.len() > MOST {
            return Err(EngineError::Precondition(format!(
                "the token was made by way of {MOST} others; sign in again, with a key"
            )));
        }
        Ok(ancestry)
    }
}

fn add<'a>(known: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) {
    for id in more {
        if !known.contains(id) {
            known.push(id.clone());
        }
    }
}
