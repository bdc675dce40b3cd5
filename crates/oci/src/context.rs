//! A request below `/v2/` as handlers see it, and the parts that all answers have.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{AccessKind, EngineError, ImageTarget, RepoAccess};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use identity::{Caller, ChangeWay, TokenAudience};
use model::name::{NameError, is_too_short_for_image};
use model::registry_host::{HostTarget, has_host_characters, without_port};
use web::app::{App, LOOP_MARK};
use web::audit::{AuditCode, AuditRecorder, AuditedOperation, RepositoryOf};
use web::content::CONTENT_DIGEST;
use web::layer::RequestInfo;
use web::server_url::RequestArrival;

use crate::error::OciError;
use crate::query::UrlQuery;
use crate::short_path::{self, ImagelessPath};

/// The header by which clients recognise a registry.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

pub(crate) type OciAnswer = Result<Response, OciError>;

/// A request whose caller is authenticated, without its body.
pub(crate) struct OciRequest {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    /// The host that the client named, and the connection or proxy by which the request came in.
    pub(crate) arrival: Arc<RequestArrival>,
    /// The location and repository that the host names.
    pub(crate) host_target: HostTarget,
    /// True if the host is that of Google's own images.
    pub(crate) is_marketplace: bool,
    pub(crate) query: UrlQuery,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The recorder through which handlers add to the entry in the audit log.
    pub(crate) trail: AuditRecorder,
}

impl OciRequest {
    pub(crate) async fn new(
        app: App,
        parts: Parts,
        arrival: &Arc<RequestArrival>,
        trail: &AuditRecorder,
    ) -> Result<Self, OciError> {
        let info = parts
            .extensions
            .get::<Arc<RequestInfo>>()
            .cloned()
            .expect("every request comes through the layer that adds this");
        let host = arrival.host();
        if !has_host_characters(host) {
            return Err(OciError::no_host());
        }
        if parts.headers.get(LOOP_MARK).is_some_and(|mark| *mark == app.loop_mark) {
            return Err(OciError::fetch_loop());
        }
        let caller = app
            .authenticate
            .caller(app.engine.identity(), &parts.headers, TokenAudience::Registry)
            .await;
        let caller = caller.map_err(|error| {
            trail.note_refusal(&error);
            match is_bearer(&parts.headers) {
                true => OciError::from(error),
                false => OciError::from(error).without_challenge_error(),
            }
        })?;
        let caller = caller.with_way(ChangeWay::Push);
        trail.note_caller(&caller);
        info.set_principal(&caller.principal);
        let query = UrlQuery::new(parts.uri.query());
        Ok(Self {
            host_target: target_of(&app, host, &query),
            is_marketplace: without_port(host).eq_ignore_ascii_case("marketplace.gcr.io"),
            app,
            caller,
            arrival: arrival.clone(),
            query,
            method: parts.method,
            headers: parts.headers,
            trail: trail.clone(),
        })
    }

    pub(crate) fn target(&self, image: &str) -> Result<ImageTarget, OciError> {
        if self.is_marketplace {
            return Err(OciError::marketplace());
        }
        let path = self.host_target.parse_image_path(image);
        Ok(ImageTarget {
            location: self.host_target.location.clone(),
            path: path.map_err(|error| self.path_error(image, error))?,
            on_registry_host: self.host_target.repository.is_some(),
        })
    }

    /// Returns the error of a path that does not name an image.
    pub(crate) fn path_error(&self, path: &str, error: NameError) -> OciError {
        if let Some(namespace) =
            self.query.get("ns").filter(|_| self.host_target.mirrored.is_none())
            && is_too_short_for_image(path, None)
        {
            return OciError::unknown_namespace(namespace);
        }
        let url = self.app.base_url(&self.arrival);
        let implied = self.host_target.repository.as_ref();
        short_path::path_error(ImagelessPath { path, implied, url: &url }, error)
    }

    /// Calls [`engine::Engine::open`], and records for the audit log which permission was asked.
    pub(crate) async fn open<K: AccessKind>(
        &self,
        target: &ImageTarget,
    ) -> Result<RepoAccess<K>, EngineError> {
        let opened = self.app.engine.open(&self.caller, target).await;
        self.trail.note_check(K::PERMISSION, &RepositoryOf(target), &opened);
        opened
    }

