//! How much room a disk has.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self, StatVfs};

/// How much room a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// The bytes of the whole file system.
    pub size: u64,
    /// The bytes that this process may still write.
    pub free: u64,
    /// The files that may still be made, where their number is bounded.
    pub free_files: Option<u64>,
}

impl DiskSpace {
    /// Returns the room of the disk that a folder is on. `None`: it does not say.
    ///
    /// # Errors
    /// Fails where the disk cannot be asked.
    pub fn of(folder: &Path) -> std::io::Result<Option<Self>> {
        Ok(Self::read(&fs::statvfs(folder)?))
    }

    /// Returns the same of an open folder.
    pub(crate) fn of_open(folder: impl AsFd) -> std::io::Result<Option<Self>> {
        Ok(Self::read(&fs::fstatvfs(folder)?))
    }

    /// Blocks that are kept for the administrator are not free.
    fn read(stat: &StatVfs) -> Option<Self> {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        (stat.f_blocks > 0).then(|| Self {
            size: bytes(stat.f_blocks),
            free: bytes(stat.f_bavail),
            free_files: (stat.f_files > 0).then_some(stat.f_favail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_says_how_large_it_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let space = DiskSpace::of(folder.path()).expect("it can be asked").expect("it says");
        assert!(space.free > 0 && space.free < space.size, "{space:?}");
        let missing = DiskSpace::of(&folder.path().join("missing"));
        assert!(missing.is_err());
    }
}
