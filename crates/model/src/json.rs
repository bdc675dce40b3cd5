//! Strict JSON: documents that every client reads in the same way.
//!
//! A registry serves a document byte for byte, and clients parse it differently. Of two equal keys, some clients take
//! the first and some the last; clients that decode an object into a structure ignore the case of keys. A document that
//! two clients could read differently is refused here. It is read in one pass, keys are copied only where they have
//! escapes, and their number is bounded.

mod fields;
mod reader;

use std::cell::Cell;

use serde::Deserialize;

pub use fields::{ClientField, FieldTable};
use reader::{StrictDeserializer, ValueContext};

/// The largest number of keys that all objects of one document have together: twenty for each of the 5,000 descriptors
/// that a manifest may have.
pub const MAX_DOCUMENT_KEYS: usize = 100_000;

/// The largest number of characters of an error's text that are shown: serde repeats the value that it refuses.
const MAX_ERROR_CHARS: usize = 300;

/// Parses `bytes` as one JSON value, at most 127 levels deep. Two equal keys in one object are an error.
pub fn parse_strict<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    parse(bytes, None)
}

/// Parses `bytes` as [`parse_strict`] does. The outermost object has the fields of `table`: a key that some client
/// takes for one of these fields must be spelled exactly like the field.
pub fn parse_document<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    table: &'static FieldTable,
) -> serde_json::Result<T> {
    parse(bytes, Some(table))
}

fn parse<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    table: Option<&'static FieldTable>,
) -> serde_json::Result<T> {
    let keys_left = Cell::new(MAX_DOCUMENT_KEYS);
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let context = ValueContext { keys_left: &keys_left, table };
    let value = T::deserialize(StrictDeserializer { source: &mut source, context })?;
    source.end()?;
    Ok(value)
}

/// Returns the text of an error. A long value that the text repeats is cut off.
pub fn describe_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(MAX_ERROR_CHARS) {
        None => text,
        Some((end, _)) => {
            let (line, column) = (error.line(), error.column());
            format!("{}… at line {line} column {column}", &text[..end])
        }
    }
}

#[cfg(test)]
mod tests;
