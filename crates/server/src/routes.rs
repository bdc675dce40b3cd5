//! All routes on one page, with what each asks of its caller.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::HeaderValue;
use http::header::VARY;
use oci::token;
use web::app::App;
use web::routes::{DeclaredRoutes, RouteAccess};

use crate::ops;

/// The routes of the listener for clients, besides those of Google's APIs.
pub fn registry_routes() -> DeclaredRoutes<App> {
    const OWN: &str = "what is good for something is in the form";
    DeclaredRoutes::default()
        .with("GET HEAD", "/v2", RouteAccess::Authenticated, any(oci::ping))
        .with("GET HEAD", "/v2/", RouteAccess::Authenticated, any(oci::ping))
        .with(
            "GET HEAD",
            "/v2/_catalog",
            RouteAccess::AnyCredential("it lists what the caller may read"),
            any(oci::catalog),
        )
        .with(
            "GET HEAD POST",
            "/v2/token",
            RouteAccess::OptionalCredential("nobody's token is good for what everybody may do"),
            get(token::get).post(token::post),
        )
        .with("POST", "/token", RouteAccess::Public(OWN), post(token::token))
        .with("POST", "/introspect", RouteAccess::Public(OWN), post(token::introspect))
        .with("POST", "/revoke", RouteAccess::Public(OWN), post(token::revoke))
        .with(
            "GET HEAD",
            "/oauth2/v3/certs",
            RouteAccess::Public("public keys are public"),
            get(token::keys),
        )
        // Names may hold slashes: such a path is read from its end.
        .below("/v2/{*path}", &oci::ROUTES, any(oci::by_path))
}

/// The routes of the web console, on the same listener.
pub fn console_routes() -> DeclaredRoutes<App> {
    const FIRST_PAGE: RouteAccess =
        RouteAccess::Public("it shows what the viewer may see, and nothing else");
    DeclaredRoutes::default()
        .with("GET HEAD", "/console", FIRST_PAGE, any(console::home))
        .with("GET HEAD", "/console/", FIRST_PAGE, any(console::home))
        .below("/console/{*path}", &console::ROUTES, any(console::by_path))
}

/// Returns the router of the listener for clients. The routes of Google's APIs come from their contract, which declares
/// for each method what it asks of its caller.
pub fn registry(app: App) -> anyhow::Result<Router> {
    let google = google::ApiEntry::new(&app)?;
    let others = Router::new().fallback(by_none).with_state((app.clone(), google));
    let pages = console_routes().into_router();
    Ok(registry_routes().into_router().merge(pages).fallback_service(others).with_state(app))
}

/// Answers a path that is none of the routes: by Google's APIs if it is theirs, with the address of a page of the
/// console if a browser asks, otherwise with "not found".
async fn by_none(
    State((app, google)): State<(App, google::ApiEntry)>,
    request: Request,
) -> Response {
    if google::is_api(&request) {
        return google::answer(State(google), request).await;
    }
    if console::is_page_request(request.method(), request.headers()) {
        return console::front_door(State(app), request).await;
    }
    let mut response = oci::nothing_here(State(app), request).await;
    // A browser gets another answer.
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}

/// The routes of the listener for operators.
pub fn ops_routes() -> DeclaredRoutes<App> {
    const OPERATORS: RouteAccess =
        RouteAccess::Public("the listener is for those who run the server");
    DeclaredRoutes::default()
        .with("GET HEAD", "/healthz", OPERATORS, get(ops::alive))
        .with("GET HEAD", "/readyz", OPERATORS, get(ops::ready))
        .with("GET HEAD", "/metrics", OPERATORS, get(ops::metrics))
}

/// Returns the router of the listener for operators.
pub fn ops(app: App) -> Router {
    let router = ops_routes().into_router().with_state(app);
    router.layer(axum::middleware::from_fn(ops::mark_as_probe))
}
