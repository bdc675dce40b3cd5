//! The right to write a copy, and what travels with it.
//!
//! What a store has made durable is true of a copy for as long as nobody else may write to it. So its answer
//! brings the right to write along, and the transaction that puts the answer into a row takes both.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

/// The right to write a copy. It ends with the last who has it, or with the process.
pub(crate) type Lock = Arc<dyn Any + Send + Sync>;

/// What is true of a copy, and the right to write it: while this lives, every other claim waits.
///
/// The value is reached through the whole, so that a closure that uses it holds the right too.
#[must_use = "nobody else can claim the copy until this is dropped"]
pub struct Held<T> {
    value: T,
    _lock: Lock,
}

impl<T> Held<T> {
    pub(crate) fn new(value: T, lock: Lock) -> Self {
        Self { value, _lock: lock }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}
