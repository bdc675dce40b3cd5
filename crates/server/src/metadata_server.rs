//! The metadata server's few paths, as on a machine of Google's: tokens for whoever runs beside it.
//!
//! It has a listener of its own, only where one is configured, and speaks for the one account that the operator
//! named. Whoever reaches the listener is that account, so that what a browser or a proxy would do on somebody
//! else's behalf is refused: requests without `Metadata-Flavor: Google`, from a web page, under a name that is not
//! the metadata server's own, and forwarded ones.

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

/// What the metadata server speaks for.
#[derive(Clone)]
pub struct MetadataServer {
    /// What every handler shares.
    pub app: App,
    /// The address that it listens on.
    pub listen: IpAddr,
    /// The account's address.
    pub account: String,
    /// The project's id.
    pub project: String,
}

/// Every path that is served.
pub fn routes() -> DeclaredRoutes<MetadataServer> {
    const ACCOUNT: RouteAccess = RouteAccess::Public("whoever reaches the listener is the account");
    let mut routes = DeclaredRoutes::new();
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
        routes = routes.with(("GET HEAD", path), ACCOUNT, handler);
    }
    routes
}

/// The routes, for those who may be meant.
pub fn router(metadata: MetadataServer) -> Router {
    routes()
        .into_router()
        .layer(from_fn_with_state(metadata.listen, refuse_foreign))
        .layer(map_response(flavoured))
        .with_state(metadata)
}

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What proxies say of themselves, and browsers of the page that asks.
const FOREIGN: [HeaderName; 4] =
    [ORIGIN, FORWARDED, VIA, HeaderName::from_static("x-forwarded-for")];

/// The names that clients know a metadata server by.
const NAMES: [&str; 3] = ["localhost", "metadata", "metadata.google.internal"];

/// A page in a browser cannot set the flavour of another origin's request without asking. One whose own name was made
/// to lead here could, but it sends that name; and a proxy says that it is one.
async fn refuse_foreign(State(listen): State<IpAddr>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let flavour = headers.get("metadata-flavor");
    let asked = request.uri().path() == "/" || flavour.is_some_and(|value| value == "Google");
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
    let foreign = FOREIGN.iter().any(|name| headers.contains_key(name));
    if foreign || !asked || !host.is_some_and(|host| is_own(host, listen)) {
        let text = "Missing Metadata-Flavor:Google header, or the request was forwarded, comes from a web page \
                    or names another host.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Whether a `Host` means a metadata server that listens there.
fn is_own(host: &str, listen: IpAddr) -> bool {
    let host = without_port(host);
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        // Who listens everywhere has addresses that are not known here. None of them is a name that a page could have.
        Ok(address) => is_near(address) || address == listen || listen.is_unspecified(),
        Err(_) => NAMES.iter().any(|name| host.eq_ignore_ascii_case(name)),
    }
}

/// Whether an address is this machine's own, or one that no router passes on, as that of Google's metadata server is.
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

async fn flavoured(mut response: Response) -> Response {
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
        Err(error) => failed(&error),
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
        Err(error) => failed(&error),
    }
}

impl MetadataServer {
    async fn exists(&self) -> Result<bool, IdentityError> {
        self.app.engine.identity().has_account(&self.account).await
    }

    /// Refuses every name but the account's two, and these as well while there is no such account: as on a machine without
    /// one. gcloud takes anything else for a broken machine, and crashes.
    async fn check(&self, account: &str) -> Result<(), Response> {
        let ours = account == "default" || account == self.account;
        let exists = if ours { self.exists().await } else { Ok(false) };
        if exists.map_err(|error| failed(&error))? {
            return Ok(());
        }
        Err((StatusCode::NOT_FOUND, "there is no such service account\n").into_response())
    }

    /// Returns the account as a caller, if it may do anything.
    async fn caller(&self, account: &str) -> Result<Caller, Response> {
        self.check(account).await?;
        let caller = self.app.engine.identity().caller_by_account(&self.account).await;
        caller.map_err(|error| match error {
            IdentityError::Credential(_) => {
                let text = "the service account is disabled, or its project is deleted\n";
                (StatusCode::FORBIDDEN, text).into_response()
            }
            error => failed(&error),
        })
    }

    /// Says that the account is missing, and how it is made: once, because it is asked for all the time.
    pub async fn say_if_missing(&self) -> Result<(), IdentityError> {
        if !self.exists().await? {
            let Self { account, project, .. } = self;
            let id = account.split('@').next().unwrap_or_default();
            tracing::warn!(
                "metadata.account {account} does not exist, and whoever asks the metadata server finds a machine without \
                 an account: gcloud iam service-accounts create {id} --project={project}"
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
        Err(error) => failed(&error),
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
    Query(asked): Query<MetadataQuery>,
) -> Response {
    if asked.audience.is_empty() {
        return (StatusCode::BAD_REQUEST, "non-empty audience parameter required\n")
            .into_response();
    }
    let caller = match metadata.caller(&account).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let issuer = metadata.app.origin.at(info.local().ip());
    let include_email = asked.format == "full";
    let id_token = IdTokenRequest { audience: &asked.audience, issuer: &issuer, include_email };
    match metadata.app.engine.identity().identity_token(&caller, id_token).await {
        Ok(token) => ([(CONTENT_TYPE, "text/html")], token).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &IdentityError) -> Response {
    tracing::warn!(%error, "the metadata server cannot answer: {error}");
    let text = "the metadata server's account cannot be used; the registry's log says why\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
