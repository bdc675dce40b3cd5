//! Addresses to listen on.

use std::net::SocketAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads where to listen.
///
/// # Errors
/// Says what is wanted where the text is no IP address and port.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wanted = |_| format!("{text:?} is no IP address and port, such as 127.0.0.1:5050");
    text.parse().map_err(wanted)
}

pub(super) fn listen_address<'de, D: Deserializer<'de>>(reader: D) -> Result<SocketAddr, D::Error> {
    parse_listen(&String::deserialize(reader)?).map_err(D::Error::custom)
}

/// Where health and metrics are served, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OpsListen {
    /// Nowhere.
    Off,
    /// On a listener of their own.
    At(SocketAddr),
}

impl std::str::FromStr for OpsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        parse_listen(text).map(Self::At).map_err(|problem| format!("{problem}, nor off"))
    }
}

impl TryFrom<String> for OpsListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
