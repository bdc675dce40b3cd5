//! The memory of answers that wait for their readers.
//!
//! A client that does not read its answer holds the memory of the bytes that were read from the store for it. So frames
//! begin small and grow while they are taken. All frames share one budget, and a frame's memory is taken before the
//! frame is read. Where little is left, frames are small again, and connections whose readers take nothing are ended.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// The size in bytes of the smallest frame, and of the first frame of each answer.
pub(super) const FIRST_FRAME: usize = 16 << 10;
/// The size in bytes of the largest frame of a connection with one answer at a time.
const MAX_FRAME: usize = 256 << 10;
/// The most bytes that wait for the reader of one of several streams.
pub(super) const MAX_WAITING: u64 = 256 << 10;
/// The size in bytes of the largest frame of a connection with several streams. [`MAX_WAITING`] is two such frames, so
/// that one is read while the other is sent.
const MAX_STREAM_FRAME: usize = 128 << 10;
/// The time between two checks of the readers, while more than half of the memory is taken.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The number of checks in a row at which a reader made no progress, after which its connection may be ended.
const MAX_IDLE_CHECKS: u32 = 2;
/// The bytes between two checks that count as progress.
const MIN_PROGRESS: u64 = 1 << 10;

/// The budget of all answers. Cheap to clone; every clone is the same memory.
#[derive(Clone)]
pub struct SendMemory(Arc<SendBudget>);

struct SendBudget {
    total: i64,
    left: AtomicI64,
    readers: Mutex<WatchedReaders>,
}

#[derive(Default)]
struct WatchedReaders {
    checked: Option<Instant>,
    watched: Vec<WatchedReader>,
}

/// The reader of an answer that is being sent.
pub(super) trait AnswerReader: Send + Sync {
    /// Returns the number of bytes that the reader took, and whether more bytes wait for it.
    fn progress(&self) -> (u64, bool);

    /// Ends the connection, because its reader takes nothing and others need the memory.
    fn end_connection(&self);
}

struct WatchedReader {
    answer: Weak<dyn AnswerReader>,
    taken: u64,
    /// The number of checks since the reader made progress.
    idle_checks: u32,
}

impl SendMemory {
    /// Creates a budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let total = i64::try_from(bytes).unwrap_or(i64::MAX);
        Self(Arc::new(SendBudget { total, left: AtomicI64::new(total), readers: Mutex::default() }))
    }

    /// Adds a reader to those that are checked when memory is short.
    pub(super) fn watch(&self, answer: Weak<dyn AnswerReader>) {
        let mut readers = self.0.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if readers.watched.len() == readers.watched.capacity() {
            readers.watched.retain(|reader| reader.answer.strong_count() > 0);
        }
        readers.watched.push(WatchedReader { answer, taken: 0, idle_checks: 0 });
    }

    /// Takes the memory for a frame of at most `wanted` bytes, and returns the size. Where memory is short, the frame
    /// is smaller. Returns `None` if there is not enough for the smaller frame.
    pub(super) fn take(&self, wanted: usize) -> Option<usize> {
        let left = self.0.left.load(Ordering::Relaxed);
        let (half, quarter) = (self.0.total / 2, self.0.total / 4);
        if left < half {
            self.check_readers(left < quarter);
        }
        let largest = match left {
            left if left < quarter => FIRST_FRAME,
            left if left < half => 4 * FIRST_FRAME,
            _ => MAX_FRAME,
        };
        let frame = wanted.min(largest);
        let taken = self.0.left.fetch_sub(frame as i64, Ordering::Relaxed);
        if taken >= frame as i64 {
            return Some(frame);
        }
        self.give_back(frame as u64);
        None
    }

    /// Takes memory for bytes that are there already, even if none is left.
    pub(super) fn force(&self, bytes: u64) {
        let left = self.0.left.fetch_sub(bytes as i64, Ordering::Relaxed);
        if left < self.0.total / 4 {
            self.check_readers(true);
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.0.left.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// Checks all readers, if the last check is long enough ago. If memory is `short`, ends the connections whose
    /// readers make no progress.
    fn check_readers(&self, short: bool) {
        // Another thread is checking the readers.
        let Ok(mut readers) = self.0.readers.try_lock() else { return };
        if readers.checked.is_some_and(|checked| checked.elapsed() < CHECK_INTERVAL) {
            return;
        }
        readers.checked = Some(Instant::now());
        let mut unread = Vec::new();
        readers.watched.retain_mut(|reader| {
            let Some(answer) = reader.answer.upgrade() else { return false };
            let (taken, waits) = answer.progress();
            let idle = waits && taken.saturating_sub(reader.taken) < MIN_PROGRESS;
            reader.idle_checks = if idle { reader.idle_checks + 1 } else { 0 };
            reader.taken = taken;
            unread.push((reader.idle_checks >= MAX_IDLE_CHECKS, answer));
            true
        });
        drop(readers);
        // These are dropped after the lock is released: dropping the last holder of a request writes its log line.
        for (is_unread, answer) in unread {
            if short && is_unread {
                answer.end_connection();
            }
        }
    }

    #[cfg(test)]
    fn left(&self) -> i64 {
        self.0.left.load(Ordering::Relaxed)
    }
}

/// The size of the next frame of an answer: twice the size of the last one, up to a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramePace {
    next: usize,
    largest: usize,
}

impl FramePace {
    /// Starts with the smallest frame. The limit is lower for a connection with several streams.
    pub(super) fn new(has_streams: bool) -> Self {
        Self { next: FIRST_FRAME, largest: if has_streams { MAX_STREAM_FRAME } else { MAX_FRAME } }
    }

    pub(super) fn next(self) -> usize {
        self.next
    }

    pub(super) fn grow(&mut self) {
        self.next = (self.next * 2).min(self.largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_shrink_with_the_memory_that_is_left() {
        let memory = SendMemory::new(1 << 20);
        let mut frames = Vec::new();
        while let Some(frame) = memory.take(MAX_FRAME) {
            frames.push(frame >> 10);
        }
        assert_eq!(frames[..3], [256, 256, 256]);
        assert!(frames[3..].iter().all(|frame| [64, 16].contains(frame)), "{frames:?}");
        assert_eq!(frames.iter().sum::<usize>(), 1 << 10);
        memory.give_back(1 << 20);
        assert_eq!(memory.left(), 1 << 20);
        memory.force(3 << 20);
        assert_eq!(memory.take(1), None, "what was there already counts");
    }

    #[test]
    fn frames_grow_while_they_are_taken() {
        for (has_streams, expected) in
            [(true, [16, 32, 64, 128, 128]), (false, [16, 32, 64, 128, 256])]
        {
            let mut pace = FramePace::new(has_streams);
            let frames = expected.map(|_| {
                let frame = pace.next() >> 10;
                pace.grow();
                frame
            });
            assert_eq!(frames, expected);
        }
    }
}
