//! A person who is signed in, as a session proves it.

use std::fmt;
use std::str::FromStr;

use meta::{Id, IdError};

use crate::caller::Caller;
use crate::clock::Micros;

/// The id of a session. It proves nothing, and may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) Id);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

/// The kind of request that a session is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionUse {
    /// A person asked for a page.
    Page,
    /// A browser asks for a page that the person may ask for next. It is no sign of the person.
    Prefetch,
}

/// A person who is signed in.
#[derive(Debug, Clone)]
pub struct SignedInPerson {
    /// The person as a caller, whose permissions policies decide.
    pub caller: Caller,
    /// The id of the session.
    pub session_id: SessionId,
    /// The e-mail address of the person.
    pub email: String,
    /// The time of the sign-in.
    pub signed_in_at: Micros,
}

/// A person who is signed in, as the cache has it.
#[derive(Clone)]
pub(crate) struct CachedSession {
    pub(crate) person: SignedInPerson,
    pub(crate) last_seen_at: Micros,
    /// The time at which the session ends, however much it is used.
    pub(crate) expires_at: Micros,
}
