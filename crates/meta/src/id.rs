//! Ids of rows.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSqlResult, ValueRef};
use tokio_postgres::types::{Type, accepts};
use uuid::Uuid;

/// The id of a row: 16 bytes, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

/// The error of a text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 32 lower-case hex digits")]
pub struct IdError;

impl Id {
    /// Makes an id that sorts after every id made before it (UUIDv7), so that new rows are neighbours in an index.
    #[expect(
        clippy::new_without_default,
        reason = "each call makes a new id: there is no default one"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7().into_bytes())
    }

    /// Makes an id that nobody can guess: it has 122 random bits (UUIDv4).
    pub fn random() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }

    /// Returns the id that sorts before all ids of [`Id::new`] made at this time (in microseconds since 1970) or later.
    pub fn first_at(time: i64) -> Self {
        let millis = u64::try_from(time / 1_000).unwrap_or_default();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Self(bytes)
    }

    /// Returns the bytes of the id.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl rusqlite::types::FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Self)
    }
}

impl<'a> tokio_postgres::types::FromSql<'a> for Id {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(<&[u8]>::from_sql(ty, raw)?.try_into()?))
    }

    accepts!(BYTEA);
}

impl From<[u8; 16]> for Id {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).as_simple().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(IdError);
        }
        Uuid::try_parse(text).map(|id| Self(id.into_bytes())).map_err(|_| IdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_rise() {
        let ids: Vec<_> = (0..1_000).map(|_| Id::new()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b && a.to_string() < b.to_string()));
    }

    #[test]
    fn the_first_id_of_a_time_is_between_those_before_and_after() {
        #[expect(clippy::disallowed_methods, reason = "ids are made by the system's clock")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let (now, id) = (now.expect("after 1970").as_micros() as i64, Id::new());
        assert!(Id::first_at(now) <= id && id < Id::first_at(now + 60_000_000));
        assert_eq!(Id::first_at(0), Id([0; 16]));
    }

    #[test]
    fn an_id_is_32_lower_case_digits() {
        let id = Id::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = "0123456789abcdef0123456789abcdef";
        assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &text[1..], &format!("{text}0")] {
            assert_eq!(text.parse::<Id>(), Err(IdError), "{text}");
        }
    }

    #[test]
    fn a_column_with_an_id_has_16_bytes() {
        let id = Id::random();
        let read = |bytes: &[u8]| rusqlite::types::FromSql::column_result(ValueRef::Blob(bytes));
        assert_eq!(read(&id.to_bytes()), Ok(id));
        read(&[0; 15]).map(|_: Id| ()).expect_err("too short");
    }
}
