//! One request and its answer, from the first header to the last byte that the connection took.
//!
//! Whoever is at it holds the exchange: the handler, then the answer's body, then each of its chunks for as long
//! as it waits in the connection's buffers. The last one that lets go writes the log line. So the line says what
//! the client's side took, not what was handed over, and whoever leaves before the answer leaves a line too.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::PROBE;
use super::log::Record;
use super::metrics::{FinishedRequest, Metrics, Running};

/// What nginx has made known as the status of requests whose client did not wait for the answer.
pub(super) const CLIENT_LEFT: u16 = 499;

/// How an answer ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// How many bytes of its body the connection took.
    pub(super) bytes: u64,
    /// Whether that was all of it.
    pub(super) complete: bool,
}

/// See the module.
pub struct Exchange {
    record: Record,
    started: Instant,
    metrics: Metrics,
    _running: Running,
    /// Of the answer, once there is one.
    status: OnceLock<StatusCode>,
    /// Whether all of the body was handed over..
    ended: AtomicBool,
    /// ..how many bytes that was..
    handed: AtomicU64,
    /// ..and how many of them were written to the socket.
    taken: AtomicU64,
}

impl Exchange {
    /// A request that has just come.
    pub(super) fn new(record: Record, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            record,
            started: Instant::now(),
            metrics: metrics.clone(),
            _running: metrics.request_started(),
            status: OnceLock::new(),
            ended: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        })
    }

    /// Where the bytes that are read of the request are counted.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        self.record.received.clone()
    }

    /// How many bytes of the answer were taken; `None` while there is no answer.
    pub(crate) fn taken(&self) -> Option<u64> {
        self.status.get().map(|_| self.taken.load(Ordering::Relaxed))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let bytes = *self.taken.get_mut();
        let status = self.status.get().copied();
        let complete = status.is_some() && *self.ended.get_mut() && bytes == *self.handed.get_mut();
        let left = || StatusCode::from_u16(CLIENT_LEFT).expect("between 100 and 999");
        let status = status.unwrap_or_else(left);
        let took = self.started.elapsed();
        let route = self.record.route();
        if route != PROBE {
            let received = self.record.received.load(Ordering::Relaxed);
            let request = FinishedRequest { route, status, took, received, sent: bytes };
            self.metrics.observe(&request);
        }
        self.record.write(status, took, Outcome { bytes, complete });
    }
}

/// A response body that tells its exchange how far it is.
pub struct Answer {
    body: Body,
    /// How many bytes were announced. A connection that sent them all does not ask for more.
    expected: Option<u64>,
    exchange: Arc<Exchange>,
}

impl Answer {
    /// The answer's body. From here on, the client is waited for.
    pub(super) fn new(
        body: Body,
        (status, expected): (StatusCode, Option<u64>),
        exchange: Arc<Exchange>,
    ) -> Self {
        let _ = exchange.status.set(status);
        exchange.ended.store(body.is_end_stream(), Ordering::Relaxed);
        Self { body, expected, exchange }
    }
}

impl HttpBody for Answer {
    type Data = Chunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let exchange = &self.exchange;
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let handed = exchange.handed.fetch_add(length, Ordering::Relaxed) + length;
                if self.expected == Some(handed) || self.body.is_end_stream() {
                    exchange.ended.store(true, Ordering::Relaxed);
                }
            }
            None => exchange.ended.store(true, Ordering::Relaxed),
            Some(Err(error)) => {
                let id = exchange.record.id();
                tracing::warn!(request.id = id, %error, "an answer was cut short: {error} {id}");
            }
        }
        let chunk = |bytes| Chunk { bytes, exchange: exchange.clone() };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// Bytes of an answer on their way through the connection's buffers.
pub struct Chunk {
    bytes: Bytes,
    exchange: Arc<Exchange>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.exchange.taken.fetch_add(count as u64, Ordering::Relaxed);
    }
}
