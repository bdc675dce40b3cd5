//! The outcome of the last check of the stores.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// The outcome of the last check that the stores are in their places.
#[derive(Default)]
pub(crate) struct StorePresence {
    pub(crate) away: AtomicBool,
    pub(crate) problem: Mutex<Option<String>>,
}
