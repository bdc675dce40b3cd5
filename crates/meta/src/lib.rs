//! Facts: the only crate with SQL. SQLite and PostgreSQL behind one small transaction type.
//!
//! [`Meta::write`] and [`Meta::read`] take a closure over a [`Tx`]. It is synchronous, may run more than once,
//! does no IO but SQL and calls no other `write` or `read`. "Read, decide, write" within one closure means the
//! same on both databases: no other transaction comes between. Nobody is answered before the commit is durable.
//!
//! There is one file per table, of plain functions over a transaction. This crate knows no permissions and
//! sees no blob's bytes.

mod dialect;
mod error;
mod id;
mod migrate;
mod postgres;
mod sqlite;
mod tx;

pub mod accounts;
pub mod attachments;
pub mod blobs;
pub mod capacity;
pub mod cleanups;
pub mod complete_list;
pub mod epochs;
pub mod events;
pub mod files;
pub mod gc_queue;
pub mod images;
pub mod leases;
pub mod operations;
pub mod outbox;
pub mod packages;
pub mod policies;
pub mod projects;
pub mod removal;
pub mod repositories;
pub mod revoked_tokens;
pub mod rules;
pub mod settings;
pub mod signing_keys;
pub mod tags;
pub mod uploads;
pub mod usage;
pub mod versions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::digest::Digest;

pub use error::{ErrorKind, MetaError, RetryCause};
pub use id::{Id, IdError};
pub use tx::{KeyList, Param, Row, Tx};

use postgres::Postgres;
use sqlite::Sqlite;

/// The parameters of a statement, in the order of its `?1`, `?2`, ….
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::Param::from($value)),*][..] };
}

/// Which database.
#[derive(Clone)]
pub enum Database {
    /// A file, made where it is missing. One process at a time may open it.
    SqliteFile(PathBuf),
    /// Memory, for as long as the [`Meta`] lives.
    SqliteMemory,
    /// A server, by URL. It may hold a password, so this type prints nothing.
    Postgres(String),
}

/// The database. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Meta {
    engine: Engine,
    observer: Option<Arc<LatencyObserver>>,
}

/// A function that is told how long each transaction took, from the call to its answer.
pub type LatencyObserver = dyn Fn(TransactionKind, Duration) + Send + Sync;

/// The kinds of transactions that a [`LatencyObserver`] tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionKind {
    /// A [`Meta::write`], with the time that it waited for its turn and for its commit to be durable.
    Write,
    /// A [`Meta::read`]. Reads of single rows by [`Meta::point`] are too many, and too short, to be observed.
    Read,
}

#[derive(Clone)]
enum Engine {
    /// Embedded.
    Sqlite(Sqlite),
    /// Shared by several processes.
    Postgres(Postgres),
}

impl Meta {
    /// Opens the database and brings its tables up to date.
    pub async fn open(database: Database) -> Result<Self, MetaError> {
        let engine = match database {
            Database::SqliteFile(path) => {
                Engine::Sqlite(blocking(move || Sqlite::open(Some(&path))).await?)
            }
            Database::SqliteMemory => Engine::Sqlite(Sqlite::open(None)?),
            Database::Postgres(url) => Engine::Postgres(Postgres::open(&url).await?),
        };
        Ok(Self { engine, observer: None })
    }

    /// The same database, whose transactions by this clone `observer` is told of.
    #[must_use]
    pub fn observed_by(self, observer: Arc<LatencyObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    fn observe(&self, kind: TransactionKind, started: Instant) {
        if let Some(observer) = &self.observer {
            observer(kind, started.elapsed());
        }
    }

    /// Runs `closure` in a transaction that is as if it ran alone, and commits what it did if it answers `Ok`.
    /// One that panics is rolled back alone. One that began comes to its end though nobody awaits it any more.
    ///
    /// What the closure owns lives until its rows are decided: it is dropped after the commit and before the
    /// answer.
    pub async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let started = Instant::now();
        let outcome = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(closure).await,
            Engine::Postgres(postgres) => postgres.write(closure).await,
        };
        self.observe(TransactionKind::Write, started);
        outcome
    }

    /// Runs `closure` on one unchanging state of the database. For lists, and whatever may take long.
    pub async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let started = Instant::now();
        let outcome = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(closure).await,
            Engine::Postgres(postgres) => postgres.read(closure).await,
        };
        self.observe(TransactionKind::Read, started);
        outcome
    }

    /// Runs a closure of short statements that read by key: the fastest way to ask. Each sees what is committed
    /// when it begins.
    pub async fn point<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.point(closure),
            Engine::Postgres(postgres) => postgres.point(closure).await,
        }
    }

    /// Whether the database's files are where they were opened. One on a server has none here.
    pub async fn check_place(&self) -> Result<(), MetaError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                let sqlite = sqlite.clone();
                blocking(move || sqlite.check_place()).await
            }
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Whether the database answers and takes writes.
    pub async fn ping(&self) -> Result<(), MetaError> {
        if let Engine::Sqlite(sqlite) = &self.engine {
            sqlite.check_health()?;
        }
        self.point(|tx| tx.opt("SELECT 1", params![], |row| row.int(0)).map(|_| ())).await
    }

    /// Ends gently: what was answered is durable already. Nothing can be written afterwards.
    pub async fn close(&self) {
        if let Engine::Sqlite(sqlite) = &self.engine {
            sqlite.close().await;
        }
    }
}

/// Runs on a thread that may block. A closure's panic does not come this far.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads a column that holds a digest.
pub(crate) fn digest_at(row: &Row<'_>, column: usize) -> Result<Digest, MetaError> {
    row.text(column)?.parse().map_err(|_| MetaError::corrupt("a digest"))
}

/// Reads a column that holds a digest or nothing.
pub(crate) fn opt_digest_at(row: &Row<'_>, column: usize) -> Result<Option<Digest>, MetaError> {
    let text = row.opt_text(column)?;
    text.map(|text| text.parse().map_err(|_| MetaError::corrupt("a digest"))).transpose()
}

#[cfg(test)]
mod tests;
