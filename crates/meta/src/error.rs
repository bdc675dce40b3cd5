//! The errors of both databases under common kinds, without types of a driver or names of constraints.

use std::io;

/// An error of the database. Its text is meant for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct MetaError {
    kind: ErrorKind,
    message: String,
}

/// The kind of an error, by which a caller decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A row with the same key exists already.
    Unique,
    /// A row that another one refers to is missing, or would be deleted.
    ForeignKey,
    /// A column does not accept the value.
    InvalidValue,
    /// Another transaction was in conflict with this one. The closure has to run again.
    Retry,
    /// The outcome of the commit is not known.
    UnknownOutcome,
    /// The database cannot answer now.
    Unavailable,
    /// The disk of the database is full. The transaction is rolled back.
    DiskFull,
    /// The files of the database are not where they were opened.
    FilesMoved,
    /// A row holds a value that this version of Berth cannot read.
    Corrupt,
    /// An error of no other kind.
    Other,
}

/// Tells whether a closure's error came from the database, so that its transaction can be run again.
pub trait RetryCause {
    /// Returns the error of the database, if the closure failed because of one.
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

    /// Returns whether the same transaction may succeed when it runs again.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Retry | ErrorKind::Unavailable)
    }

    /// Returns the kind, by which a caller decides what to do.
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
            // The log's index (the `-shm` file) cannot grow.
            ffi::SQLITE_IOERR_SHMSIZE => ErrorKind::DiskFull,
            ffi::SQLITE_CONSTRAINT_CHECK
            | ffi::SQLITE_CONSTRAINT_NOTNULL
            | ffi::SQLITE_CONSTRAINT_DATATYPE => ErrorKind::InvalidValue,
            _ => match code & 0xff {
                // Another process held the lock for longer than the busy timeout.
                ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => ErrorKind::Unavailable,
                ffi::SQLITE_FULL => ErrorKind::DiskFull,
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
            // The connection was lost, or could not be made.
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

/// Returns the kind of a PostgreSQL error code (PostgreSQL's manual, appendix A).
fn kind_of_state(state: &str) -> ErrorKind {
    match state {
        "23505" => ErrorKind::Unique,
        "23503" => ErrorKind::ForeignKey,
        "23502" | "23514" => ErrorKind::InvalidValue,
        // Serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => ErrorKind::Retry,
        "53100" => ErrorKind::DiskFull,
        // An operator has set the database to accept no connections.
        "55000" => ErrorKind::Unavailable,
        // The classes of connection errors, of insufficient resources and of an operator's intervention.
        _ if ["08", "53", "57"].iter().any(|class| state.starts_with(class)) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Other,
    }
}
