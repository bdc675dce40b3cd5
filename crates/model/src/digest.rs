//! Digests, and the hashers that compute them.
//!
//! A [`Digest`] is always `sha256:` or `sha512:` and lower-case hex of the right length, so that it needs no escaping
//! in a path, a query or a log. A [`DigestHasher`] computes a digest. The state of a hasher can be saved, and another process
//! can continue from it.

use std::fmt;
use std::str::FromStr;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// A hash function for digests. These two are the registered algorithms of the OCI image specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DigestAlgorithm {
    /// SHA-256, the algorithm that nearly all clients use.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Returns the name of the algorithm, which is the part of a digest before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for DigestAlgorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnknownAlgorithm),
        }
    }
}

/// The reasons why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The part before the colon is not a supported algorithm.
    #[error("digest algorithm must be sha256 or sha512")]
    UnknownAlgorithm,
    /// The part after the colon is not valid, or there is no colon.
    #[error("digest must be sha256: and 64 lower-case hex digits, or sha512: and 128 of them")]
    Malformed,
}

/// A digest: the name of some bytes that follows from the bytes themselves.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

impl Digest {
    /// Returns the SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_with(DigestAlgorithm::Sha256, bytes)
    }

    /// Returns the digest of `bytes` with `algorithm`.
    pub fn of_with(algorithm: DigestAlgorithm, bytes: &[u8]) -> Self {
        let mut hasher = DigestHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the digest as text, `ALGORITHM:HEX`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the algorithm of the digest.
    pub fn algorithm(&self) -> DigestAlgorithm {
        if self.0.starts_with("sha512") { DigestAlgorithm::Sha512 } else { DigestAlgorithm::Sha256 }
    }

    /// Returns the bytes of the hash.
    pub fn hash_bytes(&self) -> Vec<u8> {
        let (_, hex) = self.0.split_once(':').expect("every digest has a colon");
        let value = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        };
        hex.as_bytes().chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
    }

    fn from_hash(algorithm: DigestAlgorithm, hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(7 + hash.len() * 2);
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in hash {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self(text.into())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm: DigestAlgorithm = algorithm.parse()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.hex_length() || !hex.bytes().all(is_hex) {
            return Err(DigestError::Malformed);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running hash, which computes a digest of bytes that arrive in pieces.
#[derive(Debug, Clone)]
pub struct DigestHasher(HashState);

#[derive(Debug, Clone)]
enum HashState {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// The first byte of every saved state. A change of the format must raise this version. A state of another version is
/// not restored, and the bytes are hashed again.
const STATE_VERSION: u8 = 1;

impl DigestHasher {
    /// Creates a hasher that has seen no bytes.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self(match algorithm {
            DigestAlgorithm::Sha256 => HashState::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => HashState::Sha512(Sha512::new()),
        })
    }

    /// Adds the next bytes to the hash.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HashState::Sha256(state) => state.update(bytes),
            HashState::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of all bytes that were added.
    pub fn finish(self) -> Digest {
        match self.0 {
            HashState::Sha256(state) => {
                Digest::from_hash(DigestAlgorithm::Sha256, &state.finalize())
            }
            HashState::Sha512(state) => {
                Digest::from_hash(DigestAlgorithm::Sha512, &state.finalize())
            }
        }
    }

    /// Returns the state of the hasher, from which [`DigestHasher::restore`] continues.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![STATE_VERSION];
        match &self.0 {
            HashState::Sha256(state) => saved.extend_from_slice(&state.serialize()),
            HashState::Sha512(state) => saved.extend_from_slice(&state.serialize()),
        }
        saved
    }

    /// Restores a saved state. Returns `None` if the state has another version or algorithm, or cannot be read. The
    /// caller then has to hash all bytes again.
    pub fn restore(algorithm: DigestAlgorithm, saved: &[u8]) -> Option<Self> {
        let (&STATE_VERSION, state) = saved.split_first()? else { return None };
        Some(Self(match algorithm {
            DigestAlgorithm::Sha256 => HashState::Sha256(deserialize(state)?),
            DigestAlgorithm::Sha512 => HashState::Sha512(deserialize(state)?),
        }))
    }
}

fn deserialize<S: SerializableState>(state: &[u8]) -> Option<S> {
    let state = SerializedState::<S>::try_from(state).ok()?;
    S::deserialize(&state).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<DigestAlgorithm, DigestError>) {
        assert_eq!(text.parse::<Digest>().map(|digest| digest.algorithm()), expected, "{text}");
    }

    #[test]
    fn only_exact_digests_parse() {
        let (short, long) = ("a".repeat(64), "0".repeat(128));
        check(&format!("sha256:{short}"), Ok(DigestAlgorithm::Sha256));
        check(&format!("sha512:{long}"), Ok(DigestAlgorithm::Sha512));
        check(&format!("sha256:{long}"), Err(DigestError::Malformed));
        check(&format!("sha512:{short}"), Err(DigestError::Malformed));
        check(&format!("sha256:{}", "A".repeat(64)), Err(DigestError::Malformed));
        check(&format!("sha256:{}g", "a".repeat(63)), Err(DigestError::Malformed));
        check(&format!("sha256:{}/", "a".repeat(63)), Err(DigestError::Malformed));
        check(&format!("md5:{}", "a".repeat(32)), Err(DigestError::UnknownAlgorithm));
        check(&format!("SHA256:{short}"), Err(DigestError::UnknownAlgorithm));
        check(&short, Err(DigestError::Malformed));
        check("", Err(DigestError::Malformed));
        check("sha256:", Err(DigestError::Malformed));
    }

    #[test]
    fn known_hashes() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        let abc = Digest::of_with(DigestAlgorithm::Sha512, b"abc");
        assert!(abc.as_str().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        assert_eq!(abc.as_str().parse(), Ok(abc));
    }

    #[test]
    fn a_saved_hasher_continues() {
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            let bytes: Vec<u8> = (0..=255).cycle().take(1003).collect();
            for cut in [0, 1, 63, 64, 65, 127, 128, 500, 1003] {
                let mut hasher = DigestHasher::new(algorithm);
                hasher.update(&bytes[..cut]);
                let mut resumed =
                    DigestHasher::restore(algorithm, &hasher.save()).expect("just saved");
                resumed.update(&bytes[cut..]);
                assert_eq!(resumed.finish(), Digest::of_with(algorithm, &bytes));
            }
        }
    }

    #[test]
    fn a_state_of_another_version_or_algorithm_is_not_restored() {
        let saved = DigestHasher::new(DigestAlgorithm::Sha256).save();
        assert!(DigestHasher::restore(DigestAlgorithm::Sha512, &saved).is_none());
        assert!(DigestHasher::restore(DigestAlgorithm::Sha256, &saved[..50]).is_none());
        assert!(DigestHasher::restore(DigestAlgorithm::Sha256, &[]).is_none());
        let mut other = saved;
        other[0] = 9;
        assert!(DigestHasher::restore(DigestAlgorithm::Sha256, &other).is_none());
    }
}
