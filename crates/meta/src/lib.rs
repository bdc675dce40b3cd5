//! The metadata of the registry, in SQLite or PostgreSQL. No other crate contains SQL.
//!
//! [`Meta::write`] and [`Meta::read`] take a closure over a [`Tx`]. The closure is synchronous and may run more than
//! once. It does no IO but SQL, and it calls neither `write` nor `read`. "Read, decide, write" within one closure means
//! the same on both databases, because no other transaction comes between. Callers get their answer after the commit is
//! durable, never before.
//!
//! Most files hold the plain functions of one table, some those of a list or a job over several tables. This crate
//! knows no permissions and never sees the bytes of a blob. Times are microseconds since 1970 in UTC, unless the name
//! of a field says otherwise.

mod dialect;
mod error;
mod id;
mod migrate;
mod param;
mod postgres;
mod sqlite;
mod tx;

pub mod accounts;
pub mod activity;
pub mod attachments;
pub mod blobs;
pub mod cache_limits;
pub mod capacity;
pub mod change_way;
pub mod cleanups;
pub mod complete_list;
pub mod day_counts;
pub mod deletion;
pub mod deletion_plan;
pub mod epochs;
pub mod events;
pub mod files;
pub mod gc_queue;
pub mod given_roles;
pub mod image_counters;
pub mod image_summaries;
pub mod images;
pub mod leases;
pub mod operations;
pub mod outbox;
pub mod packages;
pub mod policies;
pub mod projects;
pub mod remote_fetches;
pub mod repositories;
pub mod repository_summaries;
pub mod revoked_tokens;
pub mod roles;
pub mod rules;
pub mod search;
pub mod secrets;
pub mod sessions;
pub mod settings;
pub mod signing_keys;
pub mod tag_history;
pub mod tag_table;
pub mod tags;
pub mod uploads;
pub mod upstream_tags;
pub mod upstreams;
pub mod usage;
pub mod usage_deltas;
pub mod users;
pub mod versions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::digest::Digest;

pub use error::{ErrorKind, MetaError, RetryCause};
pub use id::{Id, IdError};
pub use param::SqlParam;
pub use tx::{KeyList, SqlRow, Tx};

use postgres::Postgres;
use sqlite::Sqlite;

/// Makes the list of parameters of a statement, in the order of `?1`, `?2`, ….
/// Each value becomes a [`SqlParam`].
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::SqlParam::from($value)),*][..] };
}

/// The database to open. A URL may hold a password, so this type does not implement `Debug`.
#[derive(Clone)]
pub enum DatabaseLocation {
    /// A file, which is created if it is missing. Only one process at a time may open the file.
    SqliteFile(PathBuf),
    /// A database in memory. It lives as long as its [`Meta`].
    SqliteMemory,
    /// A PostgreSQL server, by URL.
    Postgres(String),
}

/// A handle on the open database. A clone is cheap and uses the same database.
#[derive(Clone)]
pub struct Meta {
    backend: Backend,
    observer: Option<Arc<LatencyObserver>>,
}

/// A function that receives the duration of each transaction, from the call to its answer.
pub type LatencyObserver = dyn Fn(TransactionKind, Duration) + Send + Sync;

/// The kinds of transactions between which a [`LatencyObserver`] distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionKind {
    /// A [`Meta::write`]. Its duration includes the wait for its turn and for the durable commit.
    Write,
    /// A [`Meta::read`]. Reads by [`Meta::read_by_key`] are not observed: they are too many and too short.
    Read,
}

#[derive(Clone)]
enum Backend {
    Sqlite(Sqlite),
    /// The server may be shared by several processes.
    Postgres(Postgres),
}

impl Meta {
    /// Returns whether several processes may use the database.
    pub fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// Opens the database and brings its tables up to date.
    pub async fn open(database: DatabaseLocation) -> Result<Self, MetaError> {
        let backend = match database {
            DatabaseLocation::SqliteFile(path) => {
                Backend::Sqlite(blocking(move || Sqlite::open(Some(&path))).await?)
            }
            DatabaseLocation::SqliteMemory => Backend::Sqlite(Sqlite::open(None)?),
            DatabaseLocation::Postgres(url) => Backend::Postgres(Postgres::open(&url).await?),
        };
        Ok(Self { backend, observer: None })
    }

    /// Returns a handle on the same database that reports each of its transactions to `observer`.
    #[must_use]
    pub fn with_observer(self, observer: Arc<LatencyObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    fn observe(&self, kind: TransactionKind, started: Instant) {
        if let Some(observer) = &self.observer {
            observer(kind, started.elapsed());
        }
    }

    /// Runs `closure` in a serializable transaction, and commits the transaction if the closure returns `Ok`.
    ///
    /// A closure that panics is rolled back and fails no other transaction. A transaction that has begun runs to its
    /// end even if the caller drops this future. The closure is dropped after the commit and before the caller gets the
    /// answer. So the values that it owns, such as locks, are held until the fate of its rows is known.
    pub async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let started = Instant::now();
        let outcome = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.write(closure).await,
            Backend::Postgres(postgres) => postgres.write(closure).await,
        };
        self.observe(TransactionKind::Write, started);
        outcome
    }

    /// Runs `closure` on a snapshot of the database. Lists, and all reads that may take long, use this method.
    pub async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let started = Instant::now();
        let outcome = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.read(closure).await,
            Backend::Postgres(postgres) => postgres.read(closure).await,
        };
        self.observe(TransactionKind::Read, started);
        outcome
    }

    /// Runs a closure of short statements that read by key. This is the fastest way to read. Each statement sees the
    /// rows that are committed when that statement begins.
    pub async fn read_by_key<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.point(closure),
            Backend::Postgres(postgres) => postgres.point(closure).await,
        }
    }

    /// Checks that the files of the database are still where they were opened. A server's database always passes.
    pub async fn check_place(&self) -> Result<(), MetaError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => {
                let sqlite = sqlite.clone();
                blocking(move || sqlite.check_files()).await
            }
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Checks that the database answers and accepts writes.
    pub async fn ping(&self) -> Result<(), MetaError> {
        if let Backend::Sqlite(sqlite) = &self.backend {
            sqlite.check_health()?;
        }
        self.read_by_key(|tx| tx.query_first("SELECT 1", params![], |row| row.int(0)).map(|_| ()))
            .await
    }

    /// Closes the database for writes. Everything that was answered is durable already.
    pub async fn close(&self) {
        if let Backend::Sqlite(sqlite) = &self.backend {
            sqlite.close().await;
        }
    }
}

/// Runs `work` on a thread that may block. The panic of a transaction's closure is caught before it gets here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads a digest from a column.
pub(crate) fn digest_at(row: &SqlRow<'_>, column: usize) -> Result<Digest, MetaError> {
    row.text_ref(column)?.parse().map_err(|_| MetaError::corrupt("a digest"))
}

/// Reads a digest, or NULL, from a column.
pub(crate) fn opt_digest_at(row: &SqlRow<'_>, column: usize) -> Result<Option<Digest>, MetaError> {
    let text = row.opt_text(column)?;
    text.map(|text| text.parse().map_err(|_| MetaError::corrupt("a digest"))).transpose()
}

#[cfg(test)]
mod tests;
