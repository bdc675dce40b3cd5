//! Health and metrics, on their own listener.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use web::app::App;
use web::layer::{PROBE_ROUTE, RequestInfo};

/// Marks every request of this listener as a probe, those for unknown paths included.
pub(super) async fn mark_as_probe(
    Extension(info): Extension<Arc<RequestInfo>>,
    request: Request,
    next: Next,
) -> Response {
    info.set_route(PROBE_ROUTE);
    next.run(request).await
}

/// Answers `/healthz`: the process runs.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Answers `/readyz`: both stores work. The log says what is wrong with them, and the answer does not. A disk that is
/// nearly full takes no uploads, but the server is still ready: pulls and deletes are served.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    match app.engine.ready().await {
        Ok(()) => {
            let Some(room) = app.engine.disk_room().await else {
                return "ready\n".into_response();
            };
            app.metrics.set_disk(&room);
            let nearly_full = "ready, but the disk is nearly full: uploads are refused\n";
            if room.is_short() { nearly_full } else { "ready\n" }.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "not ready: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready; the server's log says why\n")
                .into_response()
        }
    }
}

/// Answers `/metrics` with all metrics, in the OpenMetrics text format.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    app.metrics.set_checks(&app.engine.check_counts());
    ([(CONTENT_TYPE, TYPE)], app.metrics.encode()).into_response()
}
