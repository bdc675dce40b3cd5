//! What happens to every request, whatever it asks for: an id, limits, one log line, and counting.

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

/// The route of requests by those who run the server: they come every few seconds, and are neither counted with the
/// requests of clients nor logged among them.
pub const PROBE_ROUTE: &str = "probe";

tokio::task_local! {
    /// The request that a handler is at, for what is logged meanwhile.
    static CURRENT: Arc<RequestInfo>;
}

/// A connection that requests come by.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionEnds {
    /// The address of whoever connected.
    pub peer: SocketAddr,
    /// The address on this side.
    pub local: SocketAddr,
}

/// What is known of a request while it runs. Handlers add what they find out.
#[derive(Debug)]
pub struct RequestInfo {
    id: String,
    connection: ConnectionEnds,
    forwarded: Option<ForwardedRequest>,
    principal: OnceLock<String>,
    route: OnceLock<&'static str>,
    /// Why its credential is refused, once the log has heard of it.
    refused: OnceLock<&'static str>,
}

impl RequestInfo {
    fn new(id: String, connection: ConnectionEnds, forwarded: Option<ForwardedRequest>) -> Self {
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
    pub fn forwarded(&self) -> Option<&ForwardedRequest> {
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
pub fn request_id() -> String {
    CURRENT.try_with(|info| info.id.clone()).unwrap_or_default()
}

/// Returns the address that the request that runs here came from: a trusted proxy's word, or the connection's.
pub fn client() -> Option<IpAddr> {
    CURRENT.try_with(|info| info.client()).ok()
}

/// Notes that the credential of the request that runs here is refused, and why. Returns whether this is the first time.
pub fn is_first_refusal(reason: &'static str) -> bool {
    CURRENT.try_with(|info| info.refused.set(reason).is_ok()).unwrap_or(true)
}

/// An extension of responses whose bytes are in memory once for all who read them.
#[derive(Debug, Clone, Copy)]
pub struct SharedBytes;
