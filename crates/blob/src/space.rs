//! The space on a disk.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self, StatVfs};

/// The total and the free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// The size of the whole file system in bytes.
    pub size: u64,
    /// The number of bytes that this process can still write.
    pub free: u64,
    /// The number of files that can still be created. `None` if the file system does not limit their number.
    pub free_files: Option<u64>,
}

impl DiskSpace {
    /// Returns the space of the file system that a folder is on, or `None` if the file system does not tell its size.
    ///
    /// # Errors
    /// Fails if the folder does not exist, or if the call to the operating system fails.
    pub fn of(folder: &Path) -> std::io::Result<Option<Self>> {
        Ok(Self::read(&fs::statvfs(folder)?))
    }

    /// Returns the space of the file system that an open folder is on, as [`DiskSpace::of`] does.
    pub(crate) fn of_open(folder: impl AsFd) -> std::io::Result<Option<Self>> {
        Ok(Self::read(&fs::fstatvfs(folder)?))
    }

    /// Converts the numbers of the operating system. Blocks that are reserved for the administrator are not free.
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
    fn the_space_of_a_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let space = DiskSpace::of(folder.path()).expect("readable").expect("it has a size");
        assert!(space.free > 0 && space.free < space.size, "{space:?}");
        let missing = DiskSpace::of(&folder.path().join("missing"));
        assert!(missing.is_err());
    }
}
