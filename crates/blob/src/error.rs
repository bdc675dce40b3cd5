//! What can go wrong with bytes.

use model::digest::Digest;
use rustix::io::Errno;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such copy.
    #[error("there is no such copy")]
    NotFound,
    /// Somebody else is writing to it.
    #[error("the copy is being written by somebody else")]
    Busy,
    /// No space, or a quota.
    #[error("no space left")]
    Full,
    /// Fewer bytes are there than were once durable.
    #[error("bytes that were stored are gone")]
    Lost,
    /// The bytes are not what they should be.
    #[error("the stored bytes have another digest")]
    Corrupt,
    /// A sync failed, now or before.
    #[error("the store failed to sync and takes no writes until a restart")]
    Unhealthy,
    /// The process has as many files open as it may.
    #[error("too many files are open")]
    TooManyFiles,
    /// Something that is not a plain file stands where the copy should be.
    #[error("the copy's place holds something that is no plain file")]
    NotAFile,
    /// Everything else.
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let number = error.raw_os_error().map(Errno::from_raw_os_error);
        if matches!(number, Some(Errno::MFILE | Errno::NFILE)) {
            return Self::TooManyFiles;
        }
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl From<Errno> for BlobError {
    fn from(error: Errno) -> Self {
        match error {
            // A symbolic link where none may be; a folder, or a socket.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO => Self::NotAFile,
            other => std::io::Error::from(other).into(),
        }
    }
}

/// Why a copy could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The bytes are others than announced.
    #[error("the bytes have digest {actual}")]
    Mismatch {
        /// What they are.
        actual: Digest,
    },
    /// They could not be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
}
