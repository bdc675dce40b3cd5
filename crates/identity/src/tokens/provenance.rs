//! The tokens, keys and accounts that a token depends on if it was made by impersonation.

use serde::{Deserialize, Serialize};

/// The tokens, keys and accounts that a token was made by way of, oldest first. If one of them is no longer good,
/// neither is the token. The token's own key, and the token of the same account that it was made from, are not among
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenProvenance {
    /// The ids of tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<String>,
    /// The ids of keys of accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<String>,
    /// The unique ids of accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) accounts: Vec<String>,
}

impl TokenProvenance {
    /// Returns whether the token was not made by impersonation.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
