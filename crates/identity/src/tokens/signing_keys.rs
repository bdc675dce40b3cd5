//! The keys that sign the registry's own tokens.

use meta::signing_keys::SigningKey;

use crate::credentials::crypto::TokenKey;

/// The keys that sign and verify tokens, opened.
pub(crate) struct SigningKeys(pub(crate) Vec<(SigningKey, TokenKey)>);

impl SigningKeys {
    /// Returns the key that signs now.
    pub(crate) fn signing(&self, now: i64) -> Option<&(SigningKey, TokenKey)> {
        self.0.iter().find(|(key, _)| key.signs_until > now)
    }

    /// Returns the ids and public points of the keys that verify.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, _)| (key.id.as_str(), key.public_key.as_slice()))
    }
}
