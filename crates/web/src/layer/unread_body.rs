//! The rest of an HTTP/1 request's body that no handler has read when the answer is ready.
//!
//! While the client still sends, its connection cannot take the next request. Closing the connection would lose the
//! answer. So the rest is read beside the answer, and thrown away (`drain.rs`). If the rest is small, the connection is
//! used further. Otherwise the answer announces that the connection will be closed, and it is closed in stages
//! (`listen/staged_close.rs`). HTTP/2 does not need this, because it ends one stream and not the connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;

use super::drain::DrainPlace;

/// The largest rest in bytes after which a connection is used further. Reading so much costs less than a new
/// connection.
const MAX_REUSED_REST: u64 = 1 << 20;

/// The state of the bytes that arrived on an HTTP/1 connection and that no request has read.
#[derive(Debug, Default)]
pub struct ConnectionArrivals {
    waiting: AtomicBool,
    given_up: AtomicBool,
}

impl ConnectionArrivals {
    /// Notes that bytes arrived.
    pub fn came(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Notes that all bytes so far belong to requests that were read to their end.
    pub fn taken(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// Returns whether the client may still be sending, and draining its connection was not given up already.
    pub fn are_expected(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) && !self.given_up.load(Ordering::Relaxed)
    }
}

/// The place for the rest of a request's body, when its reader drops it.
#[derive(Debug, Clone)]
pub(super) struct UnreadBody(Arc<UnreadParts>);

#[derive(Debug)]
struct UnreadParts {
    arrivals: Arc<ConnectionArrivals>,
    /// Set if the client waits to be told to send the body (`Expect: 100-continue`).
    expects_continue: bool,
    is_read: AtomicBool,
    rest: Mutex<Option<Incoming>>,
}

impl UnreadBody {
    /// Creates the place for the rest of a request's body. Returns `None` for a request without a body, and for HTTP/2.
    pub(super) fn of(
        request: &Request<Incoming>,
        arrivals: &Arc<ConnectionArrivals>,
    ) -> Option<Self> {
        if request.version() > Version::HTTP_11 {
            return None;
        }
        if request.body().is_end_stream() {
            arrivals.taken();
            return None;
        }
        Some(Self(Arc::new(UnreadParts {
            arrivals: arrivals.clone(),
            expects_continue: request.headers().contains_key(EXPECT),
            is_read: AtomicBool::new(false),
            rest: Mutex::new(None),
        })))
    }

    /// Notes that the body is being read, which tells a client that waits to send it.
    pub(super) fn read_begins(&self) {
        self.0.is_read.store(true, Ordering::Relaxed);
    }

    /// Notes that the body was read to its end.
    pub(super) fn ended(&self) {
        self.0.arrivals.taken();
    }

    /// Keeps the rest, which the reader of the body dropped.
    pub(super) fn keep(&self, rest: Incoming) {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }

    /// Starts draining the rest, and tells the client in the answer's headers if the connection will be closed.
    pub(super) fn settle(self, headers: &mut HeaderMap, begin: impl FnOnce() -> DrainPlace) {
        let Some(rest) = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let is_small = rest.size_hint().exact().is_some_and(|left| left <= MAX_REUSED_REST);
        // A client that waits to be told may send the body or not. If it does not, the next bytes are a new request,
        // and nothing tells the two apart.
        if self.0.expects_continue || !is_small {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Reading would tell the client to send the body.
        if self.0.expects_continue && !self.0.is_read.load(Ordering::Relaxed) {
            return;
        }
        let (drain, arrivals) = (begin(), self.0.arrivals.clone());
        tokio::spawn(async move {
            if drain.read_to_end(rest).await {
                arrivals.taken();
            } else {
                arrivals.given_up.store(true, Ordering::Relaxed);
            }
        });
    }
}
