//! Work in the background: collection, cleanup policies, eviction from caches, the scrub of stored bytes, usage and operations.

pub(crate) mod cleanup;
pub(crate) mod counting;
pub(crate) mod eviction;
pub(crate) mod gc;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod operations;
pub(crate) mod scrub;
pub(crate) mod usage;
