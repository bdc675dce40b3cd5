//! The ways by which changes come. Each event and each change of a tag has one.

use crate::{MetaError, SqlRow};

/// The way by which a change came to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeWay {
    /// A client of the registry protocol, such as docker.
    Push,
    /// A method of the APIs.
    Api,
    /// The web console.
    Console,
    /// The web console, which put a tag back to what it named before.
    Restore,
    /// The cleanup policies of the repository.
    Cleanup,
    /// The eviction of what a remote repository need not keep.
    Eviction,
    /// The fetch of a remote repository from its upstream.
    Fetch,
    /// A command of the operator, or the start of the server.
    Operator,
    /// Nobody knows: an older version of Berth recorded the change.
    Unknown,
}

impl ChangeWay {
    /// All ways.
    pub const ALL: [Self; 9] = [
        Self::Push,
        Self::Api,
        Self::Console,
        Self::Restore,
        Self::Cleanup,
        Self::Eviction,
        Self::Fetch,
        Self::Operator,
        Self::Unknown,
    ];

    /// Returns the name of the way in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Api => "api",
            Self::Console => "console",
            Self::Restore => "restore",
            Self::Cleanup => "cleanup",
            Self::Eviction => "eviction",
            Self::Fetch => "fetch",
            Self::Operator => "operator",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the way with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.as_str() == text)
    }
}

/// Reads a way from a column.
pub(crate) fn way_at(row: &SqlRow<'_>, column: usize) -> Result<ChangeWay, MetaError> {
    let way = ChangeWay::parse(row.text_ref(column)?);
    way.ok_or_else(|| MetaError::corrupt("the way of a change"))
}
