//! The two doors, gRPC and REST, as one router.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::contract::{ApiContract, ContractError, MethodInfo};
use crate::gate::{self, Authorizer};
use crate::intake::BodyReader;
use crate::rest::Transcoder;

/// Creates the router of both doors to the services of `routes`. It answers every path, unknown ones with Google's 404.
///
/// # Errors
/// Fails if a method of the contract does not declare what it asks of its caller, or if two methods share a path.
pub fn router(
    routes: Routes,
    authorizer: Arc<dyn Authorizer>,
    body_reader: BodyReader,
) -> Result<Router, ContractError> {
    let contract = Arc::new(ApiContract::read()?);
    let layer = gate::AuthorizationLayer::new(contract.clone(), authorizer, body_reader.clone());
    let grpc =
        routes.prepare().into_axum_router().layer(from_fn_with_state(layer, gate::authorize));
    let rest = Arc::new(Transcoder::new(contract, grpc.clone(), body_reader)?);
    Ok(Router::new().fallback(answer_by_door).with_state(ApiRouter { grpc, rest }))
}

/// Returns every method that is served, with its paths and the access that it asks of its caller.
///
/// # Panics
/// Panics if the contract is broken; [`router`] fails with the same contract.
pub fn methods() -> impl Iterator<Item = MethodInfo> {
    let contract = ApiContract::read().expect("with a broken contract no server starts");
    contract.into_methods().into_iter()
}

#[derive(Clone)]
struct ApiRouter {
    grpc: Router,
    rest: Arc<Transcoder>,
}

async fn answer_by_door(State(doors): State<ApiRouter>, request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let Ok(response) = doors.grpc.oneshot(request).await;
        return response;
    }
    doors.rest.answer(request).await
}
