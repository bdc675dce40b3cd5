//! Tags and references: the names by which clients request a manifest.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The reasons why a text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text has no colon, and is not a valid tag.
    #[error(
        "invalid tag: up to 128 letters, digits, '_', '.' and '-', beginning with a letter, a digit or '_'"
    )]
    Tag,
    /// The text has a colon, and is not a valid digest.
    #[error(transparent)]
    Digest(#[from] crate::digest::DigestError),
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// Returns whether the tag has the form `sha256-HEX`, perhaps with a suffix such as `.sig`. Clients use such tags
    /// in place of the referrers API, and overwrite the tag with each new signature or attestation.
    pub fn is_referrers_fallback(&self) -> bool {
        self.fallback_subject().is_some()
    }

    /// Returns the digest of the manifest to which such a tag attaches another one, or `None` for other tags.
    pub fn fallback_subject(&self) -> Option<Digest> {
        let (hex, rest) = self.0.strip_prefix("sha256-")?.split_at_checked(64)?;
        let is_suffix = rest.is_empty() || rest.starts_with(['.', '-']);
        format!("sha256:{hex}").parse().ok().filter(|_| is_suffix)
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let is_inner = |byte: &u8| is_word(byte) || matches!(byte, b'.' | b'-');
        let bytes = text.as_bytes();
        let valid =
            bytes.len() <= 128 && bytes.first().is_some_and(is_word) && bytes.iter().all(is_inner);
        if valid { Ok(Self(text.into())) } else { Err(ReferenceError::Tag) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last part of the path `/v2/NAME/manifests/REFERENCE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A tag, which may be moved to another manifest.
    Tag(Tag),
    /// The digest of the manifest.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Parses a tag or a digest. A digest has a colon and a tag has none, so that no text is both.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse() {
            Ok(Reference::Tag(_)) => "tag",
            Ok(Reference::Digest(_)) => "digest",
            Err(ReferenceError::Tag | ReferenceError::Digest(_)) => "error",
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn tags_in_place_of_the_referrers_api() {
        let hex = "0123456789abcdef".repeat(4);
        for (tag, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}-att"), true),
            (format!("sha256-{hex}0"), false),
            (format!("sha256-{}", &hex[1..]), false),
            (format!("sha256-{}", hex.to_uppercase()), false),
            (format!("sha512-{hex}"), false),
            (hex.clone(), false),
            ("latest".to_owned(), false),
        ] {
            let parsed: Tag = tag.parse().expect("a tag");
            assert_eq!(parsed.is_referrers_fallback(), expected, "{tag}");
        }
    }

    #[test]
    fn tags_and_digests() {
        check("latest", "tag");
        check("_", "tag");
        check("1.0-rc_2", "tag");
        check(&"a".repeat(128), "tag");
        check(&"a".repeat(129), "error");
        check("", "error");
        check(".a", "error");
        check("-a", "error");
        check("a/b", "error");
        check("a b", "error");
        check("a%2fb", "error");
        check("ä", "error");
        check(&format!("sha256:{}", "0".repeat(64)), "digest");
        check(&format!("sha256-{}", "0".repeat(64)), "tag");
        check("sha256:abc", "error");
        check("a:b", "error");
    }
}
