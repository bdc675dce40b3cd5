//! What is counted, for `/metrics`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The counters. Cheap to clone; every clone counts into the same ones.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Family<RouteLabel, Histogram>,
    sent: Family<RouteLabel, Counter>,
    running: Gauge<i64>,
    connections: Gauge<i64>,
    collected: Counter<u64, AtomicU64>,
    audit_dropped: Counter<u64, AtomicU64>,
    audit_left_out: Counter<u64, AtomicU64>,
    delivered: Family<WebhookLabel, Counter>,
    failed: Family<WebhookLabel, Counter>,
    dropped: Family<WebhookLabel, Counter>,
    waiting: Family<WebhookLabel, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
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

/// Lowers its gauge when it is dropped.
pub struct Running(Gauge<i64>);

impl Running {
    fn new(gauge: &Gauge<i64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let durations = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0]);
        let mut inner = Inner {
            registry: Registry::with_prefix("berth"),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            sent: Family::default(),
            running: Gauge::default(),
            connections: Gauge::default(),
            collected: Counter::default(),
            audit_dropped: Counter::default(),
            audit_left_out: Counter::default(),
            delivered: Family::default(),
            failed: Family::default(),
            dropped: Family::default(),
            waiting: Family::default(),
        };
        let registry = &mut inner.registry;
        registry.register("http_requests", "Requests by route and status", inner.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "How long requests took, from their first header to the last byte of the answer",
            inner.durations.clone(),
        );
        registry.register("http_sent_bytes", "Bytes of answers by route", inner.sent.clone());
        registry.register(
            "http_requests_running",
            "Requests that are not over",
            inner.running.clone(),
        );
        registry.register("http_connections", "Open connections", inner.connections.clone());
        registry.register(
            "gc_files",
            "Files that this process removed from the trash",
            inner.collected.clone(),
        );
        registry.register(
            "audit_dropped",
            "Entries of the audit log that did not fit into its queue, or could not be written",
            inner.audit_dropped.clone(),
        );
        registry.register(
            "audit_left_out",
            "Entries of the audit log that were too many of refused requests without an account",
            inner.audit_left_out.clone(),
        );
        registry.register(
            "notifications_delivered",
            "Messages that a webhook's receiver took",
            inner.delivered.clone(),
        );
        registry.register(
            "notifications_failed",
            "Attempts at which a webhook's receiver did not take a message",
            inner.failed.clone(),
        );
        registry.register(
            "notifications_dropped",
            "Messages that a webhook's receiver did not take in time, and never will",
            inner.dropped.clone(),
        );
        registry.register(
            "notifications_waiting",
            "Messages that wait for a webhook's receiver, up to a thousand",
            inner.waiting.clone(),
        );
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// Counts a request as running until the answer is dropped.
    pub fn request_started(&self) -> Running {
        Running::new(&self.0.running)
    }

    /// Counts a connection as open until the answer is dropped.
    pub fn connection_opened(&self) -> Running {
        Running::new(&self.0.connections)
    }

    /// Counts a request that is over.
    pub fn observe(&self, route: &'static str, status: StatusCode, (took, bytes): (Duration, u64)) {
        let status = status.as_u16();
        self.0.requests.get_or_create(&Labels { route, status }).inc();
        let label = RouteLabel { route };
        self.0.durations.get_or_create(&label).observe(took.as_secs_f64());
        self.0.sent.get_or_create(&label).inc_by(bytes);
    }

    /// Counts files that a collection removed.
    pub fn files_collected(&self, files: u64) {
        self.0.collected.inc_by(files);
    }

    /// Counts entries that the audit log lost.
    pub fn audit_dropped(&self, entries: u64) {
        self.0.audit_dropped.inc_by(entries);
    }

    /// Counts an entry that the audit log left out.
    pub fn audit_left_out(&self) {
        self.0.audit_left_out.inc();
    }

    /// Counts a message that a webhook's receiver took.
    pub fn notification_delivered(&self, webhook: &str) {
        self.0.delivered.get_or_create(&WebhookLabel::of(webhook)).inc();
    }

    /// Counts an attempt at which it did not.
    pub fn notification_failed(&self, webhook: &str) {
        self.0.failed.get_or_create(&WebhookLabel::of(webhook)).inc();
    }

    /// Counts messages that waited too long for a webhook's receiver.
    pub fn notifications_dropped(&self, webhook: &str, messages: u64) {
        self.0.dropped.get_or_create(&WebhookLabel::of(webhook)).inc_by(messages);
    }

    /// Says how many messages wait for a webhook's receiver.
    pub fn notifications_waiting(&self, webhook: &str, messages: i64) {
        self.0.waiting.get_or_create(&WebhookLabel::of(webhook)).set(messages);
    }

    /// Everything as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)
            .expect("a string takes everything that is written to it");
        text
    }
}
