//! OCI Distribution 1.1, and what 1.2-dev adds, under `/v2/`.

mod blobs;
mod challenge;
mod complete;
mod conditions;
mod error;
mod manifests;
mod path;
mod query;
mod range;
mod referrers;
mod short_path;
mod tags;
mod uploads;
mod version_entry;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::{EngineError, Kind, RepoAccess, Target};
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use identity::{Caller, Surface};
use model::host::{Place, is_host, without_port};
use model::name::ImagePath;
use tonic::Code;

pub use complete::Readers;
pub use error::OciError;
pub use path::ROUTES;
use path::Route;
use query::Query;

use crate::api::App;
use crate::api::origin::Arrival;
use crate::audit::{Operation, RepositoryOf, Trail};
use crate::layer::RequestInfo;

type Answer = Result<Response, OciError>;

/// A request, with what every handler asks of it.
struct Context {
    app: App,
    caller: Caller,
    /// The way by which the request came in.
    arrival: Arc<Arrival>,
    place: Place,
    /// Whether the host is the one of Google's own images.
    marketplace: bool,
    query: Query,
    method: Method,
    headers: HeaderMap,
    /// Where handlers note for the audit log what they find out.
    trail: Trail,
}

impl Context {
    async fn new(
        app: App,
        parts: Parts,
        (arrival, trail): (&Arc<Arrival>, &Trail),
    ) -> Result<Self, OciError> {
        let info = parts
            .extensions
            .get::<Arc<RequestInfo>>()
            .cloned()
            .expect("every request comes through the layer that adds this");
        let host = arrival.host();
        if !is_host(host) {
            return Err(OciError::no_host());
        }
        let caller =
            app.authenticate.caller(app.engine.identity(), &parts.headers, Surface::Registry).await;
        let caller = caller.map_err(|error| {
            trail.refused(&error);
            match is_bearer(&parts.headers) {
                true => OciError::from(error),
                false => OciError::from(error).of_no_token(),
            }
        })?;
        trail.caller(&caller);
        info.set_principal(&caller.principal.to_string());
        let place = app.domains.place(host);
        let marketplace = without_port(host).eq_ignore_ascii_case("marketplace.gcr.io");
        let (arrival, query) = (arrival.clone(), Query::new(parts.uri.query()));
        let (method, headers) = (parts.method, parts.headers);
        let trail = trail.clone();
        Ok(Self { app, caller, arrival, place, marketplace, query, method, headers, trail })
    }

    fn target(&self, image: &str) -> Result<Target, OciError> {
        if self.marketplace {
            return Err(OciError::marketplace());
        }
        let implied = self.place.repository.as_ref();
        Ok(Target {
            location: self.place.location.clone(),
            path: ImagePath::parse(image, implied)
                .map_err(|error| short_path::refused(self, image, error))?,
            on_registry_host: implied.is_some(),
        })
    }

    /// [`engine::Engine::open`], noted.
    async fn open<K: Kind>(&self, target: &Target) -> Result<RepoAccess<K>, EngineError> {
        let opened = self.app.engine.open(&self.caller, target).await;
        self.trail.asked((K::PERMISSION, &RepositoryOf(target)), &opened);
        opened
    }

    /// [`engine::Engine::open_existing`], noted.
    async fn open_existing<K: Kind>(
        &self,
        target: &Target,
    ) -> Result<Option<RepoAccess<K>>, EngineError> {
        let opened = self.app.engine.open_existing(&self.caller, target).await;
        self.trail.asked((K::PERMISSION, &RepositoryOf(target)), &opened);
        opened
    }

    fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The host that a request names: HTTP/2 has it in the URI, HTTP/1 in a header, and a trusted proxy may know better.
pub(crate) fn host(parts: &Parts) -> String {
    let forwarded = parts.extensions.get::<Arc<RequestInfo>>().and_then(|info| info.forwarded());
    if let Some(host) = forwarded.and_then(|forwarded| forwarded.host.clone()) {
        return host;
    }
    match (parts.uri.authority(), parts.headers.get(HOST)) {
        (Some(authority), _) => authority.as_str().to_owned(),
        (None, Some(header)) => String::from_utf8_lossy(header.as_bytes()).into_owned(),
        (None, None) => String::new(),
    }
}

fn is_bearer(headers: &HeaderMap) -> bool {
    let scheme = headers.get(AUTHORIZATION).and_then(|header| header.as_bytes().get(..7));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// Runs a handler, and completes its answer with what every answer has.
async fn answer<F, Answered>(
    (app, request): (App, Request),
    (label, operation): (&'static str, Option<Operation>),
    handler: F,
) -> Response
where
    F: FnOnce(Context, Body) -> Answered,
    Answered: Future<Output = Answer>,
{
    let path = request.uri().path().to_owned();
    // Before the handler runs: a client may leave while it does.
    let info = request.extensions().get::<Arc<RequestInfo>>();
    if let Some(info) = info {
        info.set_route(label);
    }
    let attempt = app.audit.attempt(operation, (info, request.headers()));
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let arrival = Arc::new(Arrival::of(&parts));
    let outcome = match Context::new(app.clone(), parts, (&arrival, attempt.trail())).await {
        Ok(context) => handler(context, body).await,
        Err(error) => Err(error),
    };
    note(attempt.trail(), &outcome);
    let mut response = outcome
        .unwrap_or_else(|error| error.into_response_for((&method, &path), &app.base_url(&arrival)));
    response
        .headers_mut()
        .insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

/// Notes how a request ended, and of which content it was.
fn note(trail: &Trail, outcome: &Answer) {
    match outcome {
        _ if !trail.is_kept() => {}
        Ok(response) => {
            let digest = response.headers().get("docker-content-digest");
            if let Some(digest) = digest.and_then(|digest| digest.to_str().ok()) {
                trail.digest(&digest);
            }
            trail.ended(Code::Ok, "");
        }
        Err(error) => {
            let (status, message) = error.summary();
            trail.failed(status, message);
        }
    }
}

/// `GET /v2/`: whether this is a registry, and whether the credential is good.
pub async fn ping(State(app): State<App>, request: Request) -> Response {
    answer(
        (app, request),
        ("ping", Some(Operation::door("Docker-Ping"))),
        |context, _| async move {
            allow(&context, &[Method::GET, Method::HEAD])?;
            if context.caller.is_anonymous() {
                return Err(OciError::no_credential());
            }
            Ok(axum::Json(serde_json::json!({})).into_response())
        },
    )
    .await
}

/// `GET /v2/_catalog`: the images that the caller may read.
pub async fn catalog(State(app): State<App>, request: Request) -> Response {
    let operation = Operation::read("Docker-Catalog");
    answer((app, request), ("catalog", Some(operation)), |context, _| tags::catalog(context)).await
}

/// Everything that has a name in it.
pub async fn by_path(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/v2/").unwrap_or_default().to_owned();
    let Some(route) = Route::parse(&path) else { return nothing_here(State(app), request).await };
    let described = (route.label(), route.operation(request.method()));
    answer((app, request), described, |context, body| async move {
        // Nothing is served that did not say what it asks of the caller: handlers get no other method.
        allow(&context, &route.methods())?;
        // Each in a box: without, every request would be as large as the largest handler, and is moved on its way.
        match route {
            Route::Blob { image, digest } => {
                Box::pin(blobs::by_method(context, image, &digest)).await
            }
            Route::Uploads { image } => Box::pin(uploads::start((context, body), image)).await,
            Route::Upload { image, id } => {
                Box::pin(uploads::by_method((context, body), image, id)).await
            }
            Route::Manifest { image, reference } => {
                Box::pin(manifests::by_method((context, body), image, &reference)).await
            }
            Route::Tags { image } => Box::pin(tags::list(context, image)).await,
            Route::Referrers { image, digest } => {
                Box::pin(referrers::list(context, image, &digest)).await
            }
        }
    })
    .await
}

/// A path that means nothing here.
pub async fn nothing_here(State(app): State<App>, request: Request) -> Response {
    answer((app, request), ("other", None), |_, _| async { Err(OciError::no_such_path()) }).await
}

fn allow(context: &Context, methods: &[Method]) -> Result<(), OciError> {
    if methods.contains(&context.method) { Ok(()) } else { Err(OciError::wrong_method(methods)) }
}

/// An answer without a body.
fn empty(status: StatusCode) -> http::response::Builder {
    Response::builder().status(status).header(http::header::CONTENT_LENGTH, 0)
}

/// Completes an answer whose headers are all digests, numbers and names that parsed.
fn finish(builder: http::response::Builder, body: Body) -> Response {
    builder.body(body).expect("headers are made of names and numbers that were checked")
}
