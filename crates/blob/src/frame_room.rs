//! How large the frames are that are read: as large as the memory that whoever sends them has taken for the next one.

tokio::task_local! {
    static FRAME_ROOM: usize;
}

/// Polls a stream of bytes: a frame that it reads meanwhile has at most `most` bytes, where the store can choose.
pub fn with_frame_room<T>(most: usize, poll: impl FnOnce() -> T) -> T {
    FRAME_ROOM.sync_scope(most, poll)
}

/// The most that a frame may hold here.
pub(crate) fn frame_room() -> usize {
    FRAME_ROOM.try_with(|most| *most).unwrap_or(usize::MAX).max(1)
}
