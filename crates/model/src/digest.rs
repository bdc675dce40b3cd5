//! Digests: names that follow from content.
//!
//! A [`Digest`] is `sha256:` or `sha512:` and lower-case hex of the right length, nothing else: it can go into
//! a path, a query or a log as it is. A [`Hasher`] makes one, and can be put aside and taken up again in
//! another process.

use std::fmt;
use std::str::FromStr;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// A hash function that a digest may be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// What everybody uses.
    #[default]
    Sha256,
    /// Longer; the other one that the OCI image specification registers.
    Sha512,
}

impl Algorithm {
    /// Its name before the colon.
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

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnknownAlgorithm),
        }
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The part before the colon.
    #[error("digest algorithm must be sha256 or sha512")]
    UnknownAlgorithm,
    /// The part after it, or no colon at all.
    #[error("digest must be sha256: and 64 lower-case hex digits, or sha512: and 128 of them")]
    Malformed,
}

/// The name of some bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_with(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes` by `algorithm`.
    pub fn of_with(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// `ALGORITHM:HEX`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it was made with.
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The hash itself.
    pub fn hash(&self) -> Vec<u8> {
        let (_, hex) = self.0.split_once(':').expect("made with one");
        let value = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        };
        hex.as_bytes().chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
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
        let algorithm: Algorithm = algorithm.parse()?;
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

/// A digest in the making.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Leads every saved state: a change of its format must raise it, and an unknown one is hashed anew.
const STATE_VERSION: u8 = 1;

impl Hasher {
    /// Begins at no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_hash(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_hash(Algorithm::Sha512, &state.finalize()),
        }
    }

    /// Everything that [`Hasher::restore`] needs to go on from here.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![STATE_VERSION];
        match &self.0 {
            State::Sha256(state) => saved.extend_from_slice(&state.serialize()),
            State::Sha512(state) => saved.extend_from_slice(&state.serialize()),
        }
        saved
    }

    /// Takes up a saved state. `None`: it is not one of this version and algorithm, so hash the bytes again.
    pub fn restore(algorithm: Algorithm, saved: &[u8]) -> Option<Self> {
        let (&STATE_VERSION, state) = saved.split_first()? else { return None };
        Some(Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(deserialize(state)?),
            Algorithm::Sha512 => State::Sha512(deserialize(state)?),
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
    fn check(text: &str, expected: Result<Algorithm, DigestError>) {
        assert_eq!(text.parse::<Digest>().map(|digest| digest.algorithm()), expected, "{text}");
    }

    #[test]
    fn only_exact_digests_parse() {
        let (short, long) = ("a".repeat(64), "0".repeat(128));
        check(&format!("sha256:{short}"), Ok(Algorithm::Sha256));
        check(&format!("sha512:{long}"), Ok(Algorithm::Sha512));
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
        let abc = Digest::of_with(Algorithm::Sha512, b"abc");
        assert!(abc.as_str().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        assert_eq!(abc.as_str().parse(), Ok(abc));
    }

    #[test]
    fn a_saved_hasher_goes_on() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let bytes: Vec<u8> = (0..=255).cycle().take(1003).collect();
            for cut in [0, 1, 63, 64, 65, 127, 128, 500, 1003] {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(&bytes[..cut]);
                let mut resumed = Hasher::restore(algorithm, &hasher.save()).expect("just saved");
                resumed.update(&bytes[cut..]);
                assert_eq!(resumed.finish(), Digest::of_with(algorithm, &bytes));
            }
        }
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let saved = Hasher::new(Algorithm::Sha256).save();
        assert!(Hasher::restore(Algorithm::Sha512, &saved).is_none());
        assert!(Hasher::restore(Algorithm::Sha256, &saved[..50]).is_none());
        assert!(Hasher::restore(Algorithm::Sha256, &[]).is_none());
        let mut other = saved;
        other[0] = 9;
        assert!(Hasher::restore(Algorithm::Sha256, &other).is_none());
    }
}
