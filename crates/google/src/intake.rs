//! The messages of both doors on their way in, and the memory that they share.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use engine::ParsingPlaces;
use http::Extensions;
use tonic::Code;
use web::layer::body_budget::{BodyBudget, BufferedBody, WholeError};

use crate::error::GoogleError;
use crate::frame;

/// The largest request on either door. tonic's own limit for a message is the same number.
pub(crate) const MESSAGE_LIMIT: usize = 4 << 20;

/// A credential that was sent and not accepted: what is sent with it is not read.
#[derive(Debug, Clone)]
pub struct RejectedCredential(pub GoogleError);

/// That the body has fields which nobody has: said to who may make the call.
#[derive(Debug, Clone)]
pub(crate) struct UnknownFields(pub(crate) GoogleError);

/// That less than usual is taken from this caller.
#[derive(Debug, Clone)]
pub struct BodyLimit {
    /// The largest message.
    pub bytes: usize,
    /// What is said to more.
    pub otherwise: GoogleError,
}

/// Takes the messages of both doors in, within the memory that they share.
#[derive(Clone)]
pub struct BodyReader {
    bodies: BodyBudget,
    /// Of callers from whom less than usual is taken: their messages drive nobody else's out of memory.
    small: BodyBudget,
    /// How long a body may pause.
    idle: Duration,
    /// Where long ones are read.
    pub(crate) parsing: ParsingPlaces,
}

impl BodyReader {
    /// With room for a few of the largest messages.
    pub fn new(idle: Duration, parsing: ParsingPlaces) -> Self {
        let (bodies, small) = (BodyBudget::new(4 * MESSAGE_LIMIT), BodyBudget::new(MESSAGE_LIMIT));
        Self { bodies, small, idle, parsing }
    }

    /// The whole of a request's body.
    pub(crate) async fn take(
        &self,
        extensions: &Extensions,
        body: Body,
    ) -> Result<BufferedBody, GoogleError> {
        let limited = extensions.get::<BodyLimit>();
        // What is announced need not come first.
        if let Some(limited) = limited
            && body.size_hint().lower() > limited.bytes as u64
        {
            return Err(limited.otherwise.clone());
        }
        let most = limited.map_or(MESSAGE_LIMIT, |limited| limited.bytes);
        let bodies = if limited.is_some() { &self.small } else { &self.bodies };
        let taken = bodies.receive(body, (most + frame::PREFIX, self.idle)).await;
        taken.map_err(|error| match error {
            WholeError::TooLarge => match limited {
                Some(limited) => limited.otherwise.clone(),
                None => GoogleError::new(
                    Code::InvalidArgument,
                    format!("Request payload size exceeds the limit: {MESSAGE_LIMIT} bytes."),
                ),
            },
            WholeError::Stalled => {
                GoogleError::new(Code::DeadlineExceeded, "the request's body did not come in time")
            }
            WholeError::Closed => {
                GoogleError::new(Code::Cancelled, "the request's body was cut short")
            }
            WholeError::GivenUp => {
                GoogleError::new(Code::Unavailable, "too much is sent at once; try again")
            }
        })
    }
}
