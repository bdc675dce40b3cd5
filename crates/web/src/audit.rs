//! The audit log: who did what, or was refused it. Each entry is a JSON line in the shape of Google's Cloud Audit Logs.
//!
//! A request that is recorded holds an [`AuditGuard`]. The code that serves the request notes facts with the guard's
//! [`AuditRecorder`]. When the guard is dropped, the facts become one entry, also if the client left before the answer.
//! Entries go through a bounded queue to one thread. An entry that does not fit into the queue, or cannot be written,
//! is dropped and counted: no request waits for its entry or fails because of it. Entries that anybody can cause
//! without an account are limited for each address, so that nobody fills the disk. This module decides no permissions
//! and never sees a credential.

mod code;
mod file;
mod line;
mod operation;
mod recorder;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use engine::CleanupStep;
use http::HeaderMap;
use http::header::USER_AGENT;
use identity::Clock;
use model::client_network::network;
use model::name::RepositoryName;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

pub use code::AuditCode;
pub use operation::{AuditedOperation, LogWhen, PermissionType};
pub use recorder::{AuditRecorder, RepositoryOf, UnrequestedChange};

use crate::layer::RequestInfo;
use crate::layer::metrics::Metrics;
use crate::layer::rate_limiter::RateLimiter;
use crate::settings::{self, AuditFile};
use file::{AuditOutput, AuditWriter};
use recorder::AuditRecord;

/// The most entries that wait for the thread. Each is cut to a few KiB, so that this number bounds the memory.
const MAX_QUEUED: usize = 4096;

/// The entries of refused requests without an account that one address has at once, before [`ADDRESS_REFILL`] applies.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(1000).expect("more than nothing");
/// The entries of such requests that one address has in each second after that.
const ADDRESS_REFILL: NonZeroU32 = NonZeroU32::MIN;
/// The entries of such requests that all addresses together have at once: one client may have very many addresses.
const TOTAL_BURST: NonZeroU32 = NonZeroU32::new(10_000).expect("more than nothing");
/// The entries of such requests that all addresses together have in each second after that.
const TOTAL_REFILL: NonZeroU32 = NonZeroU32::new(10).expect("more than nothing");

/// The time for which entries that were left out are counted, before an entry reports their number.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The audit log, which may be switched off. Cheap to clone; every clone is the same log.
#[derive(Clone, Default)]
pub struct AuditLog(Option<Arc<AuditSink>>);

struct AuditSink {
    queue: mpsc::Sender<AuditMessage>,
    /// Set if reads are recorded too.
    reads: bool,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    address_limit: RateLimiter<IpAddr>,
    total_limit: RateLimiter<()>,
    /// The number of entries that were left out since the last report.
    left_out: AtomicU64,
}

/// A message to the thread that writes.
enum AuditMessage {
    /// An entry to write.
    Entry(Box<AuditRecord>),
    /// A request for an answer when all entries before it are written.
    Flush(oneshot::Sender<()>),
}

impl AuditLog {
    /// Opens the destination, and starts the thread that writes to it.
    ///
    /// A relative path is one within `folder`. Without a folder, which is how a server runs that keeps nothing, a
    /// relative path switches the log off.
    pub fn start(
        settings: &settings::AuditSettings,
        folder: Option<&Path>,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let output = match (&settings.file, folder) {
            (AuditFile::Off, _) => return Ok(Self::default()),
            (AuditFile::StandardError, _) => AuditOutput::StandardError,
            (AuditFile::At(path), None) if path.is_relative() => return Ok(Self::default()),
            (AuditFile::At(path), folder) => {
                let path = folder.unwrap_or(Path::new("")).join(path);
                let opened = AuditOutput::open(&path);
                opened.with_context(|| format!("audit.file: cannot open {}", path.display()))?
            }
        };
        let (queue, entries) = mpsc::channel(MAX_QUEUED);
        let writer = AuditWriter::new(output, metrics.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(entries))
            .context("cannot start the thread that writes the audit log")?;
        let sink = AuditSink::new(queue, settings.reads, metrics.clone(), clock);
        Ok(Self(Some(Arc::new(sink))))
    }

    /// Begins an entry for an operation of a request. The guard records nothing if the settings do not ask for it.
    pub fn begin(
        &self,
        operation: Option<AuditedOperation>,
        info: Option<&Arc<RequestInfo>>,
        headers: &HeaderMap,
    ) -> AuditGuard {
        match (operation, &self.0) {
            (Some(operation), Some(sink)) if operation.when.may_be_recorded(sink.reads) => {
                let guard = AuditGuard::new(sink, info, headers);
                guard.trail.note_operation(Some(operation));
                guard
            }
            _ => AuditGuard::default(),
        }
    }

