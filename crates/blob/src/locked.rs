//! Results of a writer, which keep the right to write.
//!
//! A result such as a checkpoint is true only as long as nobody else can write to the copy. Therefore the value keeps
//! the copy locked until the caller drops it, after the transaction that stored the value in a row.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

/// The exclusive right to write a copy. It ends when the last owner drops it, or when the process ends.
pub(crate) type WriteLock = Arc<dyn Any + Send + Sync>;

/// A value that is true of a copy, together with the right to write the copy. As long as this exists, every other claim
/// on the copy waits.
///
/// The value can only be borrowed, so that a closure that uses the value also keeps the right.
#[must_use = "nobody else can claim the copy until this is dropped"]
pub struct Locked<T> {
    value: T,
    _lock: WriteLock,
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T, lock: WriteLock) -> Self {
        Self { value, _lock: lock }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}
