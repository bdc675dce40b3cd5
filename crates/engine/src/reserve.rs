//! Room on the disk that uploads and manifests may not use, so that whatever frees some can be written down.
//!
//! Deletes, collection, cleanup, the audit log and pulls do not ask here. A look at the disk is kept for a moment;
//! what was admitted since counts as written, and so does what is in memory on its way.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blob::DiskSpace;

use crate::{Engine, EngineError};

/// How long a look at the disk is good for.
const KEPT_FOR: Duration = Duration::from_millis(100);
/// As much of the disk is taken for anything at all.
const SMALLEST: u64 = 4 << 10;
/// Files that uploads may not make, where their number is bounded.
const KEPT_FILES: u64 = 64;

/// How much of the disk is kept: an amount or a part, the smaller of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskReserve {
    /// The amount.
    pub bytes: u64,
    /// The part, in per cent.
    pub percent: u8,
}

impl DiskReserve {
    /// The part where only the amount counts.
    pub const WHOLE: u8 = 100;

    /// Returns what is kept of a disk of so many bytes.
    pub fn of(self, size: u64) -> u64 {
        let part = size / 100 * u64::from(self.percent);
        if self.percent == Self::WHOLE { self.bytes } else { self.bytes.min(part) }
    }
}

/// The room on the disk, and how much of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// What the disk says.
    pub space: DiskSpace,
    /// The bytes that uploads and manifests may not use.
    pub reserve: u64,
}

impl DiskRoom {
    /// Returns whether there is less than what is kept.
    pub fn is_short(&self) -> bool {
        self.left().is_none()
    }

    /// Returns how much uploads may use. `None`: less than nothing is left.
    fn left(&self) -> Option<u64> {
        let files = self.reserve == 0 || self.space.free_files.is_none_or(|n| n >= KEPT_FILES);
        self.space.free.checked_sub(self.reserve).filter(|_| files)
    }
}

impl fmt::Display for DiskRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (free, kept) = (mebibytes(self.space.free), mebibytes(self.reserve));
        write!(f, "{free:.1} MiB are free, and limits.disk_reserve keeps {kept:.1} MiB")?;
        match self.space.free_files {
            Some(files) if files < KEPT_FILES => {
                write!(f, "; {files} files can be made, and {KEPT_FILES} are kept")
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What is known of the disk.
#[derive(Default)]
pub(crate) struct DiskWatch {
    look: Mutex<Option<Look>>,
    short: AtomicBool,
}

/// A look at the disk, and how much may be used until the next.
struct Look {
    at: Instant,
    left: u64,
}

impl DiskWatch {
    /// Answers whether the last look is good enough, and has room for `bytes`.
    fn admit(&self, bytes: u64) -> bool {
        match &mut *self.look() {
            Some(look) if look.at.elapsed() < KEPT_FOR && look.left >= bytes => {
                look.left -= bytes;
                true
            }
            _ => false,
        }
    }

    /// Answers whether the last look is good enough, and had room for `bytes`, which are not taken.
    fn has(&self, bytes: u64) -> bool {
        let look = self.look();
        look.as_ref().is_some_and(|look| look.at.elapsed() < KEPT_FOR && look.left >= bytes)
    }

    fn keep(&self, left: u64) {
        *self.look() = Some(Look { at: Instant::now(), left });
    }

    fn look(&self) -> MutexGuard<'_, Option<Look>> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says so where this begins or ends.
    fn tell(&self, room: &DiskRoom, short: bool) {
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

impl Engine {
    /// Returns the room on the disk. `None`: nothing is kept on one, or it does not say.
    pub async fn disk_room(&self) -> Option<DiskRoom> {
        let room = self.look_at_disk().await?;
        self.disk.tell(&room, room.is_short());
        Some(room)
    }

    /// Refuses so many bytes more, and whatever is little, where they would use what is kept.
    pub(crate) async fn check_room(&self, bytes: u64) -> Result<(), EngineError> {
        let bytes = bytes.max(SMALLEST);
        if self.disk.admit(bytes) {
            return Ok(());
        }
        let Some(room) = self.look_at_disk().await else { return Ok(()) };
        // What is in memory was admitted, perhaps, and is not on the disk.
        let left = room.left().and_then(|left| left.checked_sub(self.budget.taken() + bytes));
        self.disk.tell(&room, left.is_none());
        // Who comes after a refusal looks again, whatever an older look had left.
        self.disk.keep(left.unwrap_or(0));
        left.map(|_| ()).ok_or(EngineError::DiskNearlyFull(room))
    }

    /// Refuses a body of so many bytes before it is read, where it would use what is kept. Nothing is taken by that:
    /// what comes is checked as it comes.
    pub async fn check_announced(&self, bytes: u64) -> Result<(), EngineError> {
        let bytes = bytes.max(SMALLEST);
        if self.disk.has(bytes) {
            return Ok(());
        }
        let Some(room) = self.look_at_disk().await else { return Ok(()) };
        // That a large body finds no room does not mean that the disk is nearly full.
        self.disk.tell(&room, room.is_short());
        match room.left() {
            Some(left) if left >= self.budget.taken().saturating_add(bytes) => Ok(()),
            Some(_) | None => Err(EngineError::DiskNearlyFull(room)),
        }
    }

    async fn look_at_disk(&self) -> Option<DiskRoom> {
        match self.blobs.disk_space().await {
            Ok(space) => space.map(|space| DiskRoom {
                space,
                reserve: self.settings.disk_reserve.of(space.size),
            }),
            Err(error) => {
                tracing::warn!(%error, "the disk does not say how much room it has: {error}");
                None
            }
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
