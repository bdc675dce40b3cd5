//! The counters and gauges of `/metrics`.

mod capacity;
mod copies;
mod process;
mod registration;
mod upstreams;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use engine::{CapacityReport, CheckCounts, DiskRoom, LatencyObserver, TransactionKind};
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use capacity::{CapacityGauges, DiskGauges};
use copies::CopyFigures;
use process::ProcessCollector;
use upstreams::UpstreamFigures;

/// The metrics. Cheap to clone; every clone has the same counters.
#[derive(Clone)]
pub struct Metrics(Arc<MetricsState>);

struct MetricsState {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram>,
    sent: Family<RouteLabel, Counter>,
    received: Family<RouteLabel, Counter>,
    running: Gauge<i64>,
    connections: Gauge<i64>,
    refused: Family<ReasonLabel, Counter>,
    refused_credentials: Family<ReasonLabel, Counter>,
    collected: Counter<u64, AtomicU64>,
    collected_bytes: Counter<u64, AtomicU64>,
    evicted: Counter<u64, AtomicU64>,
    evicted_bytes: Counter<u64, AtomicU64>,
    capacity: CapacityGauges,
    copies: CopyFigures,
    disk: DiskGauges,
    transactions: Family<TransactionLabel, Histogram>,
    certificate_expiry: Family<CertificateLabel, Gauge>,
    audit_dropped: Counter<u64, AtomicU64>,
    audit_left_out: Counter<u64, AtomicU64>,
    delivered: Family<WebhookLabel, Counter>,
    failed: Family<WebhookLabel, Counter>,
    dropped: Family<WebhookLabel, Counter>,
    waiting: Family<WebhookLabel, Gauge>,
    upstreams: UpstreamFigures,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TransactionLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CertificateLabel {
    file: String,
}

/// A request that is over.
#[derive(Debug, Clone, Copy)]
pub struct FinishedRequest {
    /// The kind of resource that the request asked for.
    pub route: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The time from the request's first header to the last byte of the answer.
    pub took: Duration,
    /// The bytes of the request's body that were read.
    pub received: u64,
    /// The bytes of the answer's body that the connection took.
    pub sent: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookLabel {
    webhook: String,
}

impl WebhookLabel {
    fn of(webhook: &str) -> Self {
        Self { webhook: webhook.to_owned() }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Lowers its gauge by one when dropped.
pub struct RunningGuard(Gauge<i64>);

impl RunningGuard {
    fn new(gauge: &Gauge<i64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut state = MetricsState::new();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        state.register(registry.sub_registry_with_prefix("berth"));
        state.registry = registry;
        Self(Arc::new(state))
    }
}

impl MetricsState {
    fn new() -> Self {
        let requests = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0]);
        let transactions = || {
            Histogram::new([
                0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
            ])
        };
        Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(requests),
            sent: Family::default(),
            received: Family::default(),
            running: Gauge::default(),
            connections: Gauge::default(),
            refused: Family::default(),
            refused_credentials: Family::default(),
            collected: Counter::default(),
            collected_bytes: Counter::default(),
            evicted: Counter::default(),
            evicted_bytes: Counter::default(),
            capacity: CapacityGauges::default(),
            copies: CopyFigures::default(),
            disk: DiskGauges::default(),
            transactions: Family::new_with_constructor(transactions),
            certificate_expiry: Family::default(),
            audit_dropped: Counter::default(),
            audit_left_out: Counter::default(),
            delivered: Family::default(),
            failed: Family::default(),
            dropped: Family::default(),
            waiting: Family::default(),
            upstreams: UpstreamFigures::default(),
        }
    }
}

impl Metrics {
    /// Counts a request as running until the returned guard is dropped.
    pub fn start_request(&self) -> RunningGuard {
        RunningGuard::new(&self.0.running)
    }

    /// Counts a connection as open until the returned guard is dropped.
    pub fn open_connection(&self) -> RunningGuard {
        RunningGuard::new(&self.0.connections)
    }