    /// Calls [`engine::Engine::open_existing`], and records for the audit log which permission was asked.
    pub(crate) async fn open_existing<K: AccessKind>(
        &self,
        target: &ImageTarget,
    ) -> Result<Option<RepoAccess<K>>, EngineError> {
        let opened = self.app.engine.open_existing(&self.caller, target).await;
        self.trail.note_check(K::PERMISSION, &RepositoryOf(target), &opened);
        opened
    }

    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Returns what the host stands for, or the mirror of the namespace that containerd names in the query.
fn target_of(app: &App, host: &str, query: &UrlQuery) -> HostTarget {
    let namespace =
        query.get("ns").and_then(|namespace| app.domains.target_of_namespace(namespace));
    namespace.unwrap_or_else(|| app.domains.target_of(host))
}

fn is_bearer(headers: &HeaderMap) -> bool {
    let scheme = headers.get(AUTHORIZATION).and_then(|header| header.as_bytes().get(..7));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// Runs a handler, and adds to its answer the parts that all answers have.
pub(crate) async fn answer<F, Answered>(
    app: App,
    request: Request,
    label: &'static str,
    operation: Option<AuditedOperation>,
    handler: F,
) -> Response
where
    F: FnOnce(OciRequest, Body) -> Answered,
    Answered: Future<Output = OciAnswer>,
{
    let path = request.uri().path().to_owned();
    // Set before the handler runs, because the client may leave meanwhile.
    let info = request.extensions().get::<Arc<RequestInfo>>();
    if let Some(info) = info {
        info.set_route(label);
    }
    let attempt = app.audit.begin(operation, info, request.headers());
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let arrival = Arc::new(RequestArrival::of(&parts));
    let mirror_query = app.domains.have_mirrors().then(|| parts.uri.query().map(str::to_owned));
    let outcome = match OciRequest::new(app.clone(), parts, &arrival, attempt.trail()).await {
        Ok(context) => handler(context, body).await,
        Err(error) => Err(error),
    };
    record_outcome(attempt.trail(), &outcome);
    let mut response = outcome.unwrap_or_else(|error| {
        let path = match (path.strip_prefix("/v2/"), mirror_query) {
            // The challenge of a mirror names the full path: the token endpoint does not hear of the namespace.
            (Some(image), Some(query)) if !image.is_empty() => {
                let query = UrlQuery::new(query.as_deref());
                format!("/v2/{}", target_of(&app, arrival.host(), &query).full_path(image))
            }
            (_, _) => path,
        };
        error.into_response_for(&method, &path, &app.base_url(&arrival))
    });
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

/// Records for the audit log how a request ended, and the digest of its content.
fn record_outcome(trail: &AuditRecorder, outcome: &OciAnswer) {
    match outcome {
        _ if !trail.is_kept() => {}
        Ok(response) => {
            let digest = response.headers().get(CONTENT_DIGEST);
            if let Some(digest) = digest.and_then(|digest| digest.to_str().ok()) {
                trail.note_digest(&digest);
            }
            trail.note_outcome(AuditCode::Ok, "");
        }
        Err(error) => {
            let (status, message) = error.summary();
            trail.note_failure(status, message);
        }
    }
}

/// Refuses a method that is not one of `methods`.
pub(crate) fn check_method(context: &OciRequest, methods: &[Method]) -> Result<(), OciError> {
    if methods.contains(&context.method) { Ok(()) } else { Err(OciError::wrong_method(methods)) }
}

/// Begins an answer without a body.
pub(crate) fn empty(status: StatusCode) -> http::response::Builder {
    Response::builder().status(status).header(http::header::CONTENT_LENGTH, 0)
}

/// Completes an answer. All its headers must be digests, numbers, or names that were parsed.
pub(crate) fn finish(builder: http::response::Builder, body: Body) -> Response {
    builder.body(body).expect("headers are made of names and numbers that were checked")
}
