//! What a token rests on when it was made by acting as somebody else: it goes with each of them.

use serde::{Deserialize, Serialize};

/// Those that a token comes down from by impersonation, oldest first. Its own key, and the token that it was made from
/// for the same account, are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenProvenance {
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

impl TokenProvenance {
    /// Whether there is none: the token was not made by acting as somebody else.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
