//! What happens to every request, whatever it asks for: an id, limits, one log line, and counting.

pub mod body;
pub mod cors;
pub(crate) mod drain;
pub mod exchange;
pub mod forwarded;
pub(crate) mod leftover;
pub mod log;
pub mod metrics;
pub mod networks;
pub mod rate;
pub(crate) mod seldom;
pub mod sending;
pub mod whole;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HeaderName, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use hyper::body::Incoming;
use model::host::without_port;
use tower::ServiceExt;

use crate::api::App;
use drain::Drains;
use exchange::{Answer, Exchange, Sending};
use forwarded::Forwarded;
use leftover::{Arrivals, Leftover};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route of requests by those who run the server: they come every few seconds, and are neither counted with the
/// requests of clients nor logged among them.
pub(crate) const PROBE: &str = "probe";

tokio::task_local! {
    /// The request that a handler is at, for what is logged meanwhile.
    static CURRENT: Arc<RequestInfo>;
}

/// A connection that requests come by.
#[derive(Debug, Clone, Copy)]
pub struct Connected {
    /// The address of whoever connected.
    pub peer: SocketAddr,
    /// The address on this side.
    pub local: SocketAddr,
}

/// What is known of a request while it runs. Handlers add what they find out.
#[derive(Debug)]
pub struct RequestInfo {
    id: String,
    connection: Connected,
    forwarded: Option<Forwarded>,
    principal: OnceLock<String>,
    route: OnceLock<&'static str>,
    /// Why its credential is refused, once the log has heard of it.
    refused: OnceLock<&'static str>,
}

impl RequestInfo {
    fn new(id: String, connection: Connected, forwarded: Option<Forwarded>) -> Self {
        let (principal, route, refused) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { id, connection, forwarded, principal, route, refused }
    }

    /// What its answer names as `X-Request-Id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the address that the request came from: the one that a trusted proxy names, or else the connection's.
    pub fn client(&self) -> IpAddr {
        let peer = self.connection.peer.ip().to_canonical();
        self.forwarded.as_ref().map_or(peer, |forwarded| forwarded.client)
    }

    /// Returns the connection's address on this side.
    pub fn local(&self) -> SocketAddr {
        self.connection.local
    }

    /// Returns what a trusted proxy says of the request.
    pub fn forwarded(&self) -> Option<&Forwarded> {
        self.forwarded.as_ref()
    }

    /// Who asks.
    pub fn set_principal(&self, principal: &str) {
        let _ = self.principal.set(principal.to_owned());
    }

    /// What kind of thing is asked for.
    pub fn set_route(&self, route: &'static str) {
        let _ = self.route.set(route);
    }

    fn route(&self) -> &'static str {
        self.route.get().copied().unwrap_or("other")
    }
}

/// The id of the request that runs here, which its answer names as `X-Request-Id`.
pub(crate) fn request_id() -> String {
    CURRENT.try_with(|info| info.id.clone()).unwrap_or_default()
}

/// Returns the address that the request that runs here came from: a trusted proxy's word, or the connection's.
pub(crate) fn client() -> Option<IpAddr> {
    CURRENT.try_with(|info| info.client()).ok()
}

/// The connection that a request came in by.
#[derive(Clone)]
pub struct Door {
    /// What it leads to.
    pub router: Router,
    /// Its two ends.
    pub connection: Connected,
    /// What came and was not taken in.
    pub arrivals: Arc<Arrivals>,
    /// How much of that may be read.
    pub drains: Drains,
}

/// Notes that the credential of the request that runs here is refused, and why. Returns whether this is the first time.
pub(crate) fn is_first_refusal(reason: &'static str) -> bool {
    CURRENT.try_with(|info| info.refused.set(reason).is_ok()).unwrap_or(true)
}

