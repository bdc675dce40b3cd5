//! The database on a PostgreSQL server, which several processes may share.
//!
//! Closures run on threads that may block, and each drives its connection from its thread. Writes are SERIALIZABLE. A
//! write that is in conflict with another transaction runs again, until a deadline.

mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Config;

use crate::{ErrorKind, MetaError, RetryCause, Tx, blocking};
pub(crate) use session::Session;

/// The largest number of connections of one process.
const MAX_CONNECTIONS: usize = 16;
/// The time after which a transaction is not tried again. It also bounds the wait for a connection.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An open PostgreSQL database.
#[derive(Clone)]
pub(crate) struct Postgres(Arc<PostgresShared>);

struct PostgresShared {
    config: Config,
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
    runtime: Handle,
}

/// The kind of transaction around a closure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TransactionMode {
    Write,
    Read,
    /// No transaction around the closure: each statement is a transaction of its own.
    Point,
}

impl Postgres {
    pub(crate) async fn open(url: &str) -> Result<Self, MetaError> {
        let mut config: Config = url.parse()?;
        // A server that vanished without closing its connections is noticed within the time that callers wait.
        config
            .connect_timeout(TRANSACTION_TIMEOUT / 2)
            .tcp_user_timeout(TRANSACTION_TIMEOUT)
            .keepalives_idle(TRANSACTION_TIMEOUT);
        let shared = PostgresShared {
            config,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            runtime: Handle::current(),
        };
        let this = Self(Arc::new(shared));
        let migrating = this.clone();
        blocking(move || migrating.migrate()).await?;
        Ok(this)
    }

    fn migrate(&self) -> Result<(), MetaError> {
        let session = self.0.session()?;
        // The key of the lock is any number that no other program uses. The lock ends with its transaction.
        // An index over very many rows takes long, and so does the migration of another process that is waited for.
        session.script(
            "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
             SELECT pg_advisory_xact_lock(7311470015)",
        )?;
        crate::migrate::run(&mut Tx::postgres(&session))?;
        session.script("COMMIT")?;
        self.0.give_back(session);
        Ok(())
    }

    pub(crate) async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        self.run(TransactionMode::Write, closure).await
    }

    pub(crate) async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        self.run(TransactionMode::Read, closure).await
    }

    pub(crate) async fn point<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        self.run(TransactionMode::Point, closure).await
    }

    async fn run<T, E, F>(&self, mode: TransactionMode, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        let permit = self.permit().await?;
        let shared = self.0.clone();
        blocking(move || {
            let _permit = permit;
            RetryLoop { shared: &shared, mode, deadline, attempts: 0 }.run(closure)
        })
        .await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, MetaError> {
        let acquired = self.0.permits.clone().acquire_owned();
        match tokio::time::timeout(TRANSACTION_TIMEOUT, acquired).await {
            Ok(permit) => Ok(permit.expect("this semaphore is never closed")),
            Err(_) => Err(MetaError::unavailable("all connections to PostgreSQL are busy")),
        }
    }
}

impl PostgresShared {
    fn session(&self) -> Result<Session, MetaError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(session) if session.is_open() => Ok(session),
            Some(_) | None => Session::connect(&self.config, &self.runtime),
        }
    }

    /// Keeps an idle session for the next transaction. A session whose transaction did not end must not come here: it
    /// is dropped, which closes the connection and rolls the transaction back.
    fn give_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}

/// The attempts to run one closure, until it is committed, fails, or runs out of time.
struct RetryLoop<'p> {
    shared: &'p PostgresShared,
    mode: TransactionMode,
    deadline: Instant,
    attempts: u32,
}

/// The outcome of one attempt.
enum AttemptOutcome<T, E> {
    Answer(Result<T, E>),
    Retry(MetaError),
}

