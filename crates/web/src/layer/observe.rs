//! The path of one request through the layer.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::body::ReceivedBody;
use super::drain::DrainBudget;
use super::forwarded::ForwardedRequest;
use super::in_flight::{InFlightRequest, SendingMode, TrackedBody};
use super::log::RequestRecord;
use super::own_names::refuse_foreign;
use super::unread_body::{ConnectionArrivals, UnreadBody};
use super::{CURRENT, ConnectionEnds, RequestInfo, SharedBytes};
use crate::app::App;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The parts of a connection that its requests need.
#[derive(Clone)]
pub struct RequestEntry {
    /// The router that serves the requests.
    pub router: Router,
    /// The connection's addresses.
    pub connection: ConnectionEnds,
    /// The state of the bytes that arrived and that no request has read.
    pub arrivals: Arc<ConnectionArrivals>,
    /// The places for connections whose unread bytes are drained.
    pub drains: DrainBudget,
}

/// Serves one request, from its first header to the last byte of its answer. `began` is called before the handler.
pub async fn observe(
    app: App,
    entry: RequestEntry,
    request: http::Request<Incoming>,
    began: impl FnOnce(&Arc<InFlightRequest>),
) -> http::Response<TrackedBody> {
    let RequestEntry { router, connection, arrivals, drains } = entry;
    let forwarded = ForwardedRequest::read(connection.peer.ip(), request.headers(), &app.proxies);
    let contradiction = forwarded.is_err().then(refuse_contradiction);
    let forwarded = forwarded.ok().flatten();
    let network_place = forwarded.as_ref().map(|forwarded| app.forwarded.enter(forwarded.client));
    let crowded = matches!(network_place, Some(None)).then(refuse_network);
    let info = Arc::new(RequestInfo::new(id_of(request.headers()), connection, forwarded));
    let id = HeaderValue::from_str(&info.id).expect("letters, digits and dashes");
    let record = RequestRecord::new(&request, info.clone());
    let in_flight = InFlightRequest::new(record, &app.metrics, &app.sending);
    let has_streams = request.version() == Version::HTTP_2;
    in_flight.keep_place(network_place.flatten());
    began(&in_flight);
    let unread = UnreadBody::of(&request, &arrivals);
    let left = unread.clone();
    let mut request =
        request.map(|body| Body::new(ReceivedBody::new(body, in_flight.received(), left)));
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
    // An answer that never has a body must not have a length (RFC 9110 §8.6).
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()) {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(unread) = unread {
        let begin = || drains.begin(app.limits.idle_timeout.get());
        unread.settle(response.headers_mut(), begin);
    }
    let (status, length) = (response.status(), content_length(response.headers()));
    let shared = response.extensions().get::<SharedBytes>().is_some();
    let mode = SendingMode { has_streams, shared };
    response.map(|body| TrackedBody::new(body, status, length, in_flight, mode))
}

/// Refuses a request by way of a proxy, if the client's network has as many of them as it may.
fn refuse_network() -> Response {
    let text = "too many requests of this network are running\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], text).into_response()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the request's id: the one that the client sent if it is harmless, or a new one.
fn id_of(headers: &HeaderMap) -> String {
    let sent = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    sent.filter(harmless).map_or_else(new_request_id, str::to_owned)
}

/// Returns an id that is unique among all processes of a data folder: they start at random numbers and count.
fn new_request_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU64::new(RandomState::new().hash_one(0_u64)));
    format!("{:016x}", next.fetch_add(1, Ordering::Relaxed))
}

/// Refuses a request whose headers about its client contradict each other. One kind is the client's own, and nothing
/// tells which.
fn refuse_contradiction() -> Response {
    let text = "the proxy sent Forwarded and X-Forwarded-… headers that contradict each other; let it send one kind \
                and remove the other\n";
    (StatusCode::BAD_REQUEST, text).into_response()
}
