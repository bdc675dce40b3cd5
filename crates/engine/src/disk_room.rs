//! The room on the disk, the part of it that is reserved, and the last reading of both.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blob::DiskSpace;

/// The time for which a reading of the disk is used.
const MAX_READING_AGE: Duration = Duration::from_millis(100);
/// The number of files that uploads may not make, on file systems that limit it.
const RESERVED_FILES: u64 = 64;

/// The reserved part of the disk. An amount and a percentage are set, and the smaller one applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskReserve {
    /// The amount in bytes.
    pub bytes: u64,
    /// The percentage of the disk.
    pub percent: u8,
}

impl DiskReserve {
    /// The percentage with which only the amount applies.
    pub const WHOLE: u8 = 100;

    /// Returns the reserved bytes of a disk of `size` bytes.
    pub fn of(self, size: u64) -> u64 {
        let part = size / 100 * u64::from(self.percent);
        if self.percent == Self::WHOLE { self.bytes } else { self.bytes.min(part) }
    }
}

/// The room on the disk, and the reserved part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// The size and the free room, as the disk tells them.
    pub space: DiskSpace,
    /// The bytes that uploads and manifests may not use.
    pub reserve: u64,
}

impl DiskRoom {
    /// Returns whether less room is free than is reserved.
    pub fn is_short(&self) -> bool {
        self.usable_bytes().is_none()
    }

    /// Returns the bytes that uploads may use, or `None` if less is free than is reserved.
    pub(crate) fn usable_bytes(&self) -> Option<u64> {
        let files = self.reserve == 0 || self.space.free_files.is_none_or(|n| n >= RESERVED_FILES);
        self.space.free.checked_sub(self.reserve).filter(|_| files)
    }
}

impl fmt::Display for DiskRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (free, kept) = (mebibytes(self.space.free), mebibytes(self.reserve));
        write!(f, "{free:.1} MiB are free, and limits.disk_reserve keeps {kept:.1} MiB")?;
        match self.space.free_files {
            Some(files) if files < RESERVED_FILES => {
                write!(f, "; {files} files can be made, and {RESERVED_FILES} are kept")
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The last reading of the disk, and the state that was last logged.
#[derive(Default)]
pub(crate) struct DiskWatch {
    reading: Mutex<Option<DiskReading>>,
    short: AtomicBool,
}

/// One reading of the disk, and the bytes that may be used until the next one.
struct DiskReading {
    taken_at: Instant,
    left: u64,
}

impl DiskWatch {
    /// Takes `bytes` from the last reading. Returns `false`, and takes nothing, if the reading is too old or has too
    /// little room.
    pub(crate) fn try_take(&self, bytes: u64) -> bool {
        match &mut *self.reading() {
            Some(reading)
                if reading.taken_at.elapsed() < MAX_READING_AGE && reading.left >= bytes =>
            {
                reading.left -= bytes;
                true
            }
            _ => false,
        }
    }

    /// Returns whether the last reading is recent and has room for `bytes`. Takes nothing.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let reading = self.reading();
        reading.as_ref().is_some_and(|reading| {
            reading.taken_at.elapsed() < MAX_READING_AGE && reading.left >= bytes
        })
    }

    /// Stores a new reading with `left` usable bytes.
    pub(crate) fn store_reading(&self, left: u64) {
        *self.reading() = Some(DiskReading { taken_at: Instant::now(), left });
    }

    fn reading(&self) -> MutexGuard<'_, Option<DiskReading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs when a shortage begins, and when it ends.
    pub(crate) fn log_change(&self, room: &DiskRoom, short: bool) {
        if self.short.swap(short, Ordering::Relaxed) == short {
            return;
        }
        if short {
            tracing::error!("the disk is nearly full, and uploads are refused: {room}");
        } else {
            tracing::info!("the disk has room again, and uploads are taken: {room}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_both_is_kept() {
        const MIB: u64 = 1 << 20;
        let check = |reserve: (u64, u8), size: u64, expected: u64| {
            let reserve = DiskReserve { bytes: reserve.0, percent: reserve.1 };
            assert_eq!(reserve.of(size), expected, "{reserve:?} of {size}");
        };
        check((256 * MIB, 10), 100 * MIB, 10 * MIB);
        check((256 * MIB, 10), 100_000 * MIB, 256 * MIB);
        check((u64::MAX, 2), 1000 * MIB, 20 * MIB);
        check((256 * MIB, DiskReserve::WHOLE), 200 * MIB, 256 * MIB);
        check((0, DiskReserve::WHOLE), 200 * MIB, 0);
        check((u64::MAX, 90), u64::MAX, u64::MAX / 100 * 90);
    }

    #[test]
    fn a_disk_is_short_of_bytes_or_of_files() {
        let short = |free, free_files, reserve| {
            DiskRoom { space: DiskSpace { size: 1000, free, free_files }, reserve }.is_short()
        };
        assert!(!short(100, None, 100) && short(99, None, 100));
        assert!(!short(100, Some(64), 100) && short(100, Some(63), 100));
        assert!(!short(0, Some(0), 0), "nothing is kept");
    }
}
