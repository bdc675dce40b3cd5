//! The embedded database: one thread writes, several connections read.

mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{MetaError, RetryCause, Tx, blocking};
use writer::{Health, Message, Task, Writer};

/// How many lists are read at once; they are short, and there is one disk.
const LISTS_AT_ONCE: usize = 4;
/// How many connections are kept for the next reader.
const IDLE_READERS: usize = 4;
/// How many closures wait for the writer before callers are held back.
const QUEUE: usize = 256;

/// An open database.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    readers: Readers,
    lists: Arc<Semaphore>,
    queue: mpsc::Sender<Message>,
    health: Health,
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
        let connection = Arc::new(Mutex::new(match path {
            Some(path) => connect(path)?,
            None => configure(Connection::open_in_memory()?)?,
        }));
        migrate(&locked(&connection))?;
        let health = Health::default();
        let (queue, messages) = mpsc::channel(QUEUE);
        let checkpoints = path.map(|path| writer::start_checkpoints(connect(path)?)).transpose()?;
        let readers = match path {
            Some(path) => Readers::File { path: path.into(), idle: Mutex::default() },
            None => Readers::Memory(connection.clone()),
        };
        Writer { connection, checkpoints, health: health.clone() }.start(messages)?;
        let lists = Arc::new(Semaphore::new(LISTS_AT_ONCE));
        Ok(Self(Arc::new(Inner { readers, lists, queue, health })))
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
        match answer.await.map_err(|_| closed())? {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
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
            this.with_reader(&mut closure)
        })
        .await
    }

    /// Runs on the caller's own thread: a read by key takes some 10 µs, less than changing threads.
    pub(crate) fn point<T, E, F>(&self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        self.with_reader(&mut closure)
    }

    fn with_reader<T, E>(
        &self,
        closure: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<MetaError>,
    {
        match &self.0.readers {
            Readers::Memory(connection) => snapshot(&locked(connection), closure),
            Readers::File { path, idle } => {
                let waiting = locked(idle).pop();
                let connection = match waiting {
                    Some(connection) => connection,
                    None => connect(path)?,
                };
                let outcome = snapshot(&connection, closure);
                let mut idle = locked(idle);
                if idle.len() < IDLE_READERS {
                    idle.push(connection);
                }
                outcome
            }
        }
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

/// A lock outlives a panic: closures that panic are rolled back, and the connection stays good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> Result<Connection, MetaError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    configure(connection)
}

fn configure(connection: Connection) -> Result<Connection, MetaError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    // FULL: a commit is on disk before it is answered. Checkpoints have a thread of their own.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048;",
    )?;
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

/// Ends the transaction also when the closure panics.
struct Open<'c>(&'c Connection);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = ended {
            tracing::warn!(%error, "a read transaction did not end: {error}");
        }
    }
}

fn snapshot<T, E: From<MetaError>>(
    connection: &Connection,
    closure: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let begin = connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([]));
    begin.map_err(MetaError::from)?;
    let _open = Open(connection);
    let mut tx = Tx::sqlite(connection);
    let outcome = closure(&mut tx)?;
    tx.failure().map_or(Ok(outcome), |failed| Err(failed.into()))
}
