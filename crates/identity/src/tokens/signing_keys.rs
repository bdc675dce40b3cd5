//! The keys that sign our own tokens.

use meta::signing_keys::SigningKey;

use crate::credentials::crypto::TokenKey;

/// The keys of this instance.
pub(crate) struct SigningKeys(pub(crate) Vec<(SigningKey, TokenKey)>);

impl SigningKeys {
    /// The key that signs now.
    pub(crate) fn signing(&self, now: i64) -> Option<&(SigningKey, TokenKey)> {
        self.0.iter().find(|(key, _)| key.signs_until > now)
    }

    /// The keys that verify: their ids and points.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, _)| (key.id.as_str(), key.public_key.as_slice()))
    }
}
