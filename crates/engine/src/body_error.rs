//! The error of a body that ends too early.

/// The reason why a request body ended too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection was closed or broke.
    #[error("the connection was closed")]
    Closed,
    /// The client sent nothing for too long.
    #[error("nothing came for too long")]
    Stalled,
}
