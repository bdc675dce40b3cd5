//! The metrics of stored bytes: the presence of the stores, and the results of checking copies.

use std::sync::atomic::Ordering;

use engine::CheckCounts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The metrics of the stores and of the copies in them.
#[derive(Default)]
pub(super) struct CopyFigures {
    stores_present: Gauge,
    quarantined: Gauge,
    oldest_check: Gauge,
    verified: Counter,
    set_aside: Family<ReasonLabel, Counter>,
    restored: Counter,
    scrubbed_bytes: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl CopyFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.stores_present.set(1);
        registry.register(
            "stores_present",
            "1 while the database and the folder of blobs are where they belong, otherwise 0",
            self.stores_present.clone(),
        );
        registry.register(
            "blobs_quarantined",
            "Blobs whose copy is out of service, up to a thousand",
            self.quarantined.clone(),
        );
        registry.register_with_unit(
            "blobs_oldest_check",
            "When the longest unchecked copy was checked, in seconds since 1970",
            Unit::Seconds,
            self.oldest_check.clone(),
        );
        registry.register(
            "blobs_verified",
            "Copies that were read and are right",
            self.verified.clone(),
        );
        registry.register(
            "blobs_set_aside",
            "Copies that were taken out of service, by reason",
            self.set_aside.clone(),
        );
        registry.register(
            "blobs_restored",
            "Copies that were out of service and turned out right",
            self.restored.clone(),
        );
        registry.register_with_unit(
            "scrub",
            "Bytes that the scrub has read",
            Unit::Bytes,
            self.scrubbed_bytes.clone(),
        );
    }

    /// Sets the gauge that says whether the stores are where they belong.
    pub(super) fn set_present(&self, is_present: bool) {
        self.stores_present.set(i64::from(is_present));
    }

    /// Sets the gauges about all copies, from the database. `oldest` is in microseconds since 1970.
    pub(super) fn set_state(&self, quarantined: i64, oldest: Option<i64>) {
        self.quarantined.set(quarantined);
        self.oldest_check.set(oldest.unwrap_or(0) / 1_000_000);
    }

    /// Sets the counters of this process's checks.
    pub(super) fn set_counts(&self, counts: &CheckCounts) {
        let &CheckCounts { sound, corrupt, missing, unreadable, restored, scrubbed_bytes } = counts;
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.verified, sound);
        set(&self.restored, restored);
        set(&self.scrubbed_bytes, scrubbed_bytes);
        let reasons = [("corrupt", corrupt), ("missing", missing), ("unreadable", unreadable)];
        for (reason, value) in reasons {
            set(&self.set_aside.get_or_create(&ReasonLabel { reason }), value);
        }
    }
}
