//! The writing thread: closures that waited together are committed together, with one sync for all.
//!
//! Each runs in a savepoint of its own, so that one that fails or panics takes no other along. Nobody is
//! answered before the commit: not even one who gets an error, which may rest on a neighbour's rows.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{QUEUE, locked};
use crate::{ErrorKind, MetaError, Tx};

/// Whether commits reach the disk. One that did not ends all writing: what a later sync says proves nothing.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<AtomicBool>);

impl Health {
    pub(super) fn check(&self) -> Result<(), MetaError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(MetaError::unavailable(
                "the database failed to write and takes nothing until a restart",
            ));
        }
        Ok(())
    }

    fn fail(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the writing thread is told.
pub(super) enum Message {
    Run(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

/// A closure and the place where its outcome is awaited, whatever their types.
pub(super) trait Job: Send {
    /// Runs the closure. Answers whether its rows are to be kept.
    fn run(&mut self, tx: Tx<'_>) -> bool;
    /// Sends the outcome of the last run, or the reason why there is none.
    fn finish(self: Box<Self>, failed: Option<MetaError>);
}

/// The one implementation of [`Job`].
pub(super) struct Task<T, E, F> {
    closure: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Task<T, E, F> {
    pub(super) fn new(closure: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { closure, outcome: None, reply }
    }
}

impl<T, E, F> Job for Task<T, E, F>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<MetaError> + Send,
{
    fn run(&mut self, tx: Tx<'_>) -> bool {
        self.outcome.insert(tx.run(&mut self.closure)).is_ok()
    }

    fn finish(self: Box<Self>, failed: Option<MetaError>) {
        let Self { closure, outcome, reply } = *self;
        match &failed {
            // The rows may be found after a restart. Until then nobody gets what the closure holds.
            Some(error) if error.kind() == ErrorKind::Lost => std::mem::forget(closure),
            Some(_) | None => drop(closure),
        }
        let outcome = match (failed, outcome) {
            (None, Some(outcome)) => outcome,
            (Some(error), _) => Err(error.into()),
            (None, None) => Err(MetaError::unavailable("never run").into()),
        };
        // A caller who went away wanted no answer; the rows are kept all the same.
        let _ = reply.send(outcome);
    }
}

/// What the writing thread works with.
pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) checkpoints: Option<Checkpoints>,
    pub(super) health: Health,
}

impl Writer {
    pub(super) fn start(self, messages: mpsc::Receiver<Message>) -> Result<(), MetaError> {
        let started =
            thread::Builder::new().name("sqlite".to_owned()).spawn(move || self.run(messages));
        started.map(|_| ()).map_err(no_thread)
    }

    fn run(self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            let reply = match message {
                Message::Run(job) => self.commit_batch(job, &mut messages),
                Message::Stop(reply) => Some(reply),
            };
            if let Some(reply) = reply {
                messages.close();
                let _ = locked(&self.connection).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                let _ = reply.send(());
            }
        }
    }

    /// Runs this job and all that wait behind it. Answers who asked to stop, if somebody did.
    fn commit_batch(
        &self,
        first: Box<dyn Job>,
        messages: &mut mpsc::Receiver<Message>,
    ) -> Option<oneshot::Sender<()>> {
        let mut stop = None;
        let mut batch = Batch { connection: &locked(&self.connection), done: Vec::new() };
        let mut next = Some(first);
        let committed = self.health.check().and_then(|()| {
            batch.begin()?;
            while let Some(job) = next.take() {
                batch.run(job)?;
                if batch.done.len() < QUEUE {
                    next = match messages.try_recv() {
                        Ok(Message::Run(job)) => Some(job),
                        Ok(Message::Stop(reply)) => {
                            stop = Some(reply);
                            None
                        }
                        Err(_) => None,
                    };
                }
            }
            batch.commit()
        });
        batch.done.extend(next);
        if let Err(error) = &committed {
            self.give_up(&batch, error);
        } else if let Some(checkpoints) = &self.checkpoints {
            checkpoints.count(batch.done.len());
        }
        for job in batch.done {
            job.finish(committed.as_ref().err().cloned());
        }
        stop
    }

    /// There are no deferred constraints, so a commit fails only when the disk does.
    fn give_up(&self, batch: &Batch<'_>, error: &MetaError) {
        tracing::error!(%error, "the database could not commit: {error}");
        if !batch.connection.is_autocommit() {
            let _ = batch.statement("ROLLBACK");
        }
        if error.kind() != ErrorKind::Unavailable {
            self.health.fail();
        }
    }
}

struct Batch<'c> {
    connection: &'c Connection,
    done: Vec<Box<dyn Job>>,
}

impl Batch<'_> {
    fn begin(&self) -> Result<(), MetaError> {
        self.statement("BEGIN IMMEDIATE")
    }

    /// A commit that reached the disk by halves may still be found there after a restart.
    fn commit(&self) -> Result<(), MetaError> {
        self.statement("COMMIT").map_err(|error| match error.kind() {
            ErrorKind::Unavailable => error,
            _ => MetaError::new(
                ErrorKind::Lost,
                format!("the outcome of a commit is unknown: {error}"),
            ),
        })
    }

    fn run(&mut self, mut job: Box<dyn Job>) -> Result<(), MetaError> {
        if self.run_one(&mut *job)? {
            self.done.push(job);
            return Ok(());
        }
        // SQLite dropped the whole transaction, as it does when the disk is full. That is this job's
        // misfortune: those before it run again.
        job.finish(Some(MetaError::unavailable("SQLite ended the transaction: is the disk full?")));
        for job in std::mem::take(&mut self.done) {
            if self.connection.is_autocommit() {
                self.begin()?;
            }
            self.run(job)?;
        }
        if self.connection.is_autocommit() { self.begin() } else { Ok(()) }
    }

    /// Answers whether the transaction still stands.
    fn run_one(&self, job: &mut dyn Job) -> Result<bool, MetaError> {
        self.statement("SAVEPOINT job")?;
        let keep = job.run(Tx::sqlite(self.connection));
        if self.connection.is_autocommit() {
            return Ok(false);
        }
        if !keep {
            self.statement("ROLLBACK TO job")?;
        }
        self.statement("RELEASE job")?;
        Ok(true)
    }

    fn statement(&self, sql: &str) -> Result<(), MetaError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Copies what was committed from the log to the database file, beside the writer. A checkpoint that finds
/// readers in its way does what it can, and the next one goes on.
pub(super) struct Checkpoints {
    due: std_mpsc::SyncSender<()>,
    /// How many closures were committed since the last one was asked for.
    commits: Cell<usize>,
}

impl Checkpoints {
    pub(super) fn start(connection: Connection) -> Result<Self, MetaError> {
        let (due, asked) = std_mpsc::sync_channel(1);
        let work = move || {
            while asked.recv().is_ok() {
                if let Err(error) = checkpoint(&connection) {
                    tracing::warn!(%error, "a checkpoint failed and will be repeated: {error}");
                }
            }
        };
        let started = thread::Builder::new().name("checkpoints".to_owned()).spawn(work);
        started.map(|_| Self { due, commits: Cell::new(0) }).map_err(no_thread)
    }

    fn count(&self, commits: usize) {
        /// A checkpoint costs two syncs: many commits share one.
        const COMMITS: usize = 256;
        self.commits.set(self.commits.get() + commits);
        if self.commits.get() >= COMMITS {
            self.commits.set(0);
            // Full: it is asked for already.
            let _ = self.due.try_send(());
        }
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    /// 64 MiB. The log begins anew only when a checkpoint finds nobody writing, which may never be.
    const LONGEST_LOG_IN_PAGES: i64 = 16_384;
    let run = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(1));
    if run("PRAGMA wal_checkpoint(PASSIVE)")? > LONGEST_LOG_IN_PAGES {
        // Holds the writer up for the little that came since.
        run("PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}

fn no_thread(error: std::io::Error) -> MetaError {
    MetaError::new(ErrorKind::Other, format!("cannot start a thread: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_gives_nothing_back() {
        for (kind, left) in [(ErrorKind::Lost, 2), (ErrorKind::Unavailable, 1)] {
            let owned = Arc::new(());
            let held = owned.clone();
            let closure = move |_: &mut Tx<'_>| {
                let _held = &held;
                Ok::<_, MetaError>(())
            };
            let (reply, _answer) = oneshot::channel();
            let task: Box<dyn Job> = Box::new(Task::new(closure, reply));
            task.finish(Some(MetaError::new(kind, "the disk")));
            assert_eq!(Arc::strong_count(&owned), left, "{kind:?}");
        }
    }
}
