//! Answers that are bytes and no message: where a method has left some, and REST is asked for them by `alt=media`.

use axum::response::Response;
use engine::{EngineError, OpenContent};
use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode};
use model::digest::Digest;
use prost_reflect::DescriptorPool;
use tonic::Code;

use super::GoogleError;
use web::content::{ContentError, serve};

/// The bytes that an answer is about. A method leaves them in the extensions of its response.
#[derive(Clone)]
pub struct MediaDownload {
    /// Their digest.
    pub digest: Digest,
    /// Themselves.
    pub content: OpenContent,
}

impl MediaDownload {
    /// The bytes, or the part of them that the headers of the request ask for.
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
                // What is uploaded to Google's storage and downloaded from it has HTTP's own status.
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                response.headers_mut().insert(CONTENT_RANGE, range.header());
                Ok(response)
            }
        }
    }
}
