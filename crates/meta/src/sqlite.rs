//! The embedded database. One thread writes, and several connections read.

mod checkpoints;
mod place;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{MetaError, RetryCause, Tx, blocking};
use checkpoints::Checkpointer;
use place::DatabaseFiles;
use writer::{ClosureJob, WriteHealth, WriterMessage, WriterThread};

/// The largest number of reads at once. Reads are short, and there is only one disk.
const MAX_CONCURRENT_READS: usize = 4;
/// The largest number of idle connections that are kept for later reads.
const MAX_IDLE_READERS: usize = 4;
/// The settings of the writer's connection. A cache of 2 MiB holds the pages that many successive transactions share;
/// the kernel's page cache holds the others.
const WRITER_SETTINGS: &str = "PRAGMA cache_size = -2048";
/// The largest number of closures that wait for the writer. Further callers have to wait for a place in the queue.
const MAX_QUEUED_WRITES: usize = 256;

/// An open SQLite database.
#[derive(Clone)]
pub(crate) struct Sqlite(Arc<SqliteShared>);

struct SqliteShared {
    connections: ReadConnections,
    read_permits: Arc<Semaphore>,
    queue: mpsc::Sender<WriterMessage>,
    health: WriteHealth,
    files: DatabaseFiles,
}

enum ReadConnections {
    /// A file in WAL mode, so that readers and the writer do not wait for each other.
    File { path: Box<Path>, idle: Mutex<Vec<Connection>> },
    /// A database in memory belongs to one connection, which the writer and all readers share.
    Memory(Arc<Mutex<Connection>>),
}

impl Sqlite {
    /// Opens the file, or a database in memory if there is no path, and starts the writer.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, MetaError> {
        let mut connection = match path {
            Some(path) => connect(path, OpenFlags::default(), WRITER_SETTINGS)?,
            None => configure(Connection::open_in_memory()?, WRITER_SETTINGS)?,
        };
        if let Some(path) = path {
            // Before the migrations too: on a full disk, they need the space that the log takes.
            checkpoints::empty_log(&connection, path);
        }
        migrate(&connection)?;
        let health = WriteHealth::default();
        let (queue, messages) = mpsc::channel(MAX_QUEUED_WRITES);
        let checkpointer = match path {
            Some(path) => {
                checkpoints::empty_log(&connection, path);
                let second = connect(path, existing_file(), "PRAGMA cache_size = 0")?;
                Some(Checkpointer::start(second, &mut connection, path)?)
            }
            None => None,
        };
        let files = path.map(DatabaseFiles::of).transpose()?.unwrap_or_default();
        let connection = Arc::new(Mutex::new(connection));
        let connections = match path {
            Some(path) => ReadConnections::File { path: path.into(), idle: Mutex::default() },
            None => ReadConnections::Memory(connection.clone()),
        };
        let writer =
            WriterThread { connection, checkpointer, health: health.clone(), files: files.clone() };
        writer.start(messages)?;
        let read_permits = Arc::new(Semaphore::new(MAX_CONCURRENT_READS));
        Ok(Self(Arc::new(SqliteShared { connections, read_permits, queue, health, files })))
    }

    pub(crate) async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = WriterMessage::Run(Box::new(ClosureJob::new(closure, reply)));
        let closed = || E::from(MetaError::unavailable("the database is closed"));
        self.0.queue.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) async fn read<T, E, F>(&self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let permit = self
            .0
            .read_permits
            .clone()
            .acquire_owned()
            .await
            .expect("this semaphore is never closed");
        let this = self.clone();
        blocking(move || {
            let _permit = permit;
            this.with_reader(|connection| run_on_snapshot(connection, &mut closure))
        })
        .await
    }

    /// Runs the closure on the caller's own thread: a read by key takes about 10 µs, less than a change of threads.
    pub(crate) fn point<T, E, F>(&self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        self.with_reader(|connection| Tx::sqlite(connection).run(&mut closure))
    }

    fn with_reader<T, E: From<MetaError>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.0.connections {
            ReadConnections::Memory(connection) => work(&locked(connection)),
            ReadConnections::File { path, idle } => {
                let kept = locked(idle).pop();
                let connection = match kept {
                    Some(connection) => connection,
                    None => {
                        self.check_files()?;
                        let settings = "PRAGMA query_only = ON; PRAGMA cache_size = -1024";
                        connect(path, existing_file(), settings)?
                    }
                };
                let outcome = work(&connection);
                let mut idle = locked(idle);
                if idle.len() < MAX_IDLE_READERS && connection.is_autocommit() {
                    idle.push(connection);
                }
                outcome
            }
        }
    }

    pub(crate) fn check_files(&self) -> Result<(), MetaError> {
        self.0.files.check()
    }

    pub(crate) fn check_health(&self) -> Result<(), MetaError> {
        self.0.health.check()
    }

    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.0.queue.send(WriterMessage::Stop(reply)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// Takes a lock, even if a thread panicked while it held the lock: the guarded value is valid between any two
/// statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the flags that open a file only if it exists.
fn existing_file() -> OpenFlags {
    OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE
}

fn connect(path: &Path, flags: OpenFlags, settings: &str) -> Result<Connection, MetaError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    configure(connection, settings)
}

fn configure(connection: Connection, settings: &str) -> Result<Connection, MetaError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    // The query planner stability guarantee: a statement keeps one plan for all values of its parameters. Without it,
    // SQLite plans many statements again for each value, which took a third of the time of a manifest's GET.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // With FULL, a commit is on disk before it is answered. Automatic checkpoints are off, because a thread of ours
    // makes them.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0;",
    )?;
    connection.execute_batch(settings)?;
    Ok(connection)
}

fn migrate(connection: &Connection) -> Result<(), MetaError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    match crate::migrate::run(&mut Tx::sqlite(connection)) {
        Ok(()) => Ok(connection.execute_batch("COMMIT")?),
        Err(error) => {
            connection.execute_batch("ROLLBACK")?;
            Err(error)
        }
    }
}

fn run_on_snapshot<T, E: From<MetaError>>(
    connection: &Connection,
    closure: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let statement = |sql| Ok::<_, MetaError>(connection.prepare_cached(sql)?.execute([])?);
    statement("BEGIN")?;
    let outcome = Tx::sqlite(connection).run(closure);
    if let Err(error) = statement("COMMIT") {
        tracing::warn!(%error, "a read transaction did not end: {error}");
    }
    outcome
}
