//! Checkpoints: what was committed goes from the log to the database file, and the log begins anew.
//!
//! A thread of its own copies, beside the writer. Only the writer can make the log begin anew: it alone knows
//! when nobody writes, and a log that is written to all the time would otherwise grow for ever.

use std::cell::Cell;
use std::path::Path;
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

/// The checkpoints of a database, for its writer.
pub(super) struct Checkpoints {
    connection: Arc<Mutex<Connection>>,
    due: mpsc::SyncSender<()>,
    /// How long the log is, in pages: the writer's connection says so after each commit.
    length: Arc<AtomicI64>,
    /// How many closures were committed since the last checkpoint was asked for, and how long the log was then.
    commits: Cell<usize>,
    asked_at: Cell<i64>,
    /// How long the log has to be before it is made to begin anew.
    enough: Cell<i64>,
}

impl Checkpoints {
    /// Starts the thread. `connection` is for nothing else; `writer` is told of each commit's end.
    pub(super) fn start(
        connection: Connection,
        writer: &mut Connection,
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
        let (commits, asked_at) = (Cell::new(0), Cell::new(0));
        let enough = Cell::new(LONGEST_LOG / 2 / PAGE);
        Ok(Self { connection, due, length, commits, asked_at, enough })
    }

    /// Counts closures that the writer has just committed.
    pub(super) fn committed(&self, commits: usize) {
        let length = self.length.load(Ordering::Relaxed);
        if length < self.asked_at.get() {
            self.asked_at.set(0);
        }
        self.commits.set(self.commits.get() + commits);
        if length >= self.enough.get() {
            self.begin_anew();
        } else if self.commits.get() >= COMMITS || length - self.asked_at.get() >= PAGES {
            self.commits.set(0);
            self.asked_at.set(length);
            // Full: it is asked for already.
            let _ = self.due.try_send(());
        }
    }

    /// Makes the log begin anew with the next commit. Only the writer calls this, between two commits. Answers
    /// whether it did; a reader that does not end keeps it from that.
    pub(super) fn begin_anew(&self) -> bool {
        /// What the log grows before the next attempt.
        const MORE: i64 = (1 << 20) / PAGE;
        let length = self.length.load(Ordering::Relaxed);
        match run(&locked(&self.connection), "PRAGMA wal_checkpoint(RESTART)") {
            Ok(true) => {
                self.enough.set(LONGEST_LOG / 2 / PAGE);
                self.asked_at.set(0);
                self.commits.set(0);
                return true;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the database's log could not begin anew yet: {error}");
            }
        }
        self.enough.set(length + MORE);
        false
    }
}

/// Runs a checkpoint. Answers whether nobody was in its way.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Empties a log that a process which ended otherwise than gently has left, before anybody waits for anything.
pub(super) fn empty_log(connection: &Connection, database: &Path) {
    /// Less than this is as good as nothing.
    const LITTLE: u64 = 4 << 20;
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    if !std::fs::metadata(log).is_ok_and(|log| log.len() > LITTLE) {
        return;
    }
    if let Err(error) = run(connection, "PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the database's log could not be emptied yet: {error}");
    }
}
