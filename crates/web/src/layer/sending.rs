//! The memory of answers that wait for their readers.
//!
//! Who asks and does not read holds what was read for him. So frames begin small and grow while they are taken, all of
//! them come from one budget, and a frame's part is taken before the frame is read. Where little is left, frames are
//! small again, and connections end whose readers take nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// The smallest frame, and the first one of each answer.
pub(super) const FIRST_FRAME: usize = 16 << 10;
/// The largest frame of a connection with one answer at a time.
const MAX_FRAME: usize = 256 << 10;
/// The most that waits for the reader of one of several streams..
pub(super) const MAX_WAITING: u64 = 256 << 10;
/// ..in two frames, so that one is read while the other is sent.
const MAX_STREAM_FRAME: usize = 128 << 10;
/// How often readers are looked at, while more than half of the memory is taken.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks at which a reader took next to nothing, after which he is ended where memory is short.
const PATIENCE: u32 = 2;
/// What counts as next to nothing.
const PROGRESS: u64 = 1 << 10;

/// The budget. Cheap to clone; every clone is the same memory.
#[derive(Clone)]
pub struct SendMemory(Arc<SendBudget>);

struct SendBudget {
    most: i64,
    left: AtomicI64,
    readers: Mutex<WatchedReaders>,
}

#[derive(Default)]
struct WatchedReaders {
    looked: Option<Instant>,
    open: Vec<WatchedReader>,
}

/// The reader of an answer that is being sent.
pub(super) trait AnswerReader: Send + Sync {
    /// Returns how many bytes were taken, and whether more of them wait.
    fn progress(&self) -> (u64, bool);

    /// Ends the connection: its reader does not read, and others need the memory.
    fn end_connection(&self);
}

struct WatchedReader {
    answer: Weak<dyn AnswerReader>,
    taken: u64,
    /// Looks since he took something.
    looks: u32,
}

impl SendMemory {
    /// A budget of some bytes.
    pub fn new(bytes: usize) -> Self {
        let most = i64::try_from(bytes).unwrap_or(i64::MAX);
        Self(Arc::new(SendBudget { most, left: AtomicI64::new(most), readers: Mutex::default() }))
    }

    /// Has a reader looked at where memory is short.
    pub(super) fn watch(&self, answer: Weak<dyn AnswerReader>) {
        let mut readers = self.0.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if readers.open.len() == readers.open.capacity() {
            readers.open.retain(|reader| reader.answer.strong_count() > 0);
        }
        readers.open.push(WatchedReader { answer, taken: 0, looks: 0 });
    }

    /// Takes the memory for a frame of at most `wanted` bytes, or for a smaller one. `None`: there is not even that.
    pub(super) fn take(&self, wanted: usize) -> Option<usize> {
        let left = self.0.left.load(Ordering::Relaxed);
        let (half, quarter) = (self.0.most / 2, self.0.most / 4);
        if left < half {
            self.look(left < quarter);
        }
        let most = match left {
            left if left < quarter => FIRST_FRAME,
            left if left < half => 4 * FIRST_FRAME,
            _ => MAX_FRAME,
        };
        let frame = wanted.min(most);
        let taken = self.0.left.fetch_sub(frame as i64, Ordering::Relaxed);
        if taken >= frame as i64 {
            return Some(frame);
        }
        self.give_back(frame as u64);
        None
    }

    /// Takes memory for what is there already.
    pub(super) fn force(&self, bytes: u64) {
        let left = self.0.left.fetch_sub(bytes as i64, Ordering::Relaxed);
        if left < self.0.most / 4 {
            self.look(true);
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.0.left.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// Looks at all readers, if that was some time ago, and ends those that take nothing where memory is `short`.
    fn look(&self, short: bool) {
        // Whoever is at it does it for all.
        let Ok(mut readers) = self.0.readers.try_lock() else { return };
        if readers.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        readers.looked = Some(Instant::now());
        let mut unread = Vec::new();
        readers.open.retain_mut(|reader| {
            let Some(answer) = reader.answer.upgrade() else { return false };
            let (taken, waits) = answer.progress();
            let idle = waits && taken.saturating_sub(reader.taken) < PROGRESS;
            reader.looks = if idle { reader.looks + 1 } else { 0 };
            reader.taken = taken;
            unread.push((reader.looks >= PATIENCE, answer));
            true
        });
        drop(readers);
        // Dropped here and not above: the last one who holds an exchange writes its line.
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

/// How large the next frame of an answer may be: twice the last one, which was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramePace {
    next: usize,
    most: usize,
}

impl FramePace {
    /// Begins small. A connection with several streams has smaller frames.
    pub(super) fn new(several: bool) -> Self {
        Self { next: FIRST_FRAME, most: if several { MAX_STREAM_FRAME } else { MAX_FRAME } }
    }

    pub(super) fn next(self) -> usize {
        self.next
    }

    pub(super) fn grow(&mut self) {
        self.next = (self.next * 2).min(self.most);
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
        for (several, expected) in [(true, [16, 32, 64, 128, 128]), (false, [16, 32, 64, 128, 256])]
        {
            let mut pace = FramePace::new(several);
            let frames = expected.map(|_| {
                let frame = pace.next() >> 10;
                pace.grow();
                frame
            });
            assert_eq!(frames, expected);
        }
    }
}
