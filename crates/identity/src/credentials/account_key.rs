//! The two kinds of keys that an account has, and their ids.

use meta::accounts::AccountKeyRow;

/// Who holds a key's private half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Whoever was given the file.
    UserManaged,
    /// This registry, for signing on the account's behalf.
    SystemManaged,
}

impl KeyKind {
    /// The kind of a stored key.
    pub fn of(key: &AccountKeyRow) -> Self {
        if key.sealed_private_key.is_some() { Self::SystemManaged } else { Self::UserManaged }
    }
}

/// Whether a key could have this id. What clients send goes into no query before.
pub(crate) fn is_key_id(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
