//! The size limit of the frames that a stream reads. The code that sends frames to a client sets the limit to the
//! amount of memory that it has reserved for the next frame.

tokio::task_local! {
    static FRAME_ROOM: usize;
}

/// Calls `poll`, which polls a stream of bytes. A frame that the stream reads meanwhile has at most `max` bytes, if the
/// store can choose the size.
pub fn with_max_frame_bytes<T>(max: usize, poll: impl FnOnce() -> T) -> T {
    FRAME_ROOM.sync_scope(max, poll)
}

/// Returns the largest size in bytes that the next frame may have.
pub(crate) fn max_frame_bytes() -> usize {
    FRAME_ROOM.try_with(|max| *max).unwrap_or(usize::MAX).max(1)
}
