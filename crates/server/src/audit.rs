//! The audit log: who did what, or was refused it, one JSON line each in the shape of Google's Cloud Audit Logs.
//!
//! A request that is to be written down holds an [`Attempt`]. Whoever finds something out notes it on its [`Trail`];
//! when the attempt is dropped, what was noted becomes one entry, also where the client left before the answer. Entries
//! go through a bounded queue to one thread. What does not fit, or cannot be written, is dropped and counted: no request
//! waits for its entry or fails with it. Nothing here decides who may do what, and no credential comes this far.

mod file;
mod line;
mod operation;
mod trail;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::Clock;
use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use operation::{Kind, Operation, When};
pub use trail::{RepositoryOf, Trail};

use crate::config::{self, AuditFile};
use crate::layer::RequestInfo;
use crate::layer::metrics::Metrics;
use file::{Output, Writer};
use trail::Facts;

/// How many entries wait at most. Each is cut to a few KiB, so that this bounds the memory.
const QUEUE: usize = 4096;

/// Where entries go. Cheap to clone; every clone is the same log.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Sink>>);

struct Sink {
    queue: mpsc::Sender<Message>,
    /// Whether reads are written down too.
    reads: bool,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

/// What the thread is told.
enum Message {
    /// To be written.
    Entry(Box<Facts>),
    /// To be answered when all before it is written.
    Flush(oneshot::Sender<()>),
}

impl Audit {
    /// Opens the file, and starts the thread that writes to it. A path that is not absolute is in `folder`; where
    /// nothing is kept, there is no such file.
    pub fn start(
        settings: &config::Audit,
        folder: Option<&Path>,
        (metrics, clock): (&Metrics, Arc<dyn Clock>),
    ) -> anyhow::Result<Self> {
        let output = match (&settings.file, folder) {
            (AuditFile::Off, _) => return Ok(Self::default()),
            (AuditFile::StandardError, _) => Output::StandardError,
            (AuditFile::At(path), None) if path.is_relative() => return Ok(Self::default()),
            (AuditFile::At(path), folder) => {
                let path = folder.unwrap_or(Path::new("")).join(path);
                let opened = Output::open(&path);
                opened.with_context(|| format!("audit.file: cannot open {}", path.display()))?
            }
        };
        let (queue, entries) = mpsc::channel(QUEUE);
        let writer = Writer::new(output, metrics.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(entries))
            .context("cannot start the thread that writes the audit log")?;
        let (reads, metrics) = (settings.reads, metrics.clone());
        Ok(Self(Some(Arc::new(Sink { queue, reads, metrics, clock }))))
    }

    /// Begins to write down what a request does; nothing where that is not asked for.
    pub fn attempt(
        &self,
        operation: Option<Operation>,
        request: (Option<&Arc<RequestInfo>>, &HeaderMap),
    ) -> Attempt {
        match (operation, &self.0) {
            (Some(operation), Some(sink)) if operation.when.may_be(sink.reads) => {
                let attempt = Self::begin(sink, request);
                attempt.trail.operation(Some(operation));
                attempt
            }
            _ => Attempt::default(),
        }
    }

    /// As [`Audit::attempt`], of a request that does not say yet what it is going to do.
    pub fn attempt_at_something(
        &self,
        request: (Option<&Arc<RequestInfo>>, &HeaderMap),
    ) -> Attempt {
        self.0.as_ref().map_or_else(Attempt::default, |sink| Self::begin(sink, request))
    }

    fn begin(
        sink: &Arc<Sink>,
        (info, headers): (Option<&Arc<RequestInfo>>, &HeaderMap),
    ) -> Attempt {
        let mut facts = Facts::at(sink.clock.now());
        if let Some(info) = info {
            facts.request_id = info.id().to_owned();
            facts.caller_ip = Some(info.peer().ip());
        }
        if let Some(agent) = headers.get(USER_AGENT) {
            facts.user_agent = trail::cut(&String::from_utf8_lossy(agent.as_bytes()));
        }
        Attempt { sink: Some(sink.clone()), trail: Trail::of(facts) }
    }

    /// Waits until everything so far is written, but no longer than that.
    pub async fn flush(&self, longest: Duration) {
        let Some(sink) = &self.0 else { return };
        let (done, written) = oneshot::channel();
        let flushed = timeout(longest, async {
            sink.queue.send(Message::Flush(done)).await.ok();
            written.await.ok();
        });
        if flushed.await.is_err() {
            tracing::warn!("the audit log's last entries could not be written in time");
        }
    }
}

impl Sink {
    /// Never waits.
    fn take(&self, facts: Box<Facts>) {
        if self.queue.try_send(Message::Entry(facts)).is_err() {
            self.metrics.audit_dropped(1);
        }
    }
}

/// What one request does, written down when this is dropped.
#[derive(Default)]
pub struct Attempt {
    sink: Option<Arc<Sink>>,
    trail: Trail,
}

impl Attempt {
    /// Where to note what becomes known.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(sink) = &self.sink else { return };
        if let Some(facts) = self.trail.close().filter(|facts| facts.are_wanted(sink.reads)) {
            sink.take(facts);
        }
    }
}

#[cfg(test)]
mod tests;
