//! The place of the database's files: what is committed to a file without a name is lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{ErrorKind, MetaError};

/// The files of a database as they were opened. Memory has none.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<[KnownFile]>);

struct KnownFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// Remembers the files of a database that is open: itself, its log and the log's index.
    pub(super) fn of(path: &Path) -> Result<Self, MetaError> {
        let known = ["", "-wal", "-shm"].map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let path = PathBuf::from(name);
            let metadata = fs::metadata(&path).map_err(|error| away(&path, &error.to_string()))?;
            Ok(KnownFile { path, device: metadata.dev(), inode: metadata.ino() })
        });
        Ok(Self(known.into_iter().collect::<Result<_, MetaError>>()?))
    }

    /// Whether each file is still the one that was opened.
    pub(super) fn check(&self) -> Result<(), MetaError> {
        self.0.iter().try_for_each(|known| match fs::metadata(&known.path) {
            Ok(found) if (found.dev(), found.ino()) == (known.device, known.inode) => Ok(()),
            Ok(_) => Err(away(&known.path, "it is another file than was opened")),
            Err(error) => Err(away(&known.path, &error.to_string())),
        })
    }
}

fn away(path: &Path, problem: &str) -> MetaError {
    MetaError::new(
        ErrorKind::Away,
        format!("the database is not where it was opened: {}: {problem}", path.display()),
    )
}
