//! Room on the disk that uploads and manifests may not use, so that whatever frees some can be written down.
//!
//! Deletes, collection, cleanup, the audit log and pulls do not ask here. A look at the disk is kept for a moment;
//! what was admitted since counts as written, and so does what is in memory on its way.

use crate::disk_room::DiskRoom;
use crate::engine::Engine;
use crate::error::EngineError;

/// As much of the disk is taken for anything at all.
const SMALLEST: u64 = 4 << 10;

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
        let left = room.left().and_then(|left| left.checked_sub(self.budget.used_bytes() + bytes));
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
            Some(left) if left >= self.budget.used_bytes().saturating_add(bytes) => Ok(()),
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
