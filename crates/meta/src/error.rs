//! What can go wrong in a database, in words that both share: no driver's type and no constraint's name.

use std::io;

/// An error of the database. The text is for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct MetaError {
    kind: ErrorKind,
    message: String,
}

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A row of that key is there.
    Unique,
    /// A row that is referred to is missing, or a row is still referred to.
    ForeignKey,
    /// A value that its column does not take.
    Check,
    /// Another transaction was in the way: run the closure again.
    Retry,
    /// Whether the transaction was committed is not known.
    Lost,
    /// The database cannot answer now.
    Unavailable,
    /// The disk that the database is on is full. Nothing was kept.
    Full,
    /// The database's files are not where they were opened.
    Away,
    /// A row does not hold what it should.
    Corrupt,
    /// Everything else.
    Other,
}

/// Tells whether a closure's error came from the database, so that its transaction can be run again.
pub trait RetryCause {
    /// The database's error, if that is what it is.
    fn retry_cause(&self) -> Option<&MetaError>;
}

impl RetryCause for MetaError {
    fn retry_cause(&self) -> Option<&MetaError> {
        Some(self)
    }
}

impl MetaError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        Self::new(ErrorKind::Corrupt, format!("the database holds something else than {what}"))
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Whether the same transaction may go well when it is run again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.kind, ErrorKind::Retry | ErrorKind::Unavailable)
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<rusqlite::Error> for MetaError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi;
        let code = error.sqlite_error().map_or(ffi::SQLITE_ERROR, |error| error.extended_code);
        let kind = match code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => ErrorKind::Unique,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
                ErrorKind::ForeignKey
            }
            // The index of the log finds no room to grow.
            ffi::SQLITE_IOERR_SHMSIZE => ErrorKind::Full,
            ffi::SQLITE_CONSTRAINT_CHECK
            | ffi::SQLITE_CONSTRAINT_NOTNULL
            | ffi::SQLITE_CONSTRAINT_DATATYPE => ErrorKind::Check,
            _ => match code & 0xff {
                // Busy: another process held the lock for longer than the time to wait for it.
                ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => ErrorKind::Unavailable,
                ffi::SQLITE_FULL => ErrorKind::Full,
                ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => ErrorKind::Corrupt,
                _ => ErrorKind::Other,
            },
        };
        Self::new(kind, format!("SQLite: {error}"))
    }
}

impl From<tokio_postgres::Error> for MetaError {
    fn from(error: tokio_postgres::Error) -> Self {
        let source = std::error::Error::source(&error);
        let kind = match error.code() {
            Some(state) => kind_of_state(state.code()),
            // The connection is gone, or never came to be.
            None if error.is_closed() || source.is_some_and(|source| source.is::<io::Error>()) => {
                ErrorKind::Unavailable
            }
            None => ErrorKind::Other,
        };
        let detail = error.as_db_error().map(|error| error.message().to_owned());
        let detail = detail.or_else(|| source.map(ToString::to_string));
        Self::new(kind, format!("PostgreSQL: {error}: {}", detail.unwrap_or_default()))
    }
}

/// The kinds of PostgreSQL's error codes (its manual, appendix A).
fn kind_of_state(state: &str) -> ErrorKind {
    match state {
        "23505" => ErrorKind::Unique,
        "23503" => ErrorKind::ForeignKey,
        "23502" | "23514" => ErrorKind::Check,
        // Serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => ErrorKind::Retry,
        "53100" => ErrorKind::Full,
        // An operator lets nobody connect to this database.
        "55000" => ErrorKind::Unavailable,
        // Connection trouble, too little of something, an operator at work.
        _ if ["08", "53", "57"].iter().any(|class| state.starts_with(class)) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Other,
    }
}
