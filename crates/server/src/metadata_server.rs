//! The metadata server: a few paths of Google's Compute Engine metadata server, which give tokens to programs that run
//! beside it.
//!
//! The metadata server has a listener of its own, which is off by default, and speaks for the one account that the
//! operator named. Every program that reaches the listener acts as that account. So requests that a browser or a proxy
//! may send on somebody else's behalf are refused: those without `Metadata-Flavor: Google`, from a web page, under a
//! name that is not the metadata server's own, and forwarded ones.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::{CONTENT_TYPE, FORWARDED, HOST, ORIGIN, VIA};
use http::{HeaderName, HeaderValue, StatusCode};
use identity::{Caller, IdTokenRequest, IdentityError};
use model::registry_host::without_port;
use serde::Deserialize;
use serde_json::json;
use web::app::App;

use web::layer::RequestInfo;
use web::routes::{DeclaredRoutes, RouteAccess};

/// The state of the metadata server: the account that it speaks for, and its listener.
#[derive(Clone)]
pub struct MetadataServer {
    /// The state that all doors share.
    pub app: App,
    /// The IP address of the listener.
    pub listen: IpAddr,
    /// The account's email address.
    pub account: String,
    /// The id of the account's project.
    pub project: String,
}

/// The routes of the metadata server.
pub fn routes() -> DeclaredRoutes<MetadataServer> {
    const ACCOUNT: RouteAccess = RouteAccess::Public("whoever reaches the listener is the account");
    let mut routes = DeclaredRoutes::default();
    for (path, handler) in [
        ("/", get(|| async { "computeMetadata/\n" })),
        ("/computeMetadata/v1/project/project-id", get(project_id)),
        ("/computeMetadata/v1/project/numeric-project-id", get(project_number)),
        ("/computeMetadata/v1/universe/universe-domain", get(|| async { "googleapis.com" })),
        ("/computeMetadata/v1/instance/zone", get(zone)),
        ("/computeMetadata/v1/instance/service-accounts/", get(list)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/", get(describe)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/email", get(email)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/scopes", get(scopes)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/token", get(token)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/identity", get(identity)),
    ] {
        routes = routes.with("GET HEAD", path, ACCOUNT, handler);
    }
    routes
}

/// Returns the router of the metadata server, which refuses requests that are not meant for it.
pub fn router(metadata: MetadataServer) -> Router {
    routes()
        .into_router()
        .layer(from_fn_with_state(metadata.listen, refuse_foreign))
        .layer(map_response(add_flavour))
        .with_state(metadata)
}

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Headers that a proxy adds, or a browser for the page that sends the request.
const FOREIGN_HEADERS: [HeaderName; 4] =
    [ORIGIN, FORWARDED, VIA, HeaderName::from_static("x-forwarded-for")];

/// The names that clients know a metadata server by.
const HOST_NAMES: [&str; 3] = ["localhost", "metadata", "metadata.google.internal"];

/// Refuses a request that is not from a program beside the server. A web page cannot send `Metadata-Flavor` to another
/// origin without a preflight request. A page whose own host name was pointed here (DNS rebinding) can, but then `Host`
/// has that name. A proxy is recognised by the headers that it adds.
async fn refuse_foreign(State(listen): State<IpAddr>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let flavour = headers.get("metadata-flavor");
    let has_flavour = request.uri().path() == "/" || flavour.is_some_and(|value| value == "Google");
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
    let foreign = FOREIGN_HEADERS.iter().any(|name| headers.contains_key(name));
    if foreign || !has_flavour || !host.is_some_and(|host| is_own(host, listen)) {
        let text = "Missing Metadata-Flavor:Google header, or the request was forwarded, comes from a web page \
                    or names another host.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Returns whether a `Host` is a name or an address of the metadata server that listens on `listen`.
fn is_own(host: &str, listen: IpAddr) -> bool {
    let host = without_port(host);
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        // A listener on all addresses does not know which ones there are. An address is no name that a page could have.
        Ok(address) => is_link_or_loopback(address) || address == listen || listen.is_unspecified(),
        Err(_) => HOST_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name)),
    }
}

