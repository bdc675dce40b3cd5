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
    /// The file was written to while it was read.
    #[error("the copy changed while it was read")]
    Changed,
    /// The store is not the one that was opened, or cannot be found. What it says of copies proves nothing.
    #[error("{0}")]
    Away(String),
    /// Everything else.
    #[error(transparent)]
    Io(std::io::Error),
}

/// What an error says about a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// There is no such copy.
    Missing,
    /// Something stands in the copy's place that cannot be opened or read.
    Unreadable,
    /// The bytes are others than they should be, or fewer.
    Corrupt,
    /// Nothing: the machine or the store could not do its part.
    Nothing,
}

impl BlobError {
    /// What the error of a read says about the copy. It counts only where the store is itself
    /// ([`crate::BlobStore::check_place`]).
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotFound => Blame::Missing,
            Self::NotAFile => Blame::Unreadable,
            Self::Lost | Self::Corrupt => Blame::Corrupt,
            Self::Io(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(code) if OF_THE_COPY.contains(&code) => Blame::Unreadable,
                Some(_) | None => Blame::Nothing,
            },
            Self::Busy
            | Self::Full
            | Self::Unhealthy
            | Self::TooManyFiles
            | Self::Changed
            | Self::Away(_) => Blame::Nothing,
        }
    }
}

/// What one file answers while others can be read: a bad sector, metadata that fails its checksum, rights that were
/// taken away, a folder, a socket or a device in the file's place. No descriptors or no memory is not among them.
const OF_THE_COPY: [Errno; 10] = [
    Errno::IO,
    Errno::ACCESS,
    Errno::PERM,
    Errno::ISDIR,
    Errno::NOTDIR,
    Errno::NXIO,
    Errno::NODEV,
    Errno::BADMSG,
    Errno::UCLEAN,
    Errno::NODATA,
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<BlobError>, expected: Blame) {
        let error = error.into();
        assert_eq!(error.blame(), expected, "{error:?}");
    }

    #[test]
    fn a_copy_is_blamed_for_itself_alone() {
        check(Errno::NOENT, Blame::Missing);
        for code in [Errno::IO, Errno::LOOP, Errno::ACCESS, Errno::NXIO, Errno::NOTDIR] {
            check(code, Blame::Unreadable);
        }
        check(BlobError::Corrupt, Blame::Corrupt);
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOTCONN, Errno::STALE] {
            check(code, Blame::Nothing);
        }
        check(Errno::NOSPC, Blame::Nothing);
        check(BlobError::Away("elsewhere".to_owned()), Blame::Nothing);
    }
}
