//! The id of a store, by which a database recognizes its own store.

use std::fmt;
use std::str::FromStr;

/// The id that a folder of copies and its database share: 16 bytes. The text form is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId([u8; 16]);

/// A text that is not the id of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a store is 32 lower-case hex digits")]
pub struct StoreIdError;

impl From<[u8; 16]> for StoreId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl FromStr for StoreId {
    type Err = StoreIdError;

    fn from_str(text: &str) -> Result<Self, StoreIdError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(StoreIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| StoreIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let id = StoreId::from([0x0f; 16]);
        assert_eq!(id.to_string(), "0f".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "0f", &"0F".repeat(16), &"+f".repeat(16), &"0f".repeat(17)] {
            assert_eq!(wrong.parse::<StoreId>(), Err(StoreIdError), "{wrong}");
        }
    }
}
