//! Checkpoints: what was committed goes from the log to the database file, and the log begins anew.
//!
//! A thread of its own copies, beside the writer. Only the writer can make the log begin anew: it alone knows
//! when nobody writes, and a log that is written to all the time would otherwise grow for ever. Where the disk has
//! little room, the log begins anew early, so that it does not take what deletes need.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::locked;
use super::writer::no_thread;
use crate::MetaError;

/// What the log may take of the disk. It begins anew after half of that: what waits for the writer at one
/// moment is committed together, and comes on top.
const LONGEST_LOG: i64 = 64 << 20;
/// SQLite's, which we leave as it is.
const PAGE: i64 = 4 << 10;

/// A checkpoint costs two syncs: many commits share one..
const COMMITS: usize = 256;
/// ..or this many pages.
const PAGES: i64 = (16 << 20) / PAGE;

/// How many pages the log grows between two looks at what the disk has free.
const LOOK_EVERY: i64 = (256 << 10) / PAGE;
/// The part of what is free that the log may be long: a quarter. The database file needs room too, for what the
/// log holds.
const PART_OF_FREE: u64 = 4;

/// The checkpoints of a database, for its writer.
pub(super) struct Checkpoints {
    connection: Arc<Mutex<Connection>>,
    due: mpsc::SyncSender<()>,
    /// How long the log is, in pages: the writer's connection says so after each commit.
    length: Arc<AtomicI64>,
    /// How many closures were committed since the last checkpoint was asked for, and how long the log was then.
    commits: Cell<usize>,
    asked_at: Cell<i64>,
    /// The folder of the log, and how long the log was when its disk was last looked at.
    folder: PathBuf,
    looked_at: Cell<i64>,
    /// How long the log has to be before the next attempt to begin it anew, after one that failed.
    retry_from: Cell<i64>,
}

impl Checkpoints {
    /// Starts the thread. `connection` is for nothing else; `writer` is told of each commit's end.
    pub(super) fn start(
        connection: Connection,
        writer: &mut Connection,
        database: &Path,
    ) -> Result<Self, MetaError> {
        // How long readers may hold up the writer when the log begins anew.
        connection.busy_timeout(Duration::from_secs(1))?;
        let connection = Arc::new(Mutex::new(connection));
        let length = Arc::new(AtomicI64::new(0));
        let told = length.clone();
        writer.pragma_update(None, "journal_size_limit", LONGEST_LOG)?;
        writer.wal_hook(Some(move |_: &mut _, pages| {
            told.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }))?;
        let (due, asked) = mpsc::sync_channel(1);
        let copying = connection.clone();
        let work = move || {
            while asked.recv().is_ok() {
                if let Err(error) = run(&locked(&copying), "PRAGMA wal_checkpoint(PASSIVE)") {
                    tracing::warn!(%error, "a checkpoint failed and will be repeated: {error}");
                }
            }
        };
        let started = thread::Builder::new().name("checkpoints".to_owned()).spawn(work);
        started.map_err(no_thread)?;
        Ok(Self {
            connection,
            due,
            length,
            commits: Cell::default(),
            asked_at: Cell::default(),
            folder: folder_of(database),
            looked_at: Cell::default(),
            retry_from: Cell::default(),
        })
    }

    /// Counts closures that the writer has just committed.
    pub(super) fn committed(&self, commits: usize) {
        let length = self.length.load(Ordering::Relaxed);
        if length < self.asked_at.get() {
            self.asked_at.set(0);
        }
        if length < self.looked_at.get() {
            self.looked_at.set(0);
            self.retry_from.set(0);
        }
        self.commits.set(self.commits.get() + commits);
        let is_long = length >= LONGEST_LOG / 2 / PAGE || self.is_long_for_disk(length);
        if is_long && length >= self.retry_from.get() {
            self.begin_anew();
        } else if self.commits.get() >= COMMITS || length - self.asked_at.get() >= PAGES {
            self.commits.set(0);
            self.asked_at.set(length);
            // Full: it is asked for already.
            let _ = self.due.try_send(());
        }
    }

    /// Whether the disk has little room for a log of so many pages. It is asked only now and then: in between, the
    /// answer is no.
    fn is_long_for_disk(&self, length: i64) -> bool {
        if length - self.looked_at.get() < LOOK_EVERY {
            return false;
        }
        self.looked_at.set(length);
        is_long_for_disk((length * PAGE) as u64, &self.folder)
    }

    /// Makes the log begin anew with the next commit. Only the writer calls this, between two commits. Answers
    /// whether it did; a reader that does not end keeps it from that.
    pub(super) fn begin_anew(&self) -> bool {
        /// What the log grows before the next attempt.
        const MORE: i64 = (1 << 20) / PAGE;
        let length = self.length.load(Ordering::Relaxed);
        match run(&locked(&self.connection), "PRAGMA wal_checkpoint(RESTART)") {
            Ok(true) => {
                for begins in [&self.asked_at, &self.looked_at, &self.retry_from] {
                    begins.set(0);
                }
                self.commits.set(0);
                return true;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the database's log could not begin anew yet: {error}");
            }
        }
        self.retry_from.set(length + MORE);
        false
    }
}

/// Whether a log of so many bytes is longer than its part of what the disk has free. A disk that does not say has
/// room.
fn is_long_for_disk(bytes: u64, folder: &Path) -> bool {
    let stat = rustix::fs::statvfs(folder);
    stat.is_ok_and(|stat| bytes > stat.f_bavail.saturating_mul(stat.f_frsize) / PART_OF_FREE)
}

/// The folder of the database and its log.
fn folder_of(database: &Path) -> PathBuf {
    match database.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Runs a checkpoint. Answers whether nobody was in its way.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Empties a log that a process which ended otherwise than gently has left, before anybody waits for anything.
pub(super) fn empty_log(connection: &Connection, database: &Path) {
    /// Less than this is as good as nothing, where the disk has room.
    const LITTLE: u64 = 4 << 20;
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let is_long = |length| length > LITTLE || is_long_for_disk(length, &folder_of(database));
    if !std::fs::metadata(log).is_ok_and(|log| is_long(log.len())) {
        return;
    }
    if let Err(error) = run(connection, "PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the database's log could not be emptied yet: {error}");
    }
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
