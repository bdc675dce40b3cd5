//! Keys that sign, verify and seal. The only module that knows the cryptographic library.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};

/// The error of a key that cannot be used. It says nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key cannot be used")]
pub(crate) struct KeyError;

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

impl From<aws_lc_rs::error::KeyRejected> for KeyError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self
    }
}

/// The secret that seals every private key in the database. It is in a file beside the blobs, never in the database.
pub struct MasterKey {
    sealing: SealingKey,
    /// The key that seals page tokens. It is derived from the same bytes, but is a key of its own, because page tokens
    /// are sealed as often as clients ask for lists.
    page_tokens: SealingKey,
}

/// A key that seals secrets, and opens them again.
pub(crate) struct SealingKey(RandomizedNonceKey);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// The length of a master key, in bytes.
    pub const LENGTH: usize = 32;

    /// Makes the key from the bytes of its file.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        // The text is part of what page tokens are sealed with: another text would make them void.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"places in lists");
        Self { sealing: SealingKey::new(bytes), page_tokens: SealingKey::new(derived.as_ref()) }
    }

    /// Returns the bytes of a new key, for a file.
    pub fn generate() -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
        bytes
    }

    /// Returns the key that seals page tokens.
    pub(crate) fn page_token_key(&self) -> &SealingKey {
        &self.page_tokens
    }

    /// Seals a secret that belongs to the row `owner`: it opens for no other row.
    pub(crate) fn seal(&self, owner: &str, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sealing.seal(owner, secret)
    }

    /// Opens a secret that [`MasterKey::seal`] sealed for `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sealing.open(owner, sealed)
    }
}

impl SealingKey {
    fn new(bytes: &[u8]) -> Self {
        Self(RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("of the right length"))
    }

    /// Seals a secret that belongs to `owner`: it opens for no other owner.
    pub(crate) fn seal(&self, owner: &str, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut sealed = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    /// Opens a secret that [`SealingKey::seal`] sealed for `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(KeyError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let mut text = text.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// A key that signs our own tokens (ES256).
pub(crate) struct TokenKey(EcdsaKeyPair);

impl TokenKey {
    /// Returns a new key, as PKCS #8.
    pub(crate) fn generate() -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        Ok(document.as_ref().to_vec())
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)?))
    }

    /// Returns the public key: the point on the curve, uncompressed.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.0.sign(&SystemRandom::new(), message)?.as_ref().to_vec())
    }
}

/// Checks a signature of a [`TokenKey`].
pub(crate) fn verify_es256(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key).verify(message, signature).is_ok()
}

/// A service account's key (RS256).
pub(crate) struct AccountKey(RsaKeyPair);

impl AccountKey {
    /// Returns a new key, and the same as PKCS #8.
    pub(crate) fn generate() -> Result<(Self, Vec<u8>), KeyError> {
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let der = der.as_ref().to_vec();
        Ok((Self(pair), der))
    }

    /// Reads a key of 2048 bits, the size that we make. Larger keys are refused unread: they cost many times as much.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        const MAX_DER_BYTES: usize = 1300;
        if der.len() > MAX_DER_BYTES {
            return Err(KeyError);
        }
        let pair = RsaKeyPair::from_pkcs8(der)?;
        if pair.public_modulus_len() != 2048 / 8 { Err(KeyError) } else { Ok(Self(pair)) }
    }

    /// Returns the public key, as SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, KeyError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der()?;
        Ok(der.as_ref().to_vec())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }
}

/// Checks a signature of an [`AccountKey`].
pub(crate) fn verify_rs256(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_owner_only() {
        let master = MasterKey::new(&MasterKey::generate());
        let sealed = master.seal("row 1", b"secret").expect("it seals");
        assert_eq!(master.open("row 1", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(master.open("row 2", &sealed), Err(KeyError));
        let other = MasterKey::new(&MasterKey::generate());
        assert_eq!(other.open("row 1", &sealed), Err(KeyError));
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        assert_eq!(master.open("row 1", &changed), Err(KeyError));
        assert_eq!(master.open("row 1", &sealed[..5]), Err(KeyError));
        assert_eq!(format!("{master:?}"), "MasterKey");
    }

    #[test]
    fn signatures() {
        let token = TokenKey::from_pkcs8(&TokenKey::generate().expect("made")).expect("read");
        let signature = token.sign(b"message").expect("signed");
        assert!(verify_es256(&token.public_key(), b"message", &signature));
        assert!(!verify_es256(&token.public_key(), b"another", &signature));
        let (account, der) = AccountKey::generate().expect("made");
        let same = AccountKey::from_pkcs8(&der).expect("read");
        assert_eq!(account.public_key(), same.public_key());
        let signature = same.sign(b"message").expect("signed");
        let public = account.public_key().expect("it has one");
        assert!(verify_rs256(&public, b"message", &signature));
        assert!(!verify_rs256(&public, b"another", &signature));
        assert!(!verify_rs256(b"", b"message", &signature));
    }

    #[test]
    fn keys_of_another_size_are_not_looked_at() {
        let larger = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa3072).expect("made");
        let der: Pkcs8V1Der<'_> = larger.as_der().expect("written");
        assert!(RsaKeyPair::from_pkcs8(der.as_ref()).is_ok());
        assert!(AccountKey::from_pkcs8(der.as_ref()).is_err());
    }
}
