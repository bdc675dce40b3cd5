//! The thread that writes. Closures that wait at the same time are committed together, with one sync for all of them.
//!
//! Each closure runs in a savepoint of its own, so that a closure that fails or panics undoes no other one. Every
//! caller gets its answer after the commit. That includes a caller who gets an error, because the error may follow from
//! rows of another closure of the same commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoints::{Checkpointer, thread_error};
use super::place::DatabaseFiles;
use super::{MAX_QUEUED_WRITES, locked};
use crate::{ErrorKind, MetaError, Tx};

/// Records whether a commit has failed to reach the disk. After such a commit, the database accepts no writes: a later
/// sync that succeeds proves nothing.
#[derive(Clone, Default)]
pub(super) struct WriteHealth(Arc<AtomicBool>);

impl WriteHealth {
    pub(super) fn check(&self) -> Result<(), MetaError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(MetaError::unavailable(
                "the database failed to write to the disk, and accepts no writes until a restart",
            ));
        }
        Ok(())
    }

    fn fail(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A message to the thread that writes.
pub(super) enum WriterMessage {
    Run(Box<dyn WriteJob>),
    Stop(oneshot::Sender<()>),
}

/// A closure and the channel to its caller, whatever their types.
pub(super) trait WriteJob: Send {
    /// Runs the closure. Returns whether to keep its rows.
    fn run(&mut self, tx: Tx<'_>) -> bool;
    /// Sends the outcome of the last run to the caller, or `failure` if the transaction failed.
    fn finish(self: Box<Self>, failure: Option<MetaError>);
}

/// The only implementation of [`WriteJob`].
pub(super) struct ClosureJob<T, E, F> {
    closure: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> ClosureJob<T, E, F> {
    pub(super) fn new(closure: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { closure, outcome: None, reply }
    }
}

impl<T, E, F> WriteJob for ClosureJob<T, E, F>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<MetaError> + Send,
{
    fn run(&mut self, tx: Tx<'_>) -> bool {
        self.outcome.insert(tx.run(&mut self.closure)).is_ok()
    }

    fn finish(self: Box<Self>, failure: Option<MetaError>) {
        let Self { closure, outcome, reply } = *self;
        match &failure {
            // The rows may be there after a restart. Until then, the values of the closure, such as locks, are kept.
            Some(error) if error.kind() == ErrorKind::UnknownOutcome => std::mem::forget(closure),
            Some(_) | None => drop(closure),
        }
        let outcome = match (failure, outcome) {
            (None, Some(outcome)) => outcome,
            (Some(error), _) => Err(error.into()),
            (None, None) => Err(MetaError::unavailable("the closure did not run").into()),
        };
        // Sending fails if the caller has dropped its future. The rows are kept all the same.
        let _ = reply.send(outcome);
    }
}

/// The state of the thread that writes.
pub(super) struct WriterThread {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) checkpointer: Option<Checkpointer>,
    pub(super) health: WriteHealth,
    pub(super) files: DatabaseFiles,
}

impl WriterThread {
    pub(super) fn start(self, messages: mpsc::Receiver<WriterMessage>) -> Result<(), MetaError> {
        let started =
            thread::Builder::new().name("sqlite".to_owned()).spawn(move || self.run(messages));
        started.map(|_| ()).map_err(thread_error)
    }

    fn run(self, mut messages: mpsc::Receiver<WriterMessage>) {
        while let Some(message) = messages.blocking_recv() {
            let reply = match message {
                WriterMessage::Run(job) => self.commit_batch(job, &mut messages),
                WriterMessage::Stop(reply) => Some(reply),
            };
            if let Some(reply) = reply {
                messages.close();
                let _ = locked(&self.connection).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                let _ = reply.send(());
            }
        }
    }

    /// Runs this job and all jobs that wait behind it. Returns the sender of the answer to `Stop`, if `Stop` came.
    fn commit_batch(
        &self,
        first: Box<dyn WriteJob>,
        messages: &mut mpsc::Receiver<WriterMessage>,
    ) -> Option<oneshot::Sender<()>> {
        let mut stop = None;
        let connection = locked(&self.connection);
        let mut batch = CommitBatch { connection: &connection, jobs: Vec::new() };
        let mut next = Some(first);
        let mut committed = self.health.check().and_then(|()| self.files.check()).and_then(|()| {
            batch.begin()?;
            while let Some(job) = next.take() {
                batch.run(job)?;
                if batch.jobs.len() < MAX_QUEUED_WRITES {
                    next = match messages.try_recv() {
                        Ok(WriterMessage::Run(job)) => Some(job),
                        Ok(WriterMessage::Stop(reply)) => {
                            stop = Some(reply);
                            None
                        }
                        Err(_) => None,
                    };
                }
            }
            batch.commit()
        });
        batch.jobs.extend(next);
        if committed.as_ref().is_err_and(|error| error.kind() == ErrorKind::DiskFull) {
            batch.roll_back();
            if self.checkpointer.as_ref().is_some_and(Checkpointer::restart_log) {
                // The restarted log writes over its own file, which needs no more of the disk.
                committed = batch.retry();
            }
        }
        if let Err(error) = &committed {
            self.give_up(&batch, error);
        } else if let Some(checkpointer) = &self.checkpointer {
            checkpointer.committed(batch.jobs.len());
        }
        let committed = committed.and_then(|()| self.files.check().map_err(unknown_outcome));
        for job in batch.jobs {
            job.finish(committed.as_ref().err().cloned());
        }
        stop
    }

    /// Rolls back a batch that failed. There are no deferred constraints, so only the disk can make a commit fail.
    fn give_up(&self, batch: &CommitBatch<'_>, error: &MetaError) {
        tracing::error!(%error, "the database could not commit: {error}");
        batch.roll_back();
        if !leaves_nothing(error) {
            self.health.fail();
        }
    }
}

/// Returns whether SQLite has certainly kept no row of a transaction that failed with this error. If the disk was full,
/// the mark of the commit was not written. If the files were not where they were opened, the transaction did not begin.
fn leaves_nothing(error: &MetaError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DiskFull | ErrorKind::FilesMoved)
}

/// Makes the error of a commit that may be lost: it was interrupted, or its file is not where it was opened.
fn unknown_outcome(cause: MetaError) -> MetaError {
    MetaError::new(
        ErrorKind::UnknownOutcome,
        format!("the outcome of a commit is unknown: {cause}"),
    )
}

/// The jobs that are committed together.
struct CommitBatch<'c> {
    connection: &'c Connection,
    jobs: Vec<Box<dyn WriteJob>>,
}

