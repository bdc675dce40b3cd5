//! The embedded database: one thread writes, several connections read.

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
use checkpoints::Checkpoints;
use place::Place;
use writer::{Health, Message, Task, Writer};

/// How many lists are read at once; they are short, and there is one disk.
const LISTS_AT_ONCE: usize = 4;
/// How many connections are kept for the next reader.
const IDLE_READERS: usize = 4;
/// 2 MiB are enough for what many transactions in a row have in common; the kernel keeps the rest.
const WRITER: &str = "PRAGMA cache_size = -2048";
/// How many closures wait for the writer before callers are held back.
const QUEUE: usize = 256;

/// An open database.
#[derive(Clone)]
pub(crate) struct Sqlite(Arc<Inner>);

struct Inner {
    readers: Readers,
    lists: Arc<Semaphore>,
    queue: mpsc::Sender<Message>,
    health: Health,
    place: Place,
}

enum Readers {
    /// A file in WAL mode: readers and the writer do not wait for each other.
    File { path: Box<Path>, idle: Mutex<Vec<Connection>> },
    /// Memory belongs to one connection, which everybody shares.
    Memory(Arc<Mutex<Connection>>),
}

impl Sqlite {
    /// Opens the file, or memory where none is named, and starts the writer.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, MetaError> {
        let mut connection = match path {
            Some(path) => connect((path, OpenFlags::default()), WRITER)?,
            None => configure(Connection::open_in_memory()?, WRITER)?,
        };
        if let Some(path) = path {
            // Before the migrations too: on a full disk they need the room.
            checkpoints::empty_log(&connection, path);
        }
        migrate(&connection)?;
        let health = Health::default();
        let (queue, messages) = mpsc::channel(QUEUE);
        let checkpoints = match path {
            Some(path) => {
                checkpoints::empty_log(&connection, path);
                let second = connect((path, existing()), "PRAGMA cache_size = 0")?;
                Some(Checkpoints::start(second, &mut connection, path)?)
            }
            None => None,
        };
        let place = path.map(Place::of).transpose()?.unwrap_or_default();
        let connection = Arc::new(Mutex::new(connection));
        let readers = match path {
            Some(path) => Readers::File { path: path.into(), idle: Mutex::default() },
            None => Readers::Memory(connection.clone()),
        };
        let writer =
            Writer { connection, checkpoints, health: health.clone(), place: place.clone() };
        writer.start(messages)?;
        let lists = Arc::new(Semaphore::new(LISTS_AT_ONCE));
        Ok(Self(Arc::new(Inner { readers, lists, queue, health, place })))
    }

    pub(crate) async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Message::Run(Box::new(Task::new(closure, reply)));
        let closed = || E::from(MetaError::unavailable("the database is closed"));
        self.0.queue.send(task).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) async fn read<T, E, F>(&self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let permit =
            self.0.lists.clone().acquire_owned().await.expect("this semaphore is never closed");
        let this = self.clone();
        blocking(move || {
            let _permit = permit;
            this.with_reader(|connection| snapshot(connection, &mut closure))
        })
        .await
    }

    /// Runs on the caller's own thread: a read by key takes some 10 µs, less than changing threads.
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
        match &self.0.readers {
            Readers::Memory(connection) => work(&locked(connection)),
            Readers::File { path, idle } => {
                let waiting = locked(idle).pop();
                let connection = match waiting {
                    Some(connection) => connection,
                    None => {
                        self.check_place()?;
                        let settings = "PRAGMA query_only = ON; PRAGMA cache_size = -1024";
                        connect((path, existing()), settings)?
                    }
                };
                let outcome = work(&connection);
                let mut idle = locked(idle);
                if idle.len() < IDLE_READERS && connection.is_autocommit() {
                    idle.push(connection);
                }
                outcome
            }
        }
    }

    pub(crate) fn check_place(&self) -> Result<(), MetaError> {
        self.0.place.check()
    }

    pub(crate) fn check_health(&self) -> Result<(), MetaError> {
        self.0.health.check()
    }

    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.0.queue.send(Message::Stop(reply)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// A lock outlives a panic: what it guards is good between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file that has to be there.
fn existing() -> OpenFlags {
    OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE
}

fn connect((path, flags): (&Path, OpenFlags), settings: &str) -> Result<Connection, MetaError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    configure(connection, settings)
}

fn configure(connection: Connection, settings: &str) -> Result<Connection, MetaError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    // One plan for a statement whatever it is asked. Otherwise SQLite plans many anew with each value, which
    // took a third of the time of a manifest's GET.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: a commit is on disk before it is answered. Checkpoints have a thread of their own.
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

fn snapshot<T, E: From<MetaError>>(
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