/// Runs one request from its first header to the last byte of its answer. `began` hears of it first.
pub async fn observe(
    app: App,
    door: Door,
    request: http::Request<Incoming>,
    began: impl FnOnce(&Arc<Exchange>),
) -> http::Response<Answer> {
    let Door { router, connection, arrivals, drains } = door;
    let forwarded = Forwarded::read(connection.peer.ip(), request.headers(), &app.proxies);
    let contradiction = forwarded.is_err().then(refuse_contradiction);
    let forwarded = forwarded.ok().flatten();
    let of_network = forwarded.as_ref().map(|forwarded| app.forwarded.enter(forwarded.client));
    let crowded = matches!(of_network, Some(None)).then(refuse_network);
    let info = Arc::new(RequestInfo::new(id_of(request.headers()), connection, forwarded));
    let id = HeaderValue::from_str(&info.id).expect("letters, digits and dashes");
    let record = log::Record::new(&request, info.clone());
    let exchange = Exchange::new(record, (&app.metrics, &app.sending));
    let several = request.version() == Version::HTTP_2;
    exchange.keep_place(of_network.flatten());
    began(&exchange);
    let leftover = Leftover::of(&request, &arrivals);
    let left = leftover.clone();
    let mut request =
        request.map(|body| Body::new(body::Received::new(body, exchange.received(), left)));
    let foreign = || app.dev_hosts.as_ref().and_then(|names| refuse_foreign(&request, names));
    let refused = contradiction.or(crowded).or_else(foreign);
    let mut response = match refused {
        Some(refused) => {
            drop(request);
            refused
        }
        None => {
            request.extensions_mut().insert(info.clone());
            match CURRENT.scope(info, router.oneshot(request)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    response.headers_mut().insert(&REQUEST_ID, id);
    // An answer that never has a body is not to say how long it is (RFC 9110 §8.6).
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()) {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(leftover) = leftover {
        let begin = || drains.begin(app.limits.idle_timeout.get());
        leftover.settle(response.headers_mut(), begin);
    }
    let head = (response.status(), content_length(response.headers()));
    let shared = response.extensions().get::<SharedBytes>().is_some();
    response.map(|body| Answer::new(body, head, (exchange, Sending { several, shared })))
}

/// Refuses a request of a network that has as many as it may, all by way of proxies.
fn refuse_network() -> Response {
    let text = "too many requests of this network are running\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], text).into_response()
}

/// An extension of responses whose bytes are in memory once for all who read them.
#[derive(Debug, Clone, Copy)]
pub struct SharedBytes;

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The client's own id, if it is harmless, or a new one.
fn id_of(headers: &HeaderMap) -> String {
    let sent = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    sent.filter(harmless).map_or_else(new_request_id, str::to_owned)
}

/// Unique within all processes of a data folder: a random start, then counting.
fn new_request_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU64::new(RandomState::new().hash_one(0_u64)));
    format!("{:016x}", next.fetch_add(1, Ordering::Relaxed))
}

/// Whichever of the two was the client's own, the other one cannot be told from it.
fn refuse_contradiction() -> Response {
    let text = "the proxy sent Forwarded and X-Forwarded-… headers that contradict each other; let it send one kind \
                and remove the other\n";
    (StatusCode::BAD_REQUEST, text).into_response()
}

/// In `--dev`, everybody may do everything: so only this machine's own names are answered, and no web page
/// of another origin. A page that makes its name resolve to 127.0.0.1 still sends its own name.
fn refuse_foreign<B>(request: &http::Request<B>, names: &[String]) -> Option<Response> {
    let header = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
    if !host.is_some_and(|host| is_local(without_port(host), names)) {
        let known = [&["localhost".to_owned()], names].concat().join(" and ");
        let text = format!(
            "this development server answers only {known}; start it with --dev-host NAME to add a name\n"
        );
        return Some((StatusCode::MISDIRECTED_REQUEST, text).into_response());
    }
    let origin = request.headers().get(ORIGIN)?;
    let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    if origin.as_ref().and_then(Uri::host).is_some_and(|host| is_local(host, names)) {
        return None;
    }
    Some((StatusCode::FORBIDDEN, "requests from other origins are refused\n").into_response())
}

/// Whether a name means this machine.
pub fn is_local(host: &str, names: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost")
        || names.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, origin: Option<&str>, expected: u16) {
        let mut request = http::Request::get("/v2/");
        if !host.is_empty() {
            request = request.header("host", host);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(()).expect("valid");
        let refused = refuse_foreign(&request, &["registry.test".to_owned()]);
        assert_eq!(refused.map_or(200, |refused| refused.status().as_u16()), expected, "{host}");
    }

    #[test]
    fn a_development_server_answers_only_its_own_names() {
        check("127.0.0.1:5050", None, 200);
        check("[::1]:5050", None, 200);
        check("localhost", None, 200);
        check("us-west1-docker.localhost:5050", None, 200);
        check("Registry.test:80", None, 200);
        check("evil.example:5050", None, 421);
        check("127.0.0.1.evil.example", None, 421);
        check("10.0.0.1", None, 421);
        check("", None, 421);
        check("localhost:5050", Some("http://localhost:3000"), 200);
        check("localhost:5050", Some("https://evil.example"), 403);
        check("localhost:5050", Some("null"), 403);
    }
}
