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
mod path;
mod query;
mod rest;
pub mod services;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::Code;
use tonic::service::Routes;
use tower::ServiceExt;

pub use contract::{AccessRule, DoorsError, HttpRule, MethodInfo};
pub use error::GoogleError;
pub use gate::{Access, Gate};

use contract::Contract;
use rest::Transcoder;

/// The largest request on either door. tonic's own limit for a message is the same number.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Opens both doors to the services of `routes`: the router answers every path, unknown ones with Google's 404.
///
/// Fails if a method of the contract does not say what it asks of its caller, or if two methods share a path.
pub fn doors(routes: Routes, gate: Arc<dyn Gate>) -> Result<Router, DoorsError> {
    let contract = Arc::new(Contract::read()?);
    let guard = gate::Guard::new(contract.clone(), gate);
    let grpc = routes.prepare().into_axum_router().layer(from_fn_with_state(guard, gate::guard));
    let rest = Arc::new(Transcoder::new(contract, grpc.clone())?);
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

/// The whole of a request's body, unless there is more than `limit`.
async fn collect(body: Body, limit: usize) -> Result<Bytes, GoogleError> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GoogleError::new(
            Code::InvalidArgument,
            format!("Request payload size exceeds the limit: {MESSAGE_LIMIT} bytes."),
        )),
        Err(_) => Err(GoogleError::new(Code::Cancelled, "the request's body was cut short")),
    }
}
