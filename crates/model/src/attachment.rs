//! The ids of attachments. An id names an attachment within its repository.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::repository_rule::is_plain_name;

/// The length of the longest id that a client can choose. Digests are longer, so that no chosen id is a digest.
const MAX_CHOSEN_ID: usize = 63;

/// A text that is not the id of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an attachment's id is sha256-HEX, or up to {MAX_CHOSEN_ID} lowercase letters, numbers, hyphens, underscores and dots that begin with a letter and end with a letter or number"
)]
pub struct AttachmentIdError;

/// The id of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AttachmentId {
    /// The digest of the attachment's manifest, written with a hyphen in place of the colon: `sha256-HEX`.
    Digest(Digest),
    /// An id that the client chose when it created the attachment: `[a-z]([a-z0-9._-]*[a-z0-9])?`.
    Chosen(String),
}

impl AttachmentId {
    /// Checks an id that a client chose.
    pub fn parse_chosen(text: &str) -> Result<Self, AttachmentIdError> {
        let valid = text.len() <= MAX_CHOSEN_ID && is_plain_name(text);
        if valid { Ok(Self::Chosen(text.to_owned())) } else { Err(AttachmentIdError) }
    }
}

impl FromStr for AttachmentId {
    type Err = AttachmentIdError;

    fn from_str(text: &str) -> Result<Self, AttachmentIdError> {
        let (algorithm, hex) = text.split_once('-').unwrap_or_default();
        match format!("{algorithm}:{hex}").parse() {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => Self::parse_chosen(text),
        }
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => f.write_str(&digest.as_str().replacen(':', "-", 1)),
            Self::Chosen(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let digest = format!("sha256-{}", "0a".repeat(32));
        let read: AttachmentId = digest.parse().expect("valid");
        assert_eq!(
            (&read, read.to_string()),
            (&AttachmentId::Digest(digest.replace('-', ":").parse().unwrap()), digest.clone())
        );
        assert_eq!(AttachmentId::parse_chosen(&digest), Err(AttachmentIdError));
        for text in ["a", "my-sbom", "v1.0_x", "sha256-abc", &"a".repeat(MAX_CHOSEN_ID)] {
            assert_eq!(text.parse(), Ok(AttachmentId::Chosen(text.to_owned())));
        }
        let long = "a".repeat(MAX_CHOSEN_ID + 1);
        for text in [
            "",
            "A",
            "1a",
            "-a",
            "a-",
            "a.",
            "a/b",
            "a\0",
            "é",
            "sha256-",
            "sha256:",
            &digest.replace('-', ":"),
            &long,
        ] {
            assert_eq!(text.parse::<AttachmentId>(), Err(AttachmentIdError), "{text}");
        }
    }
}
