//! What is left of an HTTP/1 request when its answer is ready.
//!
//! A connection whose client still sends can neither take its next request nor be closed, which would cost the answer.
//! So what is left is read beside the answer, and thrown away (`drain.rs`): where it is little, the connection goes on
//! afterwards; else the answer says that it will be closed, and it is closed in stages (`listen/farewell.rs`). HTTP/2
//! needs none of this: it ends one stream, and not the connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;

use super::drain::DrainPlace;

/// As much as this is cheaper to read than a new connection is to make.
const LITTLE: u64 = 1 << 20;

/// Whether something came on an HTTP/1 connection that no request has taken in.
#[derive(Debug, Default)]
pub struct ConnectionArrivals {
    waiting: AtomicBool,
    given_up: AtomicBool,
}

impl ConnectionArrivals {
    /// Notes that bytes came.
    pub fn came(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Notes that all of them belonged to a request that was read to its end.
    pub fn taken(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// Whether the client may still be sending, and was not read for long enough already.
    pub fn are_expected(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) && !self.given_up.load(Ordering::Relaxed)
    }
}

/// A request's body: where it goes when its reader drops it, and how far that one was.
#[derive(Debug, Clone)]
pub(super) struct UnreadBody(Arc<UnreadParts>);

#[derive(Debug)]
struct UnreadParts {
    arrivals: Arc<ConnectionArrivals>,
    /// Whether the client waits to be told to send it.
    is_announced: bool,
    is_asked_for: AtomicBool,
    rest: Mutex<Option<Incoming>>,
}

impl UnreadBody {
    /// What a request may leave; `None` for one without a body, and over HTTP/2.
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
            is_announced: request.headers().contains_key(EXPECT),
            is_asked_for: AtomicBool::new(false),
            rest: Mutex::new(None),
        })))
    }

    /// Notes that somebody reads.
    pub(super) fn asked_for(&self) {
        self.0.is_asked_for.store(true, Ordering::Relaxed);
    }

    /// Notes that all of it was read.
    pub(super) fn ended(&self) {
        self.0.arrivals.taken();
    }

    /// Keeps what its reader did not want.
    pub(super) fn keep(&self, rest: Incoming) {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }

    /// Sees to what is left of the body, and tells the client in the answer's headers what becomes of the connection.
    pub(super) fn settle(self, headers: &mut HeaderMap, begin: impl FnOnce() -> DrainPlace) {
        let Some(rest) = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let is_little = rest.size_hint().exact().is_some_and(|left| left <= LITTLE);
        // Who waits to be told to send it may do so or not: what comes next cannot be told apart from it.
        if self.0.is_announced || !is_little {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Reading would tell the client to send it.
        if self.0.is_announced && !self.0.is_asked_for.load(Ordering::Relaxed) {
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