    /// Begins an entry for a request whose operation is noted later.
    pub fn begin_unnamed(
        &self,
        info: Option<&Arc<RequestInfo>>,
        headers: &HeaderMap,
    ) -> AuditGuard {
        let sink = self.0.as_ref();
        sink.map_or_else(AuditGuard::default, |sink| AuditGuard::new(sink, info, headers))
    }

    /// Records the versions that cleanup policies have deleted, one entry each. No request did this.
    pub fn record_cleanup(&self, repository: &RepositoryName, step: &CleanupStep) {
        let Some(sink) = self.0.as_ref().filter(|_| !step.dry_run) else { return };
        for version in &step.cleaned {
            sink.send(Box::new(AuditRecord::cleanup(sink.clock.now(), repository, version)));
        }
    }

    /// Records a change that no request made, and how it ended.
    pub fn record_unrequested(
        &self,
        change: UnrequestedChange<'_>,
        code: AuditCode,
        problem: &str,
    ) {
        if let Some(sink) = &self.0 {
            let record = AuditRecord::unrequested(sink.clock.now(), change);
            let outcome = Some((code, problem.to_owned()));
            sink.send(Box::new(AuditRecord { outcome, ..record }));
        }
    }

    /// Waits until all entries so far are written, but not beyond the deadline.
    pub async fn flush(&self, deadline: Instant) {
        let Some(sink) = &self.0 else { return };
        let (done, written) = oneshot::channel();
        sink.report_left_out();
        let flushed = timeout_at(deadline, async {
            sink.queue.send(AuditMessage::Flush(done)).await.ok();
            written.await.ok();
        });
        if flushed.await.is_err() {
            tracing::warn!("the audit log's last entries could not be written in time");
        }
    }
}

impl AuditSink {
    fn new(
        queue: mpsc::Sender<AuditMessage>,
        reads: bool,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            queue,
            reads,
            metrics,
            clock,
            address_limit: RateLimiter::new(ADDRESS_BURST, ADDRESS_REFILL),
            total_limit: RateLimiter::new(TOTAL_BURST, TOTAL_REFILL),
            left_out: AtomicU64::new(0),
        }
    }

    /// Sends the record of a request to the thread, or leaves it out if there are too many such. Never waits.
    fn accept(self: &Arc<Self>, record: Box<AuditRecord>) {
        let network = record.caller_ip.map(network).filter(|_| record.needs_no_account());
        if network.is_none_or(|network| self.is_within_limits(network)) {
            self.send(record);
        } else {
            self.count_left_out();
        }
    }

    /// Returns whether an address may have one more entry without an account. If there are too many addresses to count
    /// them separately, the answer is no.
    fn is_within_limits(&self, network: IpAddr) -> bool {
        self.address_limit.try_acquire(&network).unwrap_or(false)
            && self.total_limit.try_acquire(&()).unwrap_or(false)
    }

    /// Counts an entry that is left out. The first one schedules the entry that reports their number.
    fn count_left_out(self: &Arc<Self>) {
        self.metrics.audit_left_out();
        if self.left_out.fetch_add(1, Ordering::Relaxed) == 0
            && let Ok(runtime) = Handle::try_current()
        {
            let sink = self.clone();
            runtime.spawn(async move {
                sleep(REPORT_INTERVAL).await;
                sink.report_left_out();
            });
        }
    }

    fn report_left_out(&self) {
        let count = self.left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.send(Box::new(AuditRecord::left_out(self.clock.now(), count)));
        }
    }

    fn send(&self, record: Box<AuditRecord>) {
        if self.queue.try_send(AuditMessage::Entry(record)).is_err() {
            self.metrics.audit_dropped(1);
        }
    }
}

/// The entry of one request, written when this guard is dropped.
#[derive(Default)]
pub struct AuditGuard {
    sink: Option<Arc<AuditSink>>,
    trail: AuditRecorder,
}

impl AuditGuard {
    fn new(sink: &Arc<AuditSink>, info: Option<&Arc<RequestInfo>>, headers: &HeaderMap) -> Self {
        let mut record = AuditRecord::new(sink.clock.now());
        if let Some(info) = info {
            record.request_id = info.id().to_owned();
            record.caller_ip = Some(info.client());
        }
        if let Some(agent) = headers.get(USER_AGENT) {
            record.set_user_agent(agent.as_bytes());
        }
        Self { sink: Some(sink.clone()), trail: AuditRecorder::new(record) }
    }

    /// Returns the recorder, which notes the facts of the entry.
    pub fn trail(&self) -> &AuditRecorder {
        &self.trail
    }
}

impl Drop for AuditGuard {
    fn drop(&mut self) {
        let Some(sink) = &self.sink else { return };
        if let Some(record) = self.trail.close().filter(|record| record.is_wanted(sink.reads)) {
            sink.accept(record);
        }
    }
}

#[cfg(test)]
mod tests;
