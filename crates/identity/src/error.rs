//! The errors of identity. The doors choose status and code; nothing here knows HTTP.

use std::cmp::Ordering;

use meta::MetaError;
use model::permission::Permission;

use crate::credentials::crypto::KeyError;

/// The error of an operation of [`Identity`](crate::Identity) that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The caller lacks a permission on a resource.
    #[error("Permission \"{permission}\" denied on resource \"{resource}\" (or it may not exist)")]
    Denied {
        /// The permission that was missing.
        permission: Permission,
        /// The full resource name.
        resource: String,
        /// True if the request carried no credential.
        anonymous: bool,
    },
    /// The OAuth scopes of the token do not cover the request. The words are Google's.
    #[error("Request had insufficient authentication scopes.")]
    InsufficientOauthScopes,
    /// The credential of the request is not accepted. The text is for the log.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A resource that a request names does not exist.
    #[error("{0} was not found")]
    ResourceUnknown(String),
    /// A resource of that name exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// Another request changed the resource meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The change is not possible in the present state of the resource.
    #[error("{0}")]
    Precondition(String),
    /// A field has an invalid value.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The name of the field.
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

/// The longest lifetime of a token that an account signs itself, in seconds.
pub(crate) const MAX_SELF_SIGNED_LIFE: i64 = 3600;

/// The reason for which a credential was refused. The texts are for the log. A client learns that the credential was
/// refused, and the reason only where the client can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The credential has expired: a new one will do.
    #[error("the credential has expired")]
    Expired,
    /// The credential was revoked.
    #[error("the credential was revoked")]
    Revoked,
    /// The key that the credential depends on is disabled, deleted or expired.
    #[error("the key is disabled, deleted or expired")]
    KeyDisabled,
    /// The account is disabled or deleted.
    #[error("the account is disabled or deleted")]
    AccountDisabled,
    /// The text is not a key file.
    #[error("the key file cannot be read")]
    KeyFile,
    /// The private key in a key file is not that of the id in the file.
    #[error("the private key in the key file is not that of the key id in the file")]
    OtherKey,
    /// The text is not a token, or not one that this registry accepts.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// The token has a right signature, but its times are wrong.
    #[error(transparent)]
    Times(#[from] WrongTokenTimes),
    /// The token has a right signature, but names the audience of another server.
    #[error("the token names another audience than this registry")]
    Audience,
    /// The token is limited to some images. Only a token without such a limit can be exchanged for another.
    #[error("a token that is limited to some images cannot be exchanged for another")]
    Limited,
    /// The credential is of a kind that this registry never gives out.
    #[error("this registry gives out no credentials of this kind")]
    Kind,
    /// The user name stands for no kind of credential.
    #[error("the user name stands for no kind of credential")]
    UserName,
    /// The credential is wrong, and so were too many before it.
    #[error(
        "the credential is wrong, like too many before it from that address or for that account"
    )]
    TooMany,
}

impl CredentialError {
    /// Returns whether the text never was a good credential here, so that it may be a guess. The other errors are of
    /// credentials that were good once, which clients send until they are told.
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

/// The reason for which a token was refused. The text is for the log: a client learns only that the token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token refused: {0}")]
pub struct JwtError(pub(crate) &'static str);

/// The fault in the times of a signed token, in seconds. Only a client that holds the key is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongTokenTimes {
    /// The token begins later than now.
    #[error(
        "the token is from the future: it begins {ahead} s ahead of this registry's clock, so the clock of the machine that signed it is fast, or the registry's is slow"
    )]
    Future {
        /// The seconds from now to the beginning of the token.
        ahead: i64,
    },
    /// The token lives for longer than an hour, which is the most for a token that an account signs itself.
    #[error(
        "the token is too long: its exp is {life} s after its iat, where {MAX_SELF_SIGNED_LIFE} s are the most, and its iat is {}",
        beside_clock(*ahead)
    )]
    TooLong {
        /// The seconds from its `iat` to its `exp`.
        life: i64,
        /// The seconds from now to its `iat`, negative if that is past.
        ahead: i64,
    },
    /// The token ends when it begins, or before.
    #[error("the token ends before it begins: its exp is not after its iat")]
    Backwards,
}

/// Describes a time by its distance from now, for a person who has to find out which clock is wrong.
fn beside_clock(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    match ahead.cmp(&0) {
        Ordering::Equal => "the time of this registry's clock".to_owned(),
        Ordering::Less => format!("{seconds} s behind this registry's clock"),
        Ordering::Greater => format!("{seconds} s ahead of this registry's clock"),
    }
}
