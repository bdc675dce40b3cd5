//! Answers that are content instead of a message: for methods that have content, if REST is called with `alt=media`.

use axum::response::Response;
use engine::{EngineError, OpenContent};
use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode};
use model::digest::Digest;
use prost_reflect::DescriptorPool;
use tonic::Code;

use super::GoogleError;
use web::content::{ContentError, serve};

/// The content of an answer. A method adds it to the extensions of its response.
#[derive(Clone)]
pub struct MediaDownload {
    /// The digest of the content.
    pub digest: Digest,
    /// The open content.
    pub content: OpenContent,
}

impl MediaDownload {
    /// Answers the content, or the ranges of it that the headers of the request ask for.
    pub(super) async fn answer(
        self,
        headers: &HeaderMap,
        pool: &DescriptorPool,
    ) -> Result<Response, GoogleError> {
        match serve(headers, &self.digest, self.content).await {
            Ok(response) => Ok(response),
            Err(ContentError::Engine(error)) => Err(error.into()),
            Err(ContentError::ConditionFailed) => {
                let error = GoogleError::from(EngineError::ConditionFailed);
                let mut response = error.into_response(pool);
                *response.status_mut() = StatusCode::PRECONDITION_FAILED;
                Ok(response)
            }
            Err(ContentError::OutOfRange(range)) => {
                let error = GoogleError::new(Code::OutOfRange, range.message());
                let mut response = error.into_response(pool);
                // For downloads of media, Google answers HTTP's own status, and not the one that the code has
                // elsewhere.
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                response.headers_mut().insert(CONTENT_RANGE, range.header());
                Ok(response)
            }
        }
    }
}
