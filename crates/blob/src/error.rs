//! The errors of a blob store.

use model::digest::Digest;
use rustix::io::Errno;

/// The reasons why an operation of a store fails.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such copy.
    #[error("there is no such copy")]
    NotFound,
    /// Another writer has claimed the copy.
    #[error("another writer has claimed the copy")]
    Busy,
    /// The disk is full, or a quota is used up.
    #[error("no space left")]
    Full,
    /// The copy has fewer bytes than were once durable, or an earlier write failed.
    #[error("bytes that were stored are gone")]
    Lost,
    /// The bytes have another digest, or the file became shorter while it was read.
    #[error("the stored bytes have another digest")]
    Corrupt,
    /// A sync failed, now or before.
    #[error("the store failed to sync and takes no writes until a restart")]
    Unhealthy,
    /// The process has as many files open as it may.
    #[error("too many files are open")]
    TooManyFiles,
    /// The name of the copy is that of a folder, a symbolic link or another object that is not a regular file.
    #[error("the copy is not a regular file")]
    NotAFile,
    /// The file was changed while it was read.
    #[error("the copy changed while it was read")]
    Changed,
    /// The store is not the one that was opened, or cannot be found. Whether it has a copy then proves nothing.
    #[error("{0}")]
    StoreMissing(String),
    /// Any other error of the operating system.
    #[error(transparent)]
    Io(std::io::Error),
}

/// The damage of a copy that an error of a read proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDamage {
    /// The copy does not exist.
    Missing,
    /// The copy's file cannot be opened or read.
    Unreadable,
    /// The copy has other bytes than it should have, or fewer.
    Corrupt,
    /// No damage: the cause is the machine or the store, not the copy.
    None,
}

impl BlobError {
    /// Returns the damage of the copy that this error of a read proves. The result is valid only if
    /// [`crate::BlobStore::check_location`] succeeds.
    pub fn copy_damage(&self) -> CopyDamage {
        match self {
            Self::NotFound => CopyDamage::Missing,
            Self::NotAFile => CopyDamage::Unreadable,
            Self::Lost | Self::Corrupt => CopyDamage::Corrupt,
            Self::Io(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(code) if ERRORS_OF_ONE_FILE.contains(&code) => CopyDamage::Unreadable,
                Some(_) | None => CopyDamage::None,
            },
            Self::Busy
            | Self::Full
            | Self::Unhealthy
            | Self::TooManyFiles
            | Self::Changed
            | Self::StoreMissing(_) => CopyDamage::None,
        }
    }
}

/// The error codes that concern one file only, while others can be read: a bad sector, metadata with a wrong checksum,
/// missing access rights, or a folder, a socket or a device in place of the file. A lack of descriptors or memory
/// concerns all files, and is not in this list.
const ERRORS_OF_ONE_FILE: [Errno; 10] = [
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
            // A symbolic link, a folder, or a socket.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO => Self::NotAFile,
            other => std::io::Error::from(other).into(),
        }
    }
}

/// The reasons why a copy cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The bytes do not have the expected digest.
    #[error("the bytes have digest {actual}")]
    Mismatch {
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The bytes could not be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<BlobError>, expected: CopyDamage) {
        let error = error.into();
        assert_eq!(error.copy_damage(), expected, "{error:?}");
    }

    #[test]
    fn errors_that_prove_damage_of_a_copy() {
        check(Errno::NOENT, CopyDamage::Missing);
        for code in [Errno::IO, Errno::LOOP, Errno::ACCESS, Errno::NXIO, Errno::NOTDIR] {
            check(code, CopyDamage::Unreadable);
        }
        check(BlobError::Corrupt, CopyDamage::Corrupt);
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOTCONN, Errno::STALE] {
            check(code, CopyDamage::None);
        }
        check(Errno::NOSPC, CopyDamage::None);
        check(BlobError::StoreMissing("elsewhere".to_owned()), CopyDamage::None);
    }
}
