//! The check that the files of the database still have their names. A commit to a file that was unlinked is lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{ErrorKind, MetaError};

/// The files of a database as they were opened. A database in memory has none.
#[derive(Clone, Default)]
pub(super) struct DatabaseFiles(Arc<[OpenedFile]>);

struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl DatabaseFiles {
    /// Records the files of a database that is open: the database file, its log and the log's index.
    pub(super) fn of(path: &Path) -> Result<Self, MetaError> {
        let opened = ["", "-wal", "-shm"].map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let path = PathBuf::from(name);
            let metadata =
                fs::metadata(&path).map_err(|error| moved_away(&path, &error.to_string()))?;
            Ok(OpenedFile { path, device: metadata.dev(), inode: metadata.ino() })
        });
        Ok(Self(opened.into_iter().collect::<Result<_, MetaError>>()?))
    }

    /// Checks that each path still leads to the file that was opened.
    pub(super) fn check(&self) -> Result<(), MetaError> {
        self.0.iter().try_for_each(|opened| match fs::metadata(&opened.path) {
            Ok(found) if (found.dev(), found.ino()) == (opened.device, opened.inode) => Ok(()),
            Ok(_) => Err(moved_away(&opened.path, "this is not the file that was opened")),
            Err(error) => Err(moved_away(&opened.path, &error.to_string())),
        })
    }
}

fn moved_away(path: &Path, problem: &str) -> MetaError {
    MetaError::new(
        ErrorKind::FilesMoved,
        format!("the database is not where it was opened: {}: {problem}", path.display()),
    )
}
