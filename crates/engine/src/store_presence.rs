//! The last look at the stores: whether they are where they belong.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Whether the stores were where they belong when they were last looked at.
#[derive(Default)]
pub(crate) struct StorePresence {
    pub(crate) away: AtomicBool,
    pub(crate) problem: Mutex<Option<String>>,
}
