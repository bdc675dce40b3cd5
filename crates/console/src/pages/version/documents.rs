//! The documents of a version, its manifest and its config: what they say, and how they are stored. Each may have megabytes.

use engine::VersionContent;
use model::manifest::Manifest;

use crate::html::{Bytes, Untrusted};
use crate::pages::version::configuration::ImageConfiguration;
use crate::pages::version::descriptors::IndexEntry;

/// The longest document that is shown, in characters. The rest can be downloaded.
const MAX_SHOWN_CHARS: usize = 100_000;
/// The longest document in bytes that is written anew with one field on each line.
const MAX_INDENTED_BYTES: usize = 64 << 10;
/// The deepest nesting of such a document: indenting makes a deep one very much longer.
const MAX_INDENTED_DEPTH: usize = 12;

/// The documents of a version as the page shows them.
#[derive(Default)]
pub(crate) struct VersionDocuments {
    /// The manifest, if it can be read.
    pub(crate) parsed: Option<Manifest>,
    /// The manifests that an index names.
    pub(crate) index: Vec<IndexEntry>,
    pub(crate) config: ImageConfiguration,
    pub(crate) raw_manifest: Option<StoredDocument>,
    pub(crate) raw_config: Option<StoredDocument>,
}

/// A document as it is stored.
pub(crate) struct StoredDocument {
    pub(crate) text: Untrusted,
    pub(crate) bytes: Bytes,
    /// True if the text is only the beginning.
    pub(crate) is_cut: bool,
}

impl VersionDocuments {
    /// Reads the documents of a version. This takes long for long ones.
    pub(crate) fn read(content: VersionContent) -> Self {
        let VersionContent { manifest, parsed, config } = content;
        Self {
            parsed,
            index: IndexEntry::list_of(&manifest),
            config: ImageConfiguration::parse(config.as_deref().unwrap_or_default()),
            raw_manifest: Some(StoredDocument::of(&manifest)),
            raw_config: config.as_deref().map(StoredDocument::of),
        }
    }
}

impl StoredDocument {
    fn of(bytes: &[u8]) -> Self {
        let text = indented(bytes);
        let end = text.char_indices().nth(MAX_SHOWN_CHARS).map(|(end, _)| end);
        Self {
            is_cut: end.is_some(),
            text: Untrusted::whole(&text[..end.unwrap_or(text.len())]),
            bytes: Bytes(bytes.len() as i64),
        }
    }
}

/// Returns a JSON document with one field on each line. A long or deep one stays as it is.
fn indented(bytes: &[u8]) -> String {
    let as_it_is = || String::from_utf8_lossy(bytes).into_owned();
    if bytes.len() > MAX_INDENTED_BYTES || nesting(bytes) > MAX_INDENTED_DEPTH {
        return as_it_is();
    }
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let pretty = parsed.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    pretty.unwrap_or_else(as_it_is)
}

/// Returns an upper bound of the nesting of a document. Brackets within texts count too.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in bytes {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_documents_are_cut_between_characters() {
        let long = "密".repeat(MAX_SHOWN_CHARS + 1);
        let shown = StoredDocument::of(long.as_bytes());
        assert!(shown.is_cut && shown.text.text().chars().count() == MAX_SHOWN_CHARS);
        let whole = StoredDocument::of(br#"{"a":1}"#);
        assert!(!whole.is_cut);
        assert_eq!(whole.text.text(), "{\n  \"a\": 1\n}");
    }
}
