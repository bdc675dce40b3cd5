//! The messages of both doors as they are received, and the memory that they share.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use engine::ParsingPlaces;
use http::Extensions;
use tonic::Code;
use web::layer::body_budget::{BodyBudget, BufferedBody, WholeError};

use crate::error::GoogleError;
use crate::frame;

/// The largest message in bytes on either door. tonic's own limit is the same number.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The error about a credential that was not accepted. It is an extension of a request, whose body is then not read.
#[derive(Debug, Clone)]
pub struct RejectedCredential(pub GoogleError);

/// The error about unknown fields in the body. It is an extension of a request, and answered after the permission
/// check.
#[derive(Debug, Clone)]
pub(crate) struct UnknownFields(pub(crate) GoogleError);

/// The mark of a call that came by REST. It is an extension of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestCall;

/// A lower limit for the messages of a caller. It is an extension of a request.
#[derive(Debug, Clone)]
pub struct BodyLimit {
    /// The largest message in bytes.
    pub bytes: usize,
    /// The error for a larger message.
    pub otherwise: GoogleError,
}

/// Receives the messages of both doors, within the memory that they share.
#[derive(Clone)]
pub struct BodyReader {
    bodies: BodyBudget,
    /// The memory for callers with a lower limit. Their messages cannot take memory from those of other callers.
    small: BodyBudget,
    /// The longest pause of a body.
    idle: Duration,
    /// The threads that parse long messages.
    pub(crate) parsing: ParsingPlaces,
}

impl BodyReader {
    /// Creates a reader with memory for four of the largest messages.
    pub fn new(idle: Duration, parsing: ParsingPlaces) -> Self {
        let (bodies, small) =
            (BodyBudget::new(4 * MAX_MESSAGE_BYTES), BodyBudget::new(MAX_MESSAGE_BYTES));
        Self { bodies, small, idle, parsing }
    }

    /// Receives the whole body of a request.
    pub(crate) async fn take(
        &self,
        extensions: &Extensions,
        body: Body,
    ) -> Result<BufferedBody, GoogleError> {
        let limited = extensions.get::<BodyLimit>();
        // A body whose announced length is too large is refused before it comes.
        if let Some(limited) = limited
            && body.size_hint().lower() > limited.bytes as u64
        {
            return Err(limited.otherwise.clone());
        }
        let max_bytes = limited.map_or(MAX_MESSAGE_BYTES, |limited| limited.bytes);
        let budget = if limited.is_some() { &self.small } else { &self.bodies };
        let taken = budget.receive(body, max_bytes + frame::PREFIX, self.idle).await;
        taken.map_err(|error| match error {
            WholeError::TooLarge => match limited {
                Some(limited) => limited.otherwise.clone(),
                None => GoogleError::new(
                    Code::InvalidArgument,
                    format!("Request payload size exceeds the limit: {MAX_MESSAGE_BYTES} bytes."),
                ),
            },
            WholeError::Stalled => {
                GoogleError::new(Code::DeadlineExceeded, "the request's body did not come in time")
            }
            WholeError::Closed => {
                GoogleError::new(Code::Cancelled, "the request's body was cut short")
            }
            WholeError::GivenUp => GoogleError::new(
                Code::Unavailable,
                "too many large messages are sent at once; try again",
            ),
        })
    }
}