    /// Counts a connection that was closed at once.
    pub fn connection_refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Makes the counters of refused credentials visible, with 0 for each reason.
    pub fn refusals_known(&self, reasons: &[&'static str]) {
        for &reason in reasons {
            let _ = self.0.refused_credentials.get_or_create(&ReasonLabel { reason });
        }
    }

    /// Counts a request whose credential was refused.
    pub fn credential_refused(&self, reason: &'static str) {
        self.0.refused_credentials.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a request that is over.
    pub fn observe(&self, request: &FinishedRequest) {
        let &FinishedRequest { route, status, took, received, sent } = request;
        let status = status.as_u16();
        self.0.requests.get_or_create(&RequestLabels { route, status }).inc();
        let label = RouteLabel { route };
        self.0.durations.get_or_create(&label).observe(took.as_secs_f64());
        self.0.sent.get_or_create(&label).inc_by(sent);
        self.0.received.get_or_create(&label).inc_by(received);
    }

    /// Counts files that a collection deleted, and their bytes.
    pub fn files_collected(&self, files: u64, bytes: u64) {
        self.0.collected.inc_by(files);
        self.0.collected_bytes.inc_by(bytes);
    }

    /// Counts manifests that remote repositories may not keep, and the bytes that went with them.
    pub fn versions_evicted(&self, versions: u64, bytes: i64) {
        self.0.evicted.inc_by(versions);
        self.0.evicted_bytes.inc_by(u64::try_from(bytes).unwrap_or_default());
    }

    /// Sets the gauges of what the registry stores, and of the work that waits.
    pub fn set_capacity(&self, capacity: &CapacityReport) {
        self.0.capacity.set(capacity);
    }

    /// Sets the gauge that says whether the database and the folder of blobs are where they belong.
    pub fn set_stores(&self, is_present: bool) {
        self.0.copies.set_present(is_present);
    }

    /// Sets the number of copies that are out of service, and the time in microseconds since 1970 at which the longest
    /// unchecked copy was checked.
    pub fn set_copies(&self, quarantined: i64, oldest: Option<i64>) {
        self.0.copies.set_state(quarantined, oldest);
    }

    /// Sets the counters of what this process found when it checked copies.
    pub fn set_checks(&self, counts: &CheckCounts) {
        self.0.copies.set_counts(counts);
    }

    /// Sets the gauges of the disk.
    pub fn set_disk(&self, room: &DiskRoom) {
        self.0.disk.set(room);
    }

    /// Returns the function to which the database reports the duration of each transaction.
    pub fn transaction_observer(&self) -> Arc<LatencyObserver> {
        let histogram =
            |kind| self.0.transactions.get_or_create(&TransactionLabel { kind }).clone();
        let (writes, reads) = (histogram("write"), histogram("read"));
        Arc::new(move |kind, took| match kind {
            TransactionKind::Write => writes.observe(took.as_secs_f64()),
            TransactionKind::Read => reads.observe(took.as_secs_f64()),
        })
    }

    /// Sets the time at which the certificate in use expires, in seconds since 1970. Without TLS the gauge does not
    /// exist.
    pub fn set_certificate_expiry(&self, file: &Path, expires_at: i64) {
        let label = CertificateLabel { file: file.display().to_string() };
        self.0.certificate_expiry.get_or_create(&label).set(expires_at);
    }

    /// Counts entries that the audit log lost.
    pub fn audit_dropped(&self, entries: u64) {
        self.0.audit_dropped.inc_by(entries);
    }

    /// Counts an entry that the audit log left out.
    pub fn audit_left_out(&self) {
        self.0.audit_left_out.inc();
    }

    /// Makes the counters of a webhook visible, with 0 in each.
    pub fn webhook_known(&self, webhook: &str) {
        let label = WebhookLabel::of(webhook);
        for counter in [&self.0.delivered, &self.0.failed, &self.0.dropped] {
            let _ = counter.get_or_create(&label);
        }
        let _ = self.0.waiting.get_or_create(&label);
    }

    /// Counts a message that a webhook's receiver took.
    pub fn notification_delivered(&self, webhook: &str) {
        self.0.delivered.get_or_create(&WebhookLabel::of(webhook)).inc();
    }

    /// Counts an attempt at which a webhook's receiver did not take a message.
    pub fn notification_failed(&self, webhook: &str) {
        self.0.failed.get_or_create(&WebhookLabel::of(webhook)).inc();
    }

    /// Counts messages that waited too long for a webhook's receiver.
    pub fn notifications_dropped(&self, webhook: &str, messages: u64) {
        self.0.dropped.get_or_create(&WebhookLabel::of(webhook)).inc_by(messages);
    }

    /// Sets the number of messages that wait for a webhook's receiver.
    pub fn notifications_waiting(&self, webhook: &str, messages: i64) {
        self.0.waiting.get_or_create(&WebhookLabel::of(webhook)).set(messages);
    }

    /// Returns all metrics in the text format of Prometheus.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)
            .expect("a string takes everything that is written to it");
        text
    }
}
