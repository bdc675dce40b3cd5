//! Checkpoints copy the committed pages from the write-ahead log to the database file, and then the log restarts.
//!
//! A thread copies the pages while the writer goes on. Only the writer can restart the log, that is, make the next
//! commit write to the log's beginning: only the writer knows when nothing is being written, and a log that is written
//! to all the time would otherwise grow for ever. If the disk has little space, the log restarts early, so that it does
//! not take the space that deletions need.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::locked;
use crate::{ErrorKind, MetaError};

/// The largest length of the log on disk. The log restarts at half of it, because all closures that wait for the writer
/// at that moment are committed together, and their pages come on top.
const MAX_LOG_BYTES: i64 = 64 << 20;
/// The length of a page, which is SQLite's default.
const PAGE_BYTES: i64 = 4 << 10;

/// The number of commits after which a checkpoint is due. A checkpoint costs two syncs, so many commits share one.
const COMMITS_PER_CHECKPOINT: usize = 256;
/// The number of new pages in the log after which a checkpoint is due.
const PAGES_PER_CHECKPOINT: i64 = (16 << 20) / PAGE_BYTES;

/// The number of pages by which the log grows before the free space of the disk is read again.
const PAGES_PER_DISK_CHECK: i64 = (256 << 10) / PAGE_BYTES;
/// The log may be as long as the free space divided by this number. The database file needs space too, for the pages in
/// the log.
const FREE_SPACE_DIVISOR: u64 = 4;

/// Makes the checkpoints of a database. The writer owns it.
pub(super) struct Checkpointer {
    connection: Arc<Mutex<Connection>>,
    requests: mpsc::SyncSender<()>,
    /// The length of the log in pages. The connection of the writer sets it after each commit.
    length: Arc<AtomicI64>,
    /// The number of closures that were committed since the last checkpoint was requested.
    commits: Cell<usize>,
    /// The length of the log in pages when the last checkpoint was requested.
    requested_length: Cell<i64>,
    /// The folder of the log.
    folder: PathBuf,
    /// The length of the log in pages when the free space of the disk was last read.
    disk_check_length: Cell<i64>,
    /// The length of the log in pages at which a restart is tried again after one that failed.
    retry_length: Cell<i64>,
}

impl Checkpointer {
    /// Starts the thread. `connection` is used for nothing else. `writer` gets a hook that records the length of the
    /// log.
    pub(super) fn start(
        connection: Connection,
        writer: &mut Connection,
        database: &Path,
    ) -> Result<Self, MetaError> {
        // The time for which readers may delay the writer when the log restarts.
        connection.busy_timeout(Duration::from_secs(1))?;
        let connection = Arc::new(Mutex::new(connection));
        let length = Arc::new(AtomicI64::new(0));
        let recorded = length.clone();
        writer.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
        writer.wal_hook(Some(move |_: &mut _, pages| {
            recorded.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }))?;
        let (requests, received) = mpsc::sync_channel(1);
        let thread_connection = connection.clone();
        let work = move || {
            while received.recv().is_ok() {
                let copied = checkpoint(&locked(&thread_connection), CheckpointMode::Passive);
                if let Err(error) = copied {
                    tracing::warn!(%error, "a checkpoint failed and will be repeated: {error}");
                }
            }
        };
        let started = thread::Builder::new().name("checkpoints".to_owned()).spawn(work);
        started.map_err(thread_error)?;
        Ok(Self {
            connection,
            requests,
            length,
            commits: Cell::default(),
            requested_length: Cell::default(),
            folder: folder_of(database),
            disk_check_length: Cell::default(),
            retry_length: Cell::default(),
        })
    }

    /// Counts closures that the writer has just committed, and requests a checkpoint or restarts the log if one is due.
    pub(super) fn committed(&self, commits: usize) {
        let length = self.length.load(Ordering::Relaxed);
        if length < self.requested_length.get() {
            self.requested_length.set(0);
        }
        if length < self.disk_check_length.get() {
            self.disk_check_length.set(0);
            self.retry_length.set(0);
        }
        self.commits.set(self.commits.get() + commits);
        let is_long = length >= MAX_LOG_BYTES / 2 / PAGE_BYTES || self.is_long_for_disk(length);
        let new_pages = length - self.requested_length.get();
        if is_long && length >= self.retry_length.get() {
            self.restart_log();
        } else if self.commits.get() >= COMMITS_PER_CHECKPOINT || new_pages >= PAGES_PER_CHECKPOINT
        {
            self.commits.set(0);
            self.requested_length.set(length);
            // If the channel is full, a checkpoint is requested already.
            let _ = self.requests.try_send(());
        }
    }

