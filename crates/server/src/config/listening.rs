//! The addresses to listen on.

use std::net::SocketAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Parses an address to listen on.
///
/// # Errors
/// Fails if the text is no IP address and port.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let problem = |_| format!("{text:?} is no IP address and port, such as 127.0.0.1:5050");
    text.parse().map_err(problem)
}

pub(super) fn listen_address<'de, D: Deserializer<'de>>(reader: D) -> Result<SocketAddr, D::Error> {
    parse_listen(&String::deserialize(reader)?).map_err(D::Error::custom)
}

/// The address of a listener that may be off, as that of health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OpsListen {
    /// No listener.
    Off,
    /// A listener on this address.
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
