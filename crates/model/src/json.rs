//! JSON that every reader understands in the same way.
//!
//! A registry hands bytes on unread, to readers that differ: some take the first of two equal keys, some the
//! last, some do not tell upper from lower case. Documents that leave a choice are refused.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads `bytes` as one JSON value without equal keys in one object, at most 127 levels deep.
pub fn parse_strict<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Unambiguous.deserialize(&mut reader)?;
    reader.end()?;
    serde_json::from_slice(bytes)
}

/// Walks a value and keeps nothing but the keys of the objects that it is in.
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key.to_ascii_lowercase()) {
                return Err(A::Error::custom(format_args!(
                    "key {key:?} stands twice in one object"
                )));
            }
            seen.insert(key.to_ascii_lowercase());
            map.next_value_seed(Unambiguous)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Unambiguous)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    #[track_caller]
    fn check(json: &[u8], expected: bool) {
        let parsed = super::parse_strict::<IgnoredAny>(json);
        assert_eq!(parsed.is_ok(), expected, "{}", String::from_utf8_lossy(json));
    }

    #[test]
    fn documents_that_every_reader_reads_alike() {
        check(br#"{"a":1,"b":[{"a":2},{"a":3}],"c":null,"d":"x","e":1.5,"f":true}"#, true);
        check(br#"{"a":1,"a":1}"#, false);
        check(br#"{"a":1,"A":1}"#, false);
        check(br#"{"mediaType":1,"\u006dediaType":1}"#, false);
        check(br#"{"x":[{"a":1,"a":2}]}"#, false);
        check(b"{} {}", false);
        check(b"{}x", false);
        check(b"{}\0", false);
        check(b"\xef\xbb\xbf{}", false);
        check(b"{\0}", false);
        check(br#"{"a":"\ud800"}"#, false);
        check(b"{\"a\":\"\xff\"}", false);
        check(br#"{"a":1e999}"#, false);
        check(b"", false);
        check(&"{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), false);
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        check(nested(127).as_bytes(), true);
        check(nested(129).as_bytes(), false);
        check(nested(1_000_000).as_bytes(), false);
    }
}