    /// Returns whether a log of `length` pages is too long for the free space of the disk. The free space is read only
    /// after the log has grown by some pages; between two readings, this returns `false`.
    fn is_long_for_disk(&self, length: i64) -> bool {
        if length - self.disk_check_length.get() < PAGES_PER_DISK_CHECK {
            return false;
        }
        self.disk_check_length.set(length);
        is_long_for_disk((length * PAGE_BYTES) as u64, &self.folder)
    }

    /// Makes the log restart with the next commit. Only the writer calls this, between two commits. Returns whether
    /// that succeeded: a reader that does not end prevents the restart.
    pub(super) fn restart_log(&self) -> bool {
        /// The number of pages by which the log grows before the next attempt.
        const PAGES_BEFORE_RETRY: i64 = (1 << 20) / PAGE_BYTES;
        let length = self.length.load(Ordering::Relaxed);
        match checkpoint(&locked(&self.connection), CheckpointMode::Restart) {
            Ok(true) => {
                let lengths = [&self.requested_length, &self.disk_check_length, &self.retry_length];
                for length in lengths {
                    length.set(0);
                }
                self.commits.set(0);
                return true;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the database's log could not be restarted yet: {error}");
            }
        }
        self.retry_length.set(length + PAGES_BEFORE_RETRY);
        false
    }
}

/// Returns whether a log of `bytes` bytes is longer than its share of the free space of the disk. If the free space
/// cannot be read, the log is not too long.
fn is_long_for_disk(bytes: u64, folder: &Path) -> bool {
    let stat = rustix::fs::statvfs(folder);
    stat.is_ok_and(|stat| bytes > stat.f_bavail.saturating_mul(stat.f_frsize) / FREE_SPACE_DIVISOR)
}

/// Returns the folder of the database and its log.
fn folder_of(database: &Path) -> PathBuf {
    match database.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// The mode of SQLite's `wal_checkpoint`.
#[derive(Clone, Copy)]
enum CheckpointMode {
    /// Copies as many pages as possible without waiting.
    Passive,
    /// Waits for the readers, so that the next commit writes to the beginning of the log.
    Restart,
    /// Does the same as `Restart`, and truncates the log to zero bytes.
    Truncate,
}

/// Runs a checkpoint. Returns whether it was complete: no reader or writer stood in its way.
fn checkpoint(connection: &Connection, mode: CheckpointMode) -> rusqlite::Result<bool> {
    let sql = match mode {
        CheckpointMode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        CheckpointMode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        CheckpointMode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Empties a long log that a killed process has left, before the first caller waits for the database.
pub(super) fn empty_log(connection: &Connection, database: &Path) {
    /// A log up to this length is left as it is, unless the disk has little space.
    const MAX_LEFT_LOG_BYTES: u64 = 4 << 20;
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let is_long =
        |length| length > MAX_LEFT_LOG_BYTES || is_long_for_disk(length, &folder_of(database));
    if !std::fs::metadata(log).is_ok_and(|log| is_long(log.len())) {
        return;
    }
    if let Err(error) = checkpoint(connection, CheckpointMode::Truncate) {
        tracing::warn!(%error, "the database's log could not be emptied yet: {error}");
    }
}

pub(super) fn thread_error(error: std::io::Error) -> MetaError {
    MetaError::new(ErrorKind::Other, format!("cannot start a thread: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_long_where_little_is_free() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let is_long = |bytes| is_long_for_disk(bytes, &folder_of(&folder.path().join("berth.db")));
        assert!(is_long(u64::MAX) && !is_long(0));
        assert!(!is_long_for_disk(u64::MAX, &folder.path().join("missing")));
        assert_eq!(folder_of(Path::new("berth.db")), Path::new("."));
    }
}
