//! The writing thread: closures that waited together are committed together, with one sync for all.
//!
//! Each runs in a savepoint of its own, so that one that fails or panics takes no other along. Nobody is
//! answered before the commit: not even one who gets an error, which may rest on a neighbour's rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoints::Checkpoints;
use super::place::Place;
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
    pub(super) place: Place,
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
        let connection = locked(&self.connection);
        let mut batch = Batch { connection: &connection, done: Vec::new() };
        let mut next = Some(first);
        let mut committed = self.health.check().and_then(|()| self.place.check()).and_then(|()| {
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
        if committed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Full) {
            batch.undo();
            if self.checkpoints.as_ref().is_some_and(Checkpoints::begin_anew) {
                // Now there is room in the log's own file.
                committed = batch.again();
            }
        }
        if let Err(error) = &committed {
            self.give_up(&batch, error);
        } else if let Some(checkpoints) = &self.checkpoints {
            checkpoints.committed(batch.done.len());
        }
        let committed = committed.and_then(|()| self.place.check().map_err(gone_meanwhile));
        for job in batch.done {
            job.finish(committed.as_ref().err().cloned());
        }
        stop
    }

    /// There are no deferred constraints, so a commit fails only when the disk does.
    fn give_up(&self, batch: &Batch<'_>, error: &MetaError) {
        tracing::error!(%error, "the database could not commit: {error}");
        batch.undo();
        if !is_undone(error) {
            self.health.fail();
        }
    }
}

/// Whether SQLite has certainly kept nothing of what failed so. Where the disk is full, it is the commit's own
/// mark that could not be written; where the files are elsewhere, nothing was begun.
fn is_undone(error: &MetaError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Away)
}

/// What was committed may be in a file that nobody finds again.
fn gone_meanwhile(away: MetaError) -> MetaError {
    MetaError::new(ErrorKind::Lost, format!("the outcome of a commit is unknown: {away}"))
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
        self.statement("COMMIT").map_err(|error| {
            if is_undone(&error) {
                return error;
            }
            let message = format!("the outcome of a commit is unknown: {error}");
            MetaError::new(ErrorKind::Lost, message)
        })
    }

    /// Runs everything once more, as nothing of it was kept.
    fn again(&mut self) -> Result<(), MetaError> {
        let jobs = std::mem::take(&mut self.done);
        self.run_all(jobs)?;
        self.commit()
    }

    fn undo(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.statement("ROLLBACK");
        }
    }

    /// Runs jobs, in a new transaction where none is open. Those that a failure keeps from running are done too.
    fn run_all(&mut self, jobs: Vec<Box<dyn Job>>) -> Result<(), MetaError> {
        let mut outcome = Ok(());
        for job in jobs {
            if outcome.is_ok() && self.connection.is_autocommit() {
                outcome = self.begin();
            }
            match outcome {
                Ok(()) => outcome = self.run(job),
                Err(_) => self.done.push(job),
            }
        }
        if outcome.is_ok() && self.connection.is_autocommit() { self.begin() } else { outcome }
    }

    fn run(&mut self, mut job: Box<dyn Job>) -> Result<(), MetaError> {
        let stands = self.run_one(&mut *job);
        if !matches!(stands, Ok(false)) {
            self.done.push(job);
            return stands.map(|_| ());
        }
        // SQLite dropped the whole transaction, as it does when the disk is full. That is this job's
        // misfortune: those before it run again.
        let message = "SQLite ended the transaction: no room for what it changes";
        job.finish(Some(MetaError::new(ErrorKind::Full, message)));
        let before = std::mem::take(&mut self.done);
        self.run_all(before)
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

pub(super) fn no_thread(error: std::io::Error) -> MetaError {
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