/// Returns whether an address is of loopback or link-local, as that of Google's metadata server: no router passes it
/// on.
pub fn is_link_or_loopback(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

async fn add_flavour(mut response: Response) -> Response {
    response.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
    response
}

async fn project_id(State(metadata): State<MetadataServer>) -> String {
    metadata.project
}

async fn project_number(State(metadata): State<MetadataServer>) -> Response {
    match metadata.app.engine.identity().project_number(&metadata.project).await {
        Ok(number) => number.to_string().into_response(),
        Err(IdentityError::ResourceUnknown(_)) => {
            (StatusCode::NOT_FOUND, "there is no such project\n").into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn zone(State(metadata): State<MetadataServer>) -> String {
    let location = metadata.app.domains.default_location();
    format!("projects/{}/zones/{location}-a", metadata.project)
}

async fn list(State(metadata): State<MetadataServer>) -> Response {
    match metadata.exists().await {
        Ok(true) => format!("default/\n{}/\n", metadata.account).into_response(),
        // As on a machine without an account.
        Ok(false) => String::new().into_response(),
        Err(error) => unavailable(&error),
    }
}

impl MetadataServer {
    async fn exists(&self) -> Result<bool, IdentityError> {
        self.app.engine.identity().has_account(&self.account).await
    }

    /// Refuses every name but `default` and the account's own, and these as well while the account does not exist. A
    /// machine without an account answers the same; gcloud crashes on any other answer.
    async fn check(&self, account: &str) -> Result<(), Response> {
        let is_account = account == "default" || account == self.account;
        let exists = if is_account { self.exists().await } else { Ok(false) };
        if exists.map_err(|error| unavailable(&error))? {
            return Ok(());
        }
        Err((StatusCode::NOT_FOUND, "there is no such service account\n").into_response())
    }

    /// Returns the account as a caller, unless it is disabled or its project is deleted.
    async fn caller(&self, account: &str) -> Result<Caller, Response> {
        self.check(account).await?;
        let caller = self.app.engine.identity().caller_by_account(&self.account).await;
        caller.map_err(|error| match error {
            IdentityError::Credential(_) => {
                let text = "the service account is disabled, or its project is deleted\n";
                (StatusCode::FORBIDDEN, text).into_response()
            }
            error => unavailable(&error),
        })
    }

    /// Warns if the account is missing, and says how to make it. This is logged once, at the start, because clients ask
    /// all the time.
    pub async fn warn_if_missing(&self) -> Result<(), IdentityError> {
        if !self.exists().await? {
            let Self { account, project, .. } = self;
            let id = account.split('@').next().unwrap_or_default();
            tracing::warn!(
                "metadata.account {account} does not exist, so that clients of the metadata server find a machine \
                 without an account; make it with: gcloud iam service-accounts create {id} --project={project}"
            );
        }
        Ok(())
    }
}

async fn describe(State(metadata): State<MetadataServer>, Path(account): Path<String>) -> Response {
    if let Err(refused) = metadata.check(&account).await {
        return refused;
    }
    let body = json!({ "aliases": ["default"], "email": metadata.account, "scopes": [SCOPE] });
    axum::Json(body).into_response()
}

async fn email(State(metadata): State<MetadataServer>, Path(account): Path<String>) -> Response {
    match metadata.check(&account).await {
        Ok(()) => metadata.account.into_response(),
        Err(refused) => refused,
    }
}

async fn scopes(State(metadata): State<MetadataServer>, Path(account): Path<String>) -> Response {
    match metadata.check(&account).await {
        Ok(()) => format!("{SCOPE}\n").into_response(),
        Err(refused) => refused,
    }
}

async fn token(State(metadata): State<MetadataServer>, Path(account): Path<String>) -> Response {
    let caller = match metadata.caller(&account).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    match metadata.app.engine.identity().access_token(&caller, SCOPE.to_owned()).await {
        Ok(issued) => axum::Json(json!({
            "access_token": issued.token,
            "expires_in": issued.expires_in - 1,
            "token_type": "Bearer",
        }))
        .into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct MetadataQuery {
    #[serde(default)]
    audience: String,
    #[serde(default)]
    format: String,
}

async fn identity(
    State(metadata): State<MetadataServer>,
    Extension(info): Extension<Arc<RequestInfo>>,
    Path(account): Path<String>,
    Query(query): Query<MetadataQuery>,
) -> Response {
    if query.audience.is_empty() {
        return (StatusCode::BAD_REQUEST, "non-empty audience parameter required\n")
            .into_response();
    }
    let caller = match metadata.caller(&account).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let issuer = metadata.app.origin.for_address(info.local().ip());
    let include_email = query.format == "full";
    let id_token = IdTokenRequest { audience: &query.audience, issuer: &issuer, include_email };
    match metadata.app.engine.identity().identity_token(&caller, id_token).await {
        Ok(token) => ([(CONTENT_TYPE, "text/html")], token).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &IdentityError) -> Response {
    tracing::warn!(%error, "the metadata server cannot answer: {error}");
    let text = "the metadata server's account cannot be used; the registry's log says why\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
