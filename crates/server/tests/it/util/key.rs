//! A service account's key file, and signatures with it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Encodes a part of a token in base64.
pub(crate) fn encode_part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The header and the claims of a token.
pub(crate) fn decode_token(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
        serde_json::from_slice(&bytes).unwrap_or_default()
    });
    (parts.next().expect("a header"), parts.next().expect("claims"))
}

/// Reads the key file of the owner, and asserts that nobody else may read it.
pub(crate) fn read_owner_key(path: &Path) -> AccountKey {
    let mode = std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "it is its owner's alone");
    AccountKey::new(&std::fs::read(path).expect("readable"))
}

/// The pair of all accounts that tests store themselves. Making a pair takes long.
static SHARED_PAIR: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a new pair"));

/// A key file.
#[derive(Clone)]
pub(crate) struct AccountKey {
    pub(crate) file: Value,
}

impl AccountKey {
    pub(crate) fn new(file: &[u8]) -> Self {
        Self { file: serde_json::from_slice(file).expect("a key file is JSON") }
    }

    /// The file of a key that has the shared pair.
    pub(crate) fn with_shared_pair(email: &str, id: &str) -> Self {
        let private: Pkcs8V1Der<'_> = SHARED_PAIR.as_der().expect("a private key");
        let encoded = STANDARD.encode(private.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n");
        let file = json!({
            "type": "service_account", "client_email": email,
            "private_key_id": id, "private_key": pem,
        });
        Self { file }
    }

    fn field(&self, name: &str) -> &str {
        self.file[name].as_str().expect("every key file has it")
    }

    pub(crate) fn email(&self) -> &str {
        self.field("client_email")
    }

    pub(crate) fn id(&self) -> &str {
        self.field("private_key_id")
    }

    /// The private key, as in the file but without line breaks.
    pub(crate) fn private_key_base64(&self) -> String {
        self.field("private_key").lines().filter(|line| !line.starts_with('-')).collect()
    }

    pub(crate) fn key_pair(&self) -> RsaKeyPair {
        let der = STANDARD.decode(self.private_key_base64()).expect("base64");
        RsaKeyPair::from_pkcs8(&der).expect("a private key")
    }

    /// The public key, as SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let pair = self.key_pair();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
        public.as_ref().to_vec()
    }

    /// The same key file with one field changed.
    pub(crate) fn with_field(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut file = self.file.clone();
        file[name] = value.into();
        Self { file }
    }

    /// Signs a token with this header and these claims.
    pub(crate) fn sign_token(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode_part(header), encode_part(claims));
        let signature = self.sign_bytes(message.as_bytes());
        format!("{message}.{}", encode_part(signature))
    }

    /// Signs bytes by RS256.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let pair = self.key_pair();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("it signs");
        signature
    }

    /// Signs a token with these claims and the key's usual header.
    pub(crate) fn signed_token(&self, claims: &Value) -> String {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.id() });
        self.sign_token(&header.to_string(), &claims.to_string())
    }

    /// The claims of an assertion as gcloud sends it at `now`.
    pub(crate) fn assertion_claims(&self, now: i64) -> Value {
        json!({
            "iss": self.email(), "sub": self.email(), "iat": now, "exp": now + 3600,
            "aud": "https://oauth2.googleapis.com/token",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
        })
    }
}
