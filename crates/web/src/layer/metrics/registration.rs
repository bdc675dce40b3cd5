//! The names and the help texts of the metrics.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{MetricsState, ReasonLabel};
use crate::layer::log::dropped_lines;

impl MetricsState {
    /// Registers all metrics but those of the process. The order here is the order in `/metrics`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", version);
        self.register_requests(registry);
        self.register_storage(registry);
        self.register_certificate_and_logs(registry);
        self.register_notifications(registry);
        self.upstreams.register(registry);
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests by route and status", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "How long requests took, from their first header to the last byte of the answer",
            self.durations.clone(),
        );
        registry.register("http_sent_bytes", "Bytes of answers by route", self.sent.clone());
        registry.register(
            "http_received_bytes",
            "Bytes of requests by route",
            self.received.clone(),
        );
        registry.register(
            "http_requests_running",
            "Requests that are not over",
            self.running.clone(),
        );
        registry.register("http_connections", "Open connections", self.connections.clone());
        for reason in ["descriptors", "network"] {
            let _ = self.refused.get_or_create(&ReasonLabel { reason });
        }
        registry.register(
            "http_connections_refused",
            "Connections that were closed at once, by the reason",
            self.refused.clone(),
        );
        registry.register(
            "auth_refused",
            "Requests whose credential was refused, by the reason",
            self.refused_credentials.clone(),
        );
    }

    fn register_storage(&self, registry: &mut Registry) {
        registry.register(
            "gc_files",
            "Files that this process deleted from the trash",
            self.collected.clone(),
        );
        registry.register_with_unit(
            "gc",
            "Bytes of files that this process deleted from the trash",
            Unit::Bytes,
            self.collected_bytes.clone(),
        );
        registry.register(
            "cache_evicted_versions",
            "Manifests that this process deleted because remote repositories may not keep them",
            self.evicted.clone(),
        );
        registry.register_with_unit(
            "cache_evicted",
            "Bytes that remote repositories do not hold any more since then",
            Unit::Bytes,
            self.evicted_bytes.clone(),
        );
        self.capacity.register(registry);
        self.copies.register(registry);
        self.disk.register(registry);
        registry.register_with_unit(
            "database_transaction_duration",
            "How long transactions took, with the time that they waited for their turn",
            Unit::Seconds,
            self.transactions.clone(),
        );
    }

    fn register_certificate_and_logs(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "tls_certificate_expiry",
            "When the certificate that is in use ends, in seconds since 1970",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        registry.register(
            "audit_dropped",
            "Entries of the audit log that did not fit into its queue, or could not be written",
            self.audit_dropped.clone(),
        );
        registry.register(
            "audit_left_out",
            "Entries of the audit log that were too many of refused requests without an account",
            self.audit_left_out.clone(),
        );
        registry.register(
            "log_dropped",
            "Lines of the log that were not read in time, or could not be written",
            dropped_lines(),
        );
    }

    fn register_notifications(&self, registry: &mut Registry) {
        registry.register(
            "notifications_delivered",
            "Messages that a webhook's receiver took",
            self.delivered.clone(),
        );
        registry.register(
            "notifications_failed",
            "Attempts at which a webhook's receiver did not take a message",
            self.failed.clone(),
        );
        registry.register(
            "notifications_dropped",
            "Messages that a webhook's receiver did not take in time, and never will",
            self.dropped.clone(),
        );
        registry.register(
            "notifications_waiting",
            "Messages that wait for a webhook's receiver, up to a thousand",
            self.waiting.clone(),
        );
    }
}