impl RetryLoop<'_> {
    fn run<T, E, F>(mut self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        loop {
            match self.attempt(&mut closure) {
                AttemptOutcome::Answer(answer) => return answer,
                AttemptOutcome::Retry(error) if Instant::now() >= self.deadline => {
                    let message = format!("given up after {} attempts: {error}", self.attempts);
                    return Err(MetaError::unavailable(message).into());
                }
                AttemptOutcome::Retry(_) => std::thread::sleep(self.random_pause()),
            }
        }
    }

    fn attempt<T, E, F>(&mut self, closure: &mut F) -> AttemptOutcome<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        self.attempts += 1;
        let session = match self.begin() {
            Ok(session) => session,
            Err(error) => return self.after_rollback(Err(E::from(error))),
        };
        let tx = match self.mode {
            TransactionMode::Write => Tx::postgres(&session),
            TransactionMode::Read | TransactionMode::Point => Tx::postgres(&session).read_only(),
        };
        match tx.run(closure) {
            Ok(value) => match self.end(session, "COMMIT") {
                Err(error) if error.kind() == ErrorKind::Retry => AttemptOutcome::Retry(error),
                // The server itself reports the full disk, so it has rolled back.
                Err(error) if error.kind() == ErrorKind::DiskFull => {
                    AttemptOutcome::Answer(Err(error.into()))
                }
                Err(error) if self.mode == TransactionMode::Write => {
                    AttemptOutcome::Answer(Err(unknown_outcome(&error).into()))
                }
                // The rows that a transaction has read are valid, even if its end fails.
                Ok(()) | Err(_) => AttemptOutcome::Answer(Ok(value)),
            },
            Err(error) => {
                // If the rollback fails, `end` drops the session, which closes the connection.
                let _ = self.end(session, "ROLLBACK");
                self.after_rollback(Err(error))
            }
        }
    }

    fn begin(&self) -> Result<Session, MetaError> {
        let session = self.shared.session()?;
        match self.mode {
            TransactionMode::Write => session.script(BEGIN_WRITE)?,
            TransactionMode::Read => session.script(BEGIN_READ)?,
            TransactionMode::Point => {}
        }
        Ok(session)
    }

    fn end(&self, session: Session, statement: &str) -> Result<(), MetaError> {
        if self.mode != TransactionMode::Point {
            session.script(statement)?;
        }
        self.shared.give_back(session);
        Ok(())
    }

    /// Decides whether to run the closure again after an attempt that committed nothing.
    fn after_rollback<T, E: RetryCause>(&self, outcome: Result<T, E>) -> AttemptOutcome<T, E> {
        /// The largest number of attempts of a closure that inserts an existing key. If two transactions insert the
        /// same key at once, the next run of the one that failed sees the other's row.
        const MAX_UNIQUE_ATTEMPTS: u32 = 5;
        let cause = outcome.as_ref().err().and_then(RetryCause::retry_cause);
        match cause.map(|cause| (cause.kind(), cause.clone())) {
            Some((ErrorKind::Retry | ErrorKind::Unavailable, cause)) => {
                AttemptOutcome::Retry(cause)
            }
            Some((ErrorKind::Unique, cause)) if self.attempts < MAX_UNIQUE_ATTEMPTS => {
                AttemptOutcome::Retry(cause)
            }
            _ => AttemptOutcome::Answer(outcome),
        }
    }

    /// Returns the pause before the next attempt. It grows with the attempts, and it is random, so that two
    /// transactions that were in conflict do not meet again.
    fn random_pause(&self) -> Duration {
        use std::hash::{BuildHasher, RandomState};
        let max_micros = 2_000_u64 << self.attempts.min(6);
        Duration::from_micros(500 + RandomState::new().hash_one(self.attempts) % max_micros)
    }
}

/// Makes the error of a connection that broke during its commit. The closure must not run again: that might do its work
/// twice.
fn unknown_outcome(error: &MetaError) -> MetaError {
    MetaError::new(
        ErrorKind::UnknownOutcome,
        format!("the outcome of a commit is unknown: {error}"),
    )
}
