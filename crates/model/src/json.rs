//! JSON that every reader understands in the same way.
//!
//! A registry hands bytes on unread, to readers that differ: some take the first of two equal keys, some the
//! last, and those that read an object into a structure do not tell upper from lower case. Documents that leave a
//! choice are refused. A document is read in one pass, keys are not copied, and their number is bounded.

mod fields;
mod reader;

use std::cell::Cell;

use serde::Deserialize;

pub use fields::{ClientField, FieldTable};
use reader::{Place, Reader};

/// How many keys all objects of one document may have together: twenty for each thing that a manifest may name.
pub const MAX_KEYS: usize = 100_000;

/// How many characters of an error's text are shown: readers repeat the value that they refuse.
const SHOWN_PROBLEM: usize = 300;

/// Reads `bytes` as one JSON value without equal keys in one object, at most 127 levels deep.
pub fn parse_strict<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    parse(bytes, None)
}

/// Reads `bytes` as [`parse_strict`] does, where the outermost object has the fields of `table`: a key that some
/// client takes for one of them is refused, unless it is spelled exactly so.
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
    let keys_left = Cell::new(MAX_KEYS);
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let place = Place { keys_left: &keys_left, table };
    let value = T::deserialize(Reader { source: &mut source, place })?;
    source.end()?;
    Ok(value)
}

/// The text of an error, without most of a long value that it repeats.
pub fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(SHOWN_PROBLEM) {
        None => text,
        Some((end, _)) => {
            let (line, column) = (error.line(), error.column());
            format!("{}… at line {line} column {column}", &text[..end])
        }
    }
}

#[cfg(test)]
mod tests;
