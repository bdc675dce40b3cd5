//! The shared database: several processes on one PostgreSQL.
//!
//! Closures run on threads that may block and drive their connection from there. Writes are SERIALIZABLE and
//! are run again when another transaction was in the way, until a deadline.

mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Config;

use crate::{ErrorKind, MetaError, RetryCause, Tx, blocking};
pub(crate) use session::Session;

/// How many connections one process has at most.
const CONNECTIONS: usize = 16;
/// How long a transaction is tried.
const PATIENCE: Duration = Duration::from_secs(10);

const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An open database.
#[derive(Clone)]
pub(crate) struct Postgres(Arc<Inner>);

struct Inner {
    config: Config,
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
    runtime: Handle,
}

/// How a closure is wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Write,
    Read,
    /// One statement, which is its own transaction.
    Point,
}

impl Postgres {
    pub(crate) async fn open(url: &str) -> Result<Self, MetaError> {
        let mut config: Config = url.parse()?;
        // A server that went away without a word is noticed within the time that callers wait.
        config.connect_timeout(PATIENCE / 2).tcp_user_timeout(PATIENCE).keepalives_idle(PATIENCE);
        let inner = Inner {
            config,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            runtime: Handle::current(),
        };
        let this = Self(Arc::new(inner));
        let migrating = this.clone();
        blocking(move || migrating.migrate()).await?;
        Ok(this)
    }

    fn migrate(&self) -> Result<(), MetaError> {
        let session = self.0.session()?;
        // Any number that nobody else uses; the lock ends with its transaction.
        session.script("BEGIN; SELECT pg_advisory_xact_lock(7311470015)")?;
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
        self.run(Mode::Write, closure).await
    }

    pub(crate) async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        self.run(Mode::Read, closure).await
    }

    pub(crate) async fn point<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        self.run(Mode::Point, closure).await
    }

    async fn run<T, E, F>(&self, mode: Mode, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<MetaError> + RetryCause + Send + 'static,
    {
        let deadline = Instant::now() + PATIENCE;
        let permit = self.permit().await?;
        let inner = self.0.clone();
        blocking(move || {
            let _permit = permit;
            Attempts { inner: &inner, mode, deadline, made: 0 }.run(closure)
        })
        .await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, MetaError> {
        let permit = tokio::time::timeout(PATIENCE, self.0.permits.clone().acquire_owned()).await;
        match permit {
            Ok(permit) => Ok(permit.expect("this semaphore is never closed")),
            Err(_) => Err(MetaError::unavailable("all connections to PostgreSQL are busy")),
        }
    }
}

impl Inner {
    fn session(&self) -> Result<Session, MetaError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(session) if session.is_open() => Ok(session),
            Some(_) | None => Session::connect(&self.config, &self.runtime),
        }
    }

    /// Only a session that ended its transaction comes back; another is closed, which rolls back.
    fn give_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}

/// The runs of one closure, until it is committed, refused, or out of time.
struct Attempts<'p> {
    inner: &'p Inner,
    mode: Mode,
    deadline: Instant,
    made: u32,
}

/// What to do after one run.
enum Next<T, E> {
    Answer(Result<T, E>),
    Again(MetaError),
}

impl Attempts<'_> {
    fn run<T, E, F>(mut self, mut closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        loop {
            match self.once(&mut closure) {
                Next::Answer(answer) => return answer,
                Next::Again(error) if Instant::now() >= self.deadline => {
                    let message = format!("given up after {} attempts: {error}", self.made);
                    return Err(MetaError::unavailable(message).into());
                }
                Next::Again(_) => std::thread::sleep(self.pause()),
            }
        }
    }

    fn once<T, E, F>(&mut self, closure: &mut F) -> Next<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E>,
        E: From<MetaError> + RetryCause,
    {
        self.made += 1;
        let session = match self.begin() {
            Ok(session) => session,
            Err(error) => return self.next(Err(E::from(error))),
        };
        let tx = match self.mode {
            Mode::Write => Tx::postgres(&session),
            Mode::Read | Mode::Point => Tx::postgres(&session).read_only(),
        };
        match tx.run(closure) {
            Ok(value) => match self.end(session, "COMMIT") {
                Err(error) if error.kind() == ErrorKind::Retry => Next::Again(error),
                // The server said so itself: it has kept nothing.
                Err(error) if error.kind() == ErrorKind::Full => Next::Answer(Err(error.into())),
                Err(error) if self.mode == Mode::Write => Next::Answer(Err(unknown(&error).into())),
                // What was read was read.
                Ok(()) | Err(_) => Next::Answer(Ok(value)),
            },
            Err(error) => {
                // What cannot be rolled back is closed.
                let _ = self.end(session, "ROLLBACK");
                self.next(Err(error))
            }
        }
    }

    fn begin(&self) -> Result<Session, MetaError> {
        let session = self.inner.session()?;
        match self.mode {
            Mode::Write => session.script(WRITE)?,
            Mode::Read => session.script(READ)?,
            Mode::Point => {}
        }
        Ok(session)
    }

    fn end(&self, session: Session, how: &str) -> Result<(), MetaError> {
        if self.mode != Mode::Point {
            session.script(how)?;
        }
        self.inner.give_back(session);
        Ok(())
    }

    /// Nothing was committed, so whatever may pass is tried again.
    fn next<T, E: RetryCause>(&self, outcome: Result<T, E>) -> Next<T, E> {
        /// Two transactions that insert the same key: the second run of the loser sees the winner's row.
        const UNIQUE_ATTEMPTS: u32 = 5;
        let cause = outcome.as_ref().err().and_then(RetryCause::retry_cause);
        match cause.map(|cause| (cause.kind(), cause.clone())) {
            Some((ErrorKind::Retry | ErrorKind::Unavailable, cause)) => Next::Again(cause),
            Some((ErrorKind::Unique, cause)) if self.made < UNIQUE_ATTEMPTS => Next::Again(cause),
            _ => Next::Answer(outcome),
        }
    }

    /// Longer with every attempt, and never the same for two: who collided once shall not do so again.
    fn pause(&self) -> Duration {
        use std::hash::{BuildHasher, RandomState};
        let most = 2_000_u64 << self.made.min(6);
        Duration::from_micros(500 + RandomState::new().hash_one(self.made) % most)
    }
}

/// The connection broke while it committed: to run the closure again might do its work twice.
fn unknown(error: &MetaError) -> MetaError {
    MetaError::new(ErrorKind::Lost, format!("the outcome of a commit is unknown: {error}"))
}