impl CommitBatch<'_> {
    fn begin(&self) -> Result<(), MetaError> {
        self.statement("BEGIN IMMEDIATE")
    }

    /// Commits the transaction. A commit that fails after a part of it reached the disk may be there after a restart.
    fn commit(&self) -> Result<(), MetaError> {
        self.statement("COMMIT")
            .map_err(|error| if leaves_nothing(&error) { error } else { unknown_outcome(error) })
    }

    /// Runs all jobs again and commits them, after a commit that kept none of their rows.
    fn retry(&mut self) -> Result<(), MetaError> {
        let jobs = std::mem::take(&mut self.jobs);
        self.run_all(jobs)?;
        self.commit()
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.statement("ROLLBACK");
        }
    }

    /// Runs jobs, in a new transaction if none is open. After a failure, the remaining jobs join the batch without a
    /// run: their callers get the failure.
    fn run_all(&mut self, jobs: Vec<Box<dyn WriteJob>>) -> Result<(), MetaError> {
        let mut outcome = Ok(());
        for job in jobs {
            if outcome.is_ok() && self.connection.is_autocommit() {
                outcome = self.begin();
            }
            match outcome {
                Ok(()) => outcome = self.run(job),
                Err(_) => self.jobs.push(job),
            }
        }
        if outcome.is_ok() && self.connection.is_autocommit() { self.begin() } else { outcome }
    }

    fn run(&mut self, mut job: Box<dyn WriteJob>) -> Result<(), MetaError> {
        let is_open = self.run_in_savepoint(&mut *job);
        if !matches!(is_open, Ok(false)) {
            self.jobs.push(job);
            return is_open.map(|_| ());
        }
        // SQLite rolled back the whole transaction, as it does when the disk is full. Only this job fails: the jobs
        // before it run again.
        let message = "SQLite rolled back the transaction: the disk has no room for its changes";
        job.finish(Some(MetaError::new(ErrorKind::DiskFull, message)));
        let earlier_jobs = std::mem::take(&mut self.jobs);
        self.run_all(earlier_jobs)
    }

    /// Runs a job. Returns whether the transaction of the batch is still open.
    fn run_in_savepoint(&self, job: &mut dyn WriteJob) -> Result<bool, MetaError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_gives_nothing_back() {
        for (kind, left) in [(ErrorKind::UnknownOutcome, 2), (ErrorKind::Unavailable, 1)] {
            let owned = Arc::new(());
            let held = owned.clone();
            let closure = move |_: &mut Tx<'_>| {
                let _held = &held;
                Ok::<_, MetaError>(())
            };
            let (reply, _answer) = oneshot::channel();
            let job: Box<dyn WriteJob> = Box::new(ClosureJob::new(closure, reply));
            job.finish(Some(MetaError::new(kind, "the disk")));
            assert_eq!(Arc::strong_count(&owned), left, "{kind:?}");
        }
    }
}
