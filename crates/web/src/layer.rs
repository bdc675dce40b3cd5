//! The layer around every request: its id, its limits, its log line and its metrics.

pub mod body;
pub mod body_budget;
pub mod cors;
pub mod drain;
pub mod forwarded;
pub mod in_flight;
pub mod log;
pub mod log_throttle;
pub mod metrics;
pub mod network_counter;
pub mod observe;
pub mod own_names;
pub mod rate_limiter;
pub mod sending;
pub mod unread_body;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use forwarded::ForwardedRequest;
use model::principal::Principal;

/// The path of the pages on which people set their passwords. The token of a link follows, which is a secret.
pub const PASSWORD_PATH: &str = "/console/-/password/";

/// The route of requests to the operators' listener, such as health checks. They come every few seconds, so they are
/// neither counted nor logged with the requests of clients.
pub const PROBE_ROUTE: &str = "probe";

tokio::task_local! {
    /// The request that this task serves, for log lines about it.
    static CURRENT: Arc<RequestInfo>;
}

/// The two addresses of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionEnds {
    /// The address of the other side.
    pub peer: SocketAddr,
    /// The address on this side.
    pub local: SocketAddr,
}

/// The facts of a request while it runs. Handlers add the caller and the route.
#[derive(Debug)]
pub struct RequestInfo {
    id: String,
    connection: ConnectionEnds,
    forwarded: Option<ForwardedRequest>,
    principal: OnceLock<Principal>,
    route: OnceLock<&'static str>,
    /// The reason why the request's credential is refused, set when the refusal is logged.
    refused: OnceLock<&'static str>,
}

impl RequestInfo {
    fn new(id: String, connection: ConnectionEnds, forwarded: Option<ForwardedRequest>) -> Self {
        let (principal, route, refused) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { id, connection, forwarded, principal, route, refused }
    }

    /// Returns the id, which the answer has as `X-Request-Id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the client's address: the one that a trusted proxy names, or else the connection's.
    pub fn client(&self) -> IpAddr {
        let peer = self.connection.peer.ip().to_canonical();
        self.forwarded.as_ref().map_or(peer, |forwarded| forwarded.client)
    }

    /// Returns the connection's address on this side.
    pub fn local(&self) -> SocketAddr {
        self.connection.local
    }

    /// Returns the statements of a trusted proxy about the request.
    pub fn forwarded(&self) -> Option<&ForwardedRequest> {
        self.forwarded.as_ref()
    }

    /// Sets the caller that the log line names. The first call counts.
    pub fn set_principal(&self, principal: &Principal) {
        let _ = self.principal.set(principal.clone());
    }

    /// Sets the route by which metrics count the request. The first call counts.
    pub fn set_route(&self, route: &'static str) {
        let _ = self.route.set(route);
    }

    fn route(&self) -> &'static str {
        self.route.get().copied().unwrap_or("other")
    }
}

/// Returns the id of the request that this task serves, or an empty text outside of requests.
pub fn request_id() -> String {
    CURRENT.try_with(|info| info.id.clone()).unwrap_or_default()
}

/// Returns the client's address of the request that this task serves, or `None` outside of requests.
pub fn client() -> Option<IpAddr> {
    CURRENT.try_with(|info| info.client()).ok()
}

/// Notes why the credential of the request that this task serves is refused. Returns whether it is the first refusal of
/// this request; outside of requests, every refusal is the first.
pub fn is_first_refusal(reason: &'static str) -> bool {
    CURRENT.try_with(|info| info.refused.set(reason).is_ok()).unwrap_or(true)
}

/// Marks a response whose bytes are in memory once, however many clients read them. It is an extension of responses.
#[derive(Debug, Clone, Copy)]
pub struct SharedBytes;
