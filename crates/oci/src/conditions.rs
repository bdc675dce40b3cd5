//! Conditional requests, with `If-Match` or `If-None-Match`, and their answers.

use axum::body::Body;
use engine::EngineError;
use http::StatusCode;
use model::digest::Digest;
use model::precondition::{Precondition, PreconditionError, PreconditionOutcome};

use web::content;

use crate::context::{OciAnswer, OciRequest, finish};
use crate::error::OciError;

impl OciError {
    /// Returns the error of a request whose condition is false.
    pub(super) fn condition_failed() -> Self {
        let message = EngineError::ConditionFailed.to_string();
        let hint = "read the present state, and decide again";
        Self::new(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", message, hint)
    }
}

impl From<PreconditionError> for OciError {
    fn from(error: PreconditionError) -> Self {
        let message = format!("If-Match or If-None-Match: {error}");
        let hint = "write * alone, or entity tags in quotes, as the ETag header has them";
        Self::bad_request("PRECONDITION_INVALID", message, hint)
    }
}

impl OciRequest {
    /// Returns the condition of a write. An invalid one is refused, because the client relies on the condition.
    pub(super) fn precondition(&self) -> Result<Precondition, OciError> {
        Ok(content::precondition(&self.headers)?)
    }

    /// Returns the answer to a read of this content if its condition decides the answer, or else `None`.
    pub(super) fn ended_by_condition(&self, digest: &Digest) -> Option<OciAnswer> {
        match content::check_conditions(&self.headers, digest) {
            PreconditionOutcome::Holds => None,
            PreconditionOutcome::NoneMatchFailed => {
                Some(Ok(finish(content::not_modified_head(digest), Body::empty())))
            }
            PreconditionOutcome::MatchFailed => Some(Err(OciError::condition_failed())),
        }
    }
}
