//! The handlers below `/v2/`, one for each shape of path.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::Method;
use web::app::App;
use web::audit::AuditedOperation;

use crate::context::{answer, check_method};
use crate::error::OciError;
use crate::path::OciRoute;
use crate::{blobs, manifests, referrers, tags, uploads};

/// `GET /v2/`: tells a client that this is a registry, and whether its credential is good.
pub async fn ping(State(app): State<App>, request: Request) -> Response {
    let operation = AuditedOperation::door("Docker-Ping");
    answer(app, request, "ping", Some(operation), |context, _| async move {
        check_method(&context, &[Method::GET, Method::HEAD])?;
        if context.caller.is_anonymous() {
            return Err(OciError::no_credential());
        }
        Ok(axum::Json(serde_json::json!({})).into_response())
    })
    .await
}

/// `GET /v2/_catalog`: the images that the caller may read.
pub async fn catalog(State(app): State<App>, request: Request) -> Response {
    let operation = AuditedOperation::read("Docker-Catalog");
    answer(app, request, "catalog", Some(operation), |context, _| tags::catalog(context)).await
}

/// Answers all requests for paths with the name of an image.
pub async fn by_path(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/v2/").unwrap_or_default().to_owned();
    let Some(route) = OciRoute::parse(&path) else {
        return nothing_here(State(app), request).await;
    };
    let (label, operation) = (route.label(), route.operation(request.method()));
    answer(app, request, label, operation, |context, body| async move {
        // Only methods that are declared in `ROUTES`, with the permission that they need, reach a handler.
        if !route.takes(&context.method) {
            return Err(OciError::wrong_method(&route.methods()));
        }
        // Each handler is in a box. Without boxes, every request would be as large as the largest handler, and each
        // request is moved several times.
        match route {
            OciRoute::Blob { image, digest } => {
                Box::pin(blobs::by_method(context, image, &digest)).await
            }
            OciRoute::Uploads { image } => Box::pin(uploads::start(context, body, image)).await,
            OciRoute::Upload { image, id } => {
                Box::pin(uploads::by_method(context, body, image, id)).await
            }
            OciRoute::Manifest { image, reference } => {
                Box::pin(manifests::by_method(context, body, image, &reference)).await
            }
            OciRoute::Tags { image } => Box::pin(tags::list(context, image)).await,
            OciRoute::Referrers { image, digest } => {
                Box::pin(referrers::list(context, image, &digest)).await
            }
        }
    })
    .await
}

/// Answers a request for a path that has no meaning.
pub async fn nothing_here(State(app): State<App>, request: Request) -> Response {
    answer(app, request, "other", None, |_, _| async { Err(OciError::no_such_path()) }).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::context::OciRequest;

    /// Returns the size of the future of a handler, which is not called.
    fn future_size<F>(_: impl FnOnce(OciRequest, Body) -> F) -> usize {
        size_of::<F>()
    }

    #[track_caller]
    fn check_small(size: usize) {
        assert!(size <= 4 << 10, "{size} bytes");
    }

    /// The future of a handler is built on the stack and moved into its box, for every request. So what few requests
    /// need, such as a fetch from an upstream, has a box of its own.
    #[test]
    fn reads_have_small_futures() {
        check_small(future_size(|context, body| manifests::by_method(context, body, "", "")));
        check_small(future_size(|context, _| tags::list(context, "")));
        check_small(future_size(|context, _| referrers::list(context, "", "")));
        check_small(future_size(|context, _| blobs::by_method(context, "", "")));
    }
}
