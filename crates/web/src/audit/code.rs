//! The codes with which the audit log says how a request ended.

/// A code of `google.rpc.Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditCode {
    /// Success.
    Ok = 0,
    /// The client did not wait.
    Cancelled = 1,
    /// No better code is known.
    Unknown = 2,
    /// The request is wrong.
    InvalidArgument = 3,
    /// The request or the answer took too long.
    DeadlineExceeded = 4,
    /// The resource does not exist.
    NotFound = 5,
    /// The resource exists already.
    AlreadyExists = 6,
    /// The caller lacks a permission.
    PermissionDenied = 7,
    /// A limit is reached.
    ResourceExhausted = 8,
    /// The state of the resource does not allow the call.
    FailedPrecondition = 9,
    /// Another change came first.
    Aborted = 10,
    /// A range lies outside of the content.
    OutOfRange = 11,
    /// The method or the resource is not served.
    Unimplemented = 12,
    /// A fault of the registry.
    Internal = 13,
    /// The registry cannot answer now.
    Unavailable = 14,
    /// Stored content is lost.
    DataLoss = 15,
    /// The credential is missing or not accepted.
    Unauthenticated = 16,
}
