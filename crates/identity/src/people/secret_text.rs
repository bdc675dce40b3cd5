//! Secrets that are shown once: of sessions, and of links. The database has their hashes alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::digest::Digest;

use crate::credentials::crypto::MasterKey;

/// The characters of a secret: 256 bits in base64url.
const LENGTH: usize = 43;

/// The use of a secret. One of another use has another hash.
#[derive(Debug, Clone, Copy)]
pub(super) enum SecretUse {
    /// The secret of a session.
    Session,
    /// The token of a link by which a password is set.
    PasswordLink,
}

/// Makes a secret of 256 random bits.
pub(super) fn generate() -> String {
    URL_SAFE_NO_PAD.encode(MasterKey::generate())
}

/// Returns the hash of a secret, or `None` for a text that cannot be a secret.
pub(super) fn hash_of(usage: SecretUse, secret: &str) -> Option<Digest> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if secret.len() != LENGTH || !secret.bytes().all(is_plain) {
        return None;
    }
    let usage = match usage {
        SecretUse::Session => "session",
        SecretUse::PasswordLink => "password link",
    };
    Some(Digest::of(format!("{usage}\0{secret}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_of_one_use() {
        let (one, two) = (generate(), generate());
        assert_ne!(one, two);
        let hash = |usage, secret: &str| hash_of(usage, secret).expect("a secret");
        assert_eq!(hash(SecretUse::Session, &one), hash(SecretUse::Session, &one));
        assert_ne!(hash(SecretUse::Session, &one), hash(SecretUse::Session, &two));
        assert_ne!(hash(SecretUse::Session, &one), hash(SecretUse::PasswordLink, &one));
        assert_eq!(hash(SecretUse::Session, &one).hash_bytes().len(), 32);
        for text in
            ["", &one[1..], &format!("{one}A"), &one.replace(&one[..1], "/"), &"é".repeat(43)]
        {
            assert_eq!(hash_of(SecretUse::Session, text), None, "{text}");
        }
    }
}
