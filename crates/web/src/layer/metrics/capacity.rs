//! The gauges of what the registry stores, of the work that waits, and of the disk. A background job sets them.

use engine::{CapacityReport, DiskRoom};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The gauges of what the registry stores, and of the work that waits.
#[derive(Default)]
pub(super) struct CapacityGauges {
    repositories: Gauge,
    repository_bytes: Gauge,
    open_uploads: Gauge,
    waiting_reviews: Gauge,
    due_reviews: Gauge,
}

impl CapacityGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("repositories", "Repositories", self.repositories.clone());
        registry.register_with_unit(
            "stored",
            "Sizes of all repositories together; a blob counts once in each that has it",
            Unit::Bytes,
            self.repository_bytes.clone(),
        );
        registry.register(
            "uploads_open",
            "Upload sessions that are not finished, up to a hundred thousand",
            self.open_uploads.clone(),
        );
        registry.register(
            "gc_queue",
            "Reviews that wait in the queue of collection, up to a hundred thousand",
            self.waiting_reviews.clone(),
        );
        registry.register(
            "gc_queue_due",
            "Reviews that are due and not done yet, up to a hundred thousand",
            self.due_reviews.clone(),
        );
    }

    pub(super) fn set(&self, capacity: &CapacityReport) {
        let &CapacityReport {
            repositories,
            repository_bytes,
            open_uploads,
            waiting_reviews,
            due_reviews,
        } = capacity;
        self.repositories.set(repositories);
        self.repository_bytes.set(repository_bytes);
        self.open_uploads.set(open_uploads);
        self.waiting_reviews.set(waiting_reviews);
        self.due_reviews.set(due_reviews);
    }
}

/// The gauges of the disk.
#[derive(Default)]
pub(super) struct DiskGauges {
    free: Gauge,
    size: Gauge,
    reserve: Gauge,
}

impl DiskGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("disk_free", "Bytes of the data folder's disk that are free", &self.free),
            ("disk_size", "Bytes of the data folder's disk", &self.size),
            ("disk_reserve", "Bytes of the disk that uploads may not use", &self.reserve),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
    }

    pub(super) fn set(&self, room: &DiskRoom) {
        let count = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.free.set(count(room.space.free));
        self.size.set(count(room.space.size));
        self.reserve.set(count(room.reserve));
    }
}
