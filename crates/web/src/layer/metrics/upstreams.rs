//! The metrics of remote repositories, by the host that they fetch from.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

/// The largest number of hosts with figures of their own. Whoever creates repositories names hosts.
const MAX_HOSTS: usize = 200;
/// The label of all hosts after these.
const OTHER_HOSTS: &str = "other";

/// The metrics of remote repositories.
#[derive(Default)]
pub(super) struct UpstreamFigures {
    hosts: Mutex<BTreeSet<String>>,
    hits: Family<HostLabel, Counter>,
    fetches: Family<HostLabel, Counter>,
    fetched_bytes: Family<HostLabel, Counter<u64, AtomicU64>>,
    errors: Family<ErrorLabels, Counter>,
    remaining: Family<HostLabel, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HostLabel {
    host: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    host: String,
    kind: &'static str,
}

impl UpstreamFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "upstream_hits",
            "Pulls of manifests that a cache answered without asking the host",
            self.hits.clone(),
        );
        registry.register(
            "upstream_fetches",
            "Manifests and blobs that were fetched from the host",
            self.fetches.clone(),
        );
        registry.register(
            "upstream_fetched_bytes",
            "Bytes of the manifests and blobs that were fetched from the host",
            self.fetched_bytes.clone(),
        );
        registry.register(
            "upstream_errors",
            "Requests to which the host gave no content, by the kind of the problem",
            self.errors.clone(),
        );
        registry.register(
            "upstream_ratelimit_remaining",
            "The last RateLimit-Remaining of the host",
            self.remaining.clone(),
        );
    }

    fn label(&self, host: &str) -> HostLabel {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = if hosts.contains(host) || hosts.len() < MAX_HOSTS { host } else { OTHER_HOSTS };
        if !hosts.contains(host) {
            hosts.insert(host.to_owned());
        }
        HostLabel { host: host.to_owned() }
    }
}

impl Metrics {
    /// Counts a pull of a manifest for which a host was not asked.
    pub fn upstream_hit(&self, host: &str) {
        let figures = &self.0.upstreams;
        figures.hits.get_or_create(&figures.label(host)).inc();
    }

    /// Counts a manifest or a blob that a host begins to send.
    pub fn upstream_fetched(&self, host: &str) {
        let figures = &self.0.upstreams;
        figures.fetches.get_or_create(&figures.label(host)).inc();
    }

    /// Counts bytes of a manifest or a blob that came from a host.
    pub fn upstream_sent(&self, host: &str, bytes: u64) {
        let figures = &self.0.upstreams;
        figures.fetched_bytes.get_or_create(&figures.label(host)).inc_by(bytes);
    }

    /// Counts a request to which a host gave no content.
    pub fn upstream_failed(&self, host: &str, kind: &'static str) {
        let figures = &self.0.upstreams;
        let HostLabel { host } = figures.label(host);
        figures.errors.get_or_create(&ErrorLabels { host, kind }).inc();
    }

    /// Sets the number of requests that a host says it still answers.
    pub fn set_upstream_remaining(&self, host: &str, remaining: i64) {
        let figures = &self.0.upstreams;
        figures.remaining.get_or_create(&figures.label(host)).set(remaining);
    }
}
