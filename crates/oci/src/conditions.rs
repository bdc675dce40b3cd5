//! Requests under a condition, `If-Match` and `If-None-Match`: what reads and writes are answered.

use axum::body::Body;
use engine::EngineError;
use http::StatusCode;
use model::digest::Digest;
use model::precondition::{Precondition, PreconditionError, PreconditionOutcome};

use web::content;

use crate::context::{OciAnswer, OciRequest, finish};
use crate::error::OciError;

impl OciError {
    /// What is there is not what the request says it should be.
    pub(super) fn condition_failed() -> Self {
        let message = EngineError::ConditionFailed.to_string();
        let hint = "look at what is there now, and decide anew";
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
    /// The condition of a write. One that is none is refused: the client counts on it.
    pub(super) fn precondition(&self) -> Result<Precondition, OciError> {
        Ok(content::precondition(&self.headers)?)
    }

    /// How a read of this content ends by its condition, if it does.
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
