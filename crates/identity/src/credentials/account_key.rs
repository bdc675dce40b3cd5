//! The two kinds of keys that an account has, and their ids.

use meta::accounts::AccountKeyRow;

/// The kind of a key, by the holder of its private half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The private half is in a key file, which only its receiver has.
    UserManaged,
    /// The private half is in this registry, which signs with it on behalf of the account.
    SystemManaged,
}

impl KeyKind {
    /// Returns the kind of a stored key.
    pub fn of(key: &AccountKeyRow) -> Self {
        if key.sealed_private_key.is_some() { Self::SystemManaged } else { Self::UserManaged }
    }
}

/// Returns whether a text has the form of a key id. No query is made for another text that a client sent.
pub(crate) fn is_key_id(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
