//! Google's APIs: one contract, two doors.
//!
//! A method is implemented once, as a tonic service over the engine. gRPC reaches it directly; the transcoder
//! (`rest.rs`) makes the same call out of JSON, by the HTTP rules in the contract (`crates/proto`). Both doors pass the
//! [`Gate`], which asks what the contract says of each method. Nothing here knows a method by name.

mod contract;
pub mod entry;
mod error;
mod frame;
mod gate;
mod json;
mod media;
mod overridden;
mod path;
mod query;
mod rest;
pub mod services;
mod template;
#[cfg(test)]
mod tests;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use engine::ParsingPlaces;
use http::Extensions;
use http::header::CONTENT_TYPE;
use tonic::Code;
use tonic::service::Routes;
use tower::ServiceExt;

pub use contract::{AccessRule, DoorsError, HttpRule, MethodInfo};
pub use error::GoogleError;
pub use gate::{Access, Gate};
pub use media::Media;

use crate::layer::whole::{Bodies, Whole, WholeError};
use contract::Contract;
use rest::Transcoder;

/// The largest request on either door. tonic's own limit for a message is the same number.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Opens both doors to the services of `routes`: the router answers every path, unknown ones with Google's 404.
///
/// Fails if a method of the contract does not say what it asks of its caller, or if two methods share a path.
pub fn doors(routes: Routes, gate: Arc<dyn Gate>, intake: Intake) -> Result<Router, DoorsError> {
    let contract = Arc::new(Contract::read()?);
    let guard = gate::Guard::new(contract.clone(), gate, intake.clone());
    let grpc = routes.prepare().into_axum_router().layer(from_fn_with_state(guard, gate::guard));
    let rest = Arc::new(Transcoder::new(contract, grpc.clone(), intake)?);
    Ok(Router::new().fallback(choose).with_state(Doors { grpc, rest }))
}

/// Every served method, with how it is reached and by whom.
///
/// # Panics
/// If the contract is one with which [`doors`] fails.
pub fn methods() -> impl Iterator<Item = MethodInfo> {
    let contract = Contract::read().expect("with a broken contract no server starts");
    contract.into_methods().into_iter()
}

#[derive(Clone)]
struct Doors {
    grpc: Router,
    rest: Arc<Transcoder>,
}

async fn choose(State(doors): State<Doors>, request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let Ok(response) = doors.grpc.oneshot(request).await;
        return response;
    }
    doors.rest.answer(request).await
}

/// A credential that was sent and not accepted: what is sent with it is not read.
#[derive(Debug, Clone)]
pub struct Refused(pub GoogleError);

/// That the body has fields which nobody has: said to who may make the call.
#[derive(Debug, Clone)]
struct Misnamed(GoogleError);

/// That less than usual is taken from this caller.
#[derive(Debug, Clone)]
pub struct AtMost {
    /// The largest message.
    pub bytes: usize,
    /// What is said to more.
    pub otherwise: GoogleError,
}

/// Takes the messages of both doors in, within the memory that they share.
#[derive(Clone)]
pub struct Intake {
    bodies: Bodies,
    /// Of callers from whom less than usual is taken: their messages drive nobody else's out of memory.
    small: Bodies,
    /// How long a body may pause.
    idle: Duration,
    /// Where long ones are read.
    parsing: ParsingPlaces,
}

impl Intake {
    /// With room for a few of the largest messages.
    pub fn new(idle: Duration, parsing: ParsingPlaces) -> Self {
        let (bodies, small) = (Bodies::new(4 * MESSAGE_LIMIT), Bodies::new(MESSAGE_LIMIT));
        Self { bodies, small, idle, parsing }
    }

    /// The whole of a request's body.
    async fn take(&self, extensions: &Extensions, body: Body) -> Result<Whole, GoogleError> {
        let limited = extensions.get::<AtMost>();
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
