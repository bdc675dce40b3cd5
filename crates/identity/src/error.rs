//! The errors of identity. `server` and `google` choose status and code; nothing here knows HTTP.

use std::cmp::Ordering;

use meta::MetaError;
use model::permission::Permission;

use crate::credentials::crypto::KeyError;

/// Why a question about identity was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The caller may not do this here.
    #[error("Permission \"{permission}\" denied on resource \"{resource}\" (or it may not exist)")]
    Denied {
        /// The permission that was missing.
        permission: Permission,
        /// The full resource name.
        resource: String,
        /// Whether the request carried no credential.
        anonymous: bool,
    },
    /// The token was made for less. The words are Google's.
    #[error("Request had insufficient authentication scopes.")]
    InsufficientOauthScopes,
    /// A credential that was sent and is not accepted. The text is for the log.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Something named by the APIs does not exist.
    #[error("{0} was not found")]
    ResourceUnknown(String),
    /// Something of that name exists.
    #[error("{0}")]
    AlreadyExists(String),
    /// Somebody else changed the resource meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The change is not possible in the state that things are in.
    #[error("{0}")]
    Precondition(String),
    /// A field does not hold what it should.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// The database refused or failed.
    #[error(transparent)]
    Database(#[from] MetaError),
    /// A fault of ours or of the machine. The text is for the log, not for the client.
    #[error("internal error: {0}")]
    Internal(String),
}

impl IdentityError {
    /// Returns the error for a field with a wrong value.
    pub(crate) fn invalid(field: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::InvalidArgument { field, problem: problem.to_string() }
    }
}

impl meta::RetryCause for IdentityError {
    fn retry_cause(&self) -> Option<&MetaError> {
        match self {
            Self::Database(error) => Some(error),
            Self::Denied { .. }
            | Self::InsufficientOauthScopes
            | Self::Credential(_)
            | Self::ResourceUnknown(_)
            | Self::AlreadyExists(_)
            | Self::Conflict(_)
            | Self::Precondition(_)
            | Self::InvalidArgument { .. }
            | Self::Internal(_) => None,
        }
    }
}

impl From<JwtError> for IdentityError {
    fn from(error: JwtError) -> Self {
        Self::Credential(CredentialError::Token(error))
    }
}

impl From<KeyError> for IdentityError {
    fn from(_: KeyError) -> Self {
        Self::Internal("cannot make a key".to_owned())
    }
}

/// The longest time that a token which an account signs itself may live, in seconds.
pub(crate) const MAX_SELF_SIGNED_LIFE: i64 = 3600;

/// Why a credential was refused. The texts are for the log; a client learns that it was refused, and where
/// it can do something about it, what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Its time is over: a new one will do.
    #[error("the credential has expired")]
    Expired,
    /// It was taken back.
    #[error("the credential was revoked")]
    Revoked,
    /// The key that it rests on is switched off, deleted, or past its time.
    #[error("the key is disabled, deleted or expired")]
    KeyDisabled,
    /// The account is switched off or deleted.
    #[error("the account is disabled or deleted")]
    AccountDisabled,
    /// Not a key file.
    #[error("the key file cannot be read")]
    KeyFile,
    /// A key file whose private key is not the one of that id.
    #[error("the private key is not that of the key it names")]
    OtherKey,
    /// Not a token, or not one of ours.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// Signed as it should be, by who may, for times that cannot be.
    #[error(transparent)]
    Times(#[from] WrongTokenTimes),
    /// Signed as it should be, by who may, for somebody else.
    #[error("the token names another audience than this registry")]
    Audience,
    /// A token for some images, where only one for all that its holder may makes another.
    #[error("a token that is limited makes no other")]
    Limited,
    /// Of a kind that nobody was ever given here.
    #[error("nobody was given a credential of this kind")]
    Kind,
    /// A user name that stands for no kind of credential.
    #[error("the user name stands for no kind of credential")]
    UserName,
    /// A wrong one, and not the first.
    #[error("it is wrong, as too many before it from that address or for that account")]
    TooMany,
}

impl CredentialError {
    /// Whether it never was a credential. Others were good once, and clients send them until they learn better.
    pub fn is_guess(&self) -> bool {
        match self {
            Self::KeyFile | Self::OtherKey | Self::Token(_) | Self::UserName | Self::Kind => true,
            Self::Expired
            | Self::Times(_)
            | Self::Audience
            | Self::Limited
            | Self::Revoked
            | Self::KeyDisabled
            | Self::AccountDisabled
            | Self::TooMany => false,
        }
    }
}

/// Why a token was refused. The text is for the log: a client learns only that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token refused: {0}")]
pub struct JwtError(pub(crate) &'static str);

/// What is wrong with the times that a signed token states, in seconds. Only who holds the key is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongTokenTimes {
    /// It begins later than now.
    #[error(
        "the token is from the future: it begins {ahead} s ahead of this registry's clock, so the clock of the machine that signed it is fast, or the registry's is slow"
    )]
    Future {
        /// How much later.
        ahead: i64,
    },
    /// It lives for longer than a token that an account signs itself may.
    #[error(
        "the token is too long: its exp is {life} s after its iat, where {MAX_SELF_SIGNED_LIFE} s are the most, and its iat is {}",
        beside_clock(*ahead)
    )]
    TooLong {
        /// From its `iat` to its `exp`.
        life: i64,
        /// How far its `iat` is ahead of now.
        ahead: i64,
    },
    /// It ends when it begins, or before.
    #[error("the token ends before it begins: its exp is not after its iat")]
    Backwards,
}

/// How a time stands to now, for who has to find out which clock is off.
fn beside_clock(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    match ahead.cmp(&0) {
        Ordering::Equal => "the time of this registry's clock".to_owned(),
        Ordering::Less => format!("{seconds} s behind this registry's clock"),
        Ordering::Greater => format!("{seconds} s ahead of this registry's clock"),
    }
}
