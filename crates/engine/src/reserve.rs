//! The part of the disk that uploads and manifests may not use, so that work which frees room can still write.
//!
//! Deletes, collection, cleanup, the audit log and pulls do not ask here. A reading of the disk is used for a moment;
//! bytes that were admitted since, and bytes that uploads hold in memory, count as written.

use crate::disk_room::DiskRoom;
use crate::engine::Engine;
use crate::error::EngineError;

/// The room that any write is counted with at least.
const MIN_BYTES: u64 = 4 << 10;

impl Engine {
    /// Returns the room on the disk. `None` means that nothing is stored on a disk, or that the disk does not tell.
    pub async fn disk_room(&self) -> Option<DiskRoom> {
        let room = self.read_disk_room().await?;
        self.disk.log_change(&room, room.is_short());
        Some(room)
    }

    /// Refuses `bytes` more if they would use the reserved part. Fewer than 4 KiB count as 4 KiB.
    pub(crate) async fn check_room(&self, bytes: u64) -> Result<(), EngineError> {
        let bytes = bytes.max(MIN_BYTES);
        if self.disk.try_take(bytes) {
            return Ok(());
        }
        let Some(room) = self.read_disk_room().await else { return Ok(()) };
        // Bytes in memory may have been admitted already, but are not on the disk yet.
        let left =
            room.usable_bytes().and_then(|left| left.checked_sub(self.budget.used_bytes() + bytes));
        self.disk.log_change(&room, left.is_none());
        // After a refusal the next request reads the disk again, whatever an older reading had left.
        self.disk.store_reading(left.unwrap_or(0));
        left.map(|_| ()).ok_or(EngineError::DiskNearlyFull(room))
    }

    /// Refuses a body of `bytes` before it is read, if it would use the reserved part. No room is taken by this: the
    /// bytes are checked again as they come.
    pub async fn check_announced(&self, bytes: u64) -> Result<(), EngineError> {
        let bytes = bytes.max(MIN_BYTES);
        if self.disk.has_room(bytes) {
            return Ok(());
        }
        let Some(room) = self.read_disk_room().await else { return Ok(()) };
        // A large body without room does not mean that the disk is nearly full.
        self.disk.log_change(&room, room.is_short());
        match room.usable_bytes() {
            Some(left) if left >= self.budget.used_bytes().saturating_add(bytes) => Ok(()),
            Some(_) | None => Err(EngineError::DiskNearlyFull(room)),
        }
    }

    async fn read_disk_room(&self) -> Option<DiskRoom> {
        match self.blobs.disk_space().await {
            Ok(space) => space.map(|space| DiskRoom {
                space,
                reserve: self.settings.disk_reserve.of(space.size),
            }),
            Err(error) => {
                tracing::warn!(%error, "cannot read the free room of the disk: {error}");
                None
            }
        }
    }
}
