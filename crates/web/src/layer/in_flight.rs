//! One request and its answer, from the first header to the last byte that the connection took.
//!
//! The handler holds the [`InFlightRequest`], then the answer's body, then each chunk of the body for as long as the
//! chunk waits in the connection's buffers. When the last holder drops it, the log line is written. So the line has the
//! bytes that the connection took, not the bytes that were handed to it, and a client that leaves before the answer
//! has a line too.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::PROBE_ROUTE;
use super::log::{AnswerOutcome, CLIENT_LEFT, RequestRecord};
use super::metrics::{FinishedRequest, Metrics, RunningGuard};
use super::network_counter::NetworkPlace;
use super::sending::{AnswerReader, FIRST_FRAME, FramePace, MAX_WAITING, SendMemory};

/// A request until its answer is sent. Writes the log line and the metrics when dropped.
pub struct InFlightRequest {
    record: RequestRecord,
    started: Instant,
    metrics: Metrics,
    _running: RunningGuard,
    /// The status of the answer, once there is one.
    status: OnceLock<StatusCode>,
    /// Set once all of the answer's body was handed to the connection.
    ended: AtomicBool,
    /// The bytes of the answer's body that were handed to the connection.
    handed: AtomicU64,
    /// The bytes of the answer's body that the connection wrote to its socket.
    taken: AtomicU64,
    /// The memory that answers share.
    memory: SendMemory,
    /// The task that sends the answer's body, while it waits for the reader to take bytes.
    waiting: AtomicWaker,
    /// The signal that ends the connection.
    connection: OnceLock<Arc<Notify>>,
    /// The request's place among the requests of its network.
    place: OnceLock<NetworkPlace>,
}

impl InFlightRequest {
    /// Starts the time and the count of a request.
    pub(super) fn new(record: RequestRecord, metrics: &Metrics, memory: &SendMemory) -> Arc<Self> {
        Arc::new(Self {
            record,
            started: Instant::now(),
            metrics: metrics.clone(),
            _running: metrics.start_request(),
            status: OnceLock::new(),
            ended: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            memory: memory.clone(),
            waiting: AtomicWaker::new(),
            connection: OnceLock::new(),
            place: OnceLock::new(),
        })
    }

    /// Keeps the request's place, if it has one, until the request is over.
    pub(super) fn keep_place(&self, place: Option<NetworkPlace>) {
        if let Some(place) = place {
            let _ = self.place.set(place);
        }
    }

    /// Sets the signal that ends the request's connection.
    pub fn set_connection(&self, connection: Arc<Notify>) {
        let _ = self.connection.set(connection);
    }

    /// Returns the bytes that were handed to the connection and wait for the reader.
    fn waiting_bytes(&self) -> u64 {
        let taken = self.taken.load(Ordering::Acquire);
        self.handed.load(Ordering::Relaxed).saturating_sub(taken)
    }

    /// Returns the counter of the bytes that were read of the request's body.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        self.record.received.clone()
    }

    /// Returns the bytes of the answer that the connection took; `None` while there is no answer.
    pub fn taken(&self) -> Option<u64> {
        self.status.get().map(|_| self.taken.load(Ordering::Relaxed))
    }
}

impl AnswerReader for InFlightRequest {
    fn end_connection(&self) {
        if let Some(connection) = self.connection.get() {
            connection.notify_one();
        }
    }

    fn progress(&self) -> (u64, bool) {
        let taken = self.taken.load(Ordering::Relaxed);
        (taken, taken < self.handed.load(Ordering::Relaxed))
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        let bytes = *self.taken.get_mut();
        let status = self.status.get().copied();
        let complete = status.is_some() && *self.ended.get_mut() && bytes == *self.handed.get_mut();
        let left = || StatusCode::from_u16(CLIENT_LEFT).expect("between 100 and 999");
        let status = status.unwrap_or_else(left);
        let took = self.started.elapsed();
        let route = self.record.route();
        if route != PROBE_ROUTE {
            let received = self.record.received.load(Ordering::Relaxed);
            let request = FinishedRequest { route, status, took, received, sent: bytes };
            self.metrics.observe(&request);
            if let Some(reason) = self.record.refusal() {
                self.metrics.credential_refused(reason);
            }
        }
        self.record.write(status, took, AnswerOutcome { bytes, complete });
    }
}

/// The time after which a body that found no memory tries again.
const MEMORY_RETRY: Duration = Duration::from_millis(50);

/// A response body that counts its bytes for its request, and takes the memory for its frames from the shared budget.
pub struct TrackedBody {
    body: Body,
    /// The length of the answer's body, if the headers announce it. A connection that sent so many bytes does not ask
    /// for the end of the body.
    expected: Option<u64>,
    request: Arc<InFlightRequest>,
    sending: SendingMode,
    /// The growth of the frames; `None` if the whole answer is no larger than the first frame.
    pace: Option<FramePace>,
    /// The largest size of the next frame, once there is memory for it.
    room: Option<usize>,
    /// The rest of a frame that was larger than its room.
    rest: Bytes,
    /// The bytes of memory that this body holds for data that it has not handed over yet.
    held: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

/// The circumstances in which an answer is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendingMode {
    /// Set if the connection has several streams (HTTP/2).
    pub(super) has_streams: bool,
    /// Set if the bytes are in memory once for all their readers, so that this answer needs memory only for the bytes
    /// that it hands over.
    pub(super) shared: bool,
}

impl TrackedBody {
    /// Wraps the answer's body. From here on, the request waits for its client.
    pub(super) fn new(
        body: Body,
        status: StatusCode,
        expected: Option<u64>,
        request: Arc<InFlightRequest>,
        sending: SendingMode,
    ) -> Self {
        let _ = request.status.set(status);
        request.ended.store(body.is_end_stream(), Ordering::Relaxed);
        let most = HttpBody::size_hint(&body).upper().or(expected);
        let small = most.is_some_and(|most| most <= FIRST_FRAME as u64);
        if sending.has_streams || !small {
            let reader: Weak<InFlightRequest> = Arc::downgrade(&request);
            request.memory.watch(reader);
        }
        let pace = (!small).then(|| FramePace::new(sending.has_streams));
        let (rest, held) = (Bytes::new(), 0);
        Self { body, expected, request, sending, pace, room: None, rest, held, pause: None }
    }

    /// Waits until the reader has taken enough bytes for another frame, and until there is memory for the frame.
    /// Returns the frame's largest size.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(pace) = &mut self.pace else { return Poll::Ready(usize::MAX) };
        if let Some(room) = self.room {
            return Poll::Ready(room);
        }
        let request = &self.request;
        if self.sending.has_streams {
            let most = MAX_WAITING - pace.next() as u64;
            if request.waiting_bytes() > most {
                request.waiting.register(cx.waker());
                // The reader may have taken bytes before the waker was registered.
                if request.waiting_bytes() > most {
                    return Poll::Pending;
                }
            }
        }
        if !self.rest.is_empty() && !self.sending.shared {
            // The rest has its memory already.
            let room = pace.next();
            pace.grow();
            return Poll::Ready(room);
        }
        if !self.sending.has_streams && request.handed.load(Ordering::Relaxed) == 0 {
            // The first frame never waits where a connection has one answer at a time.
            request.memory.force(FIRST_FRAME as u64);
            return Poll::Ready(self.grant(FIRST_FRAME));
        }
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if let Some(room) = self.request.memory.take(pace.next()) {
                return Poll::Ready(self.grant(room));
            }
            self.pause = Some(Box::pin(tokio::time::sleep(MEMORY_RETRY)));
        }
    }

    fn grant(&mut self, room: usize) -> usize {
        self.held += room as u64;
        self.room = Some(room);
        if let Some(pace) = self.pace.as_mut().filter(|pace| pace.next() == room) {
            pace.grow();
        }
        room
    }

    /// Hands over as much of the last frame's rest, or of a new frame, as there is room for.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let body = Pin::new(&mut self.body);
            match ready!(engine::with_max_frame_bytes(room, || body.poll_frame(cx))) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let bytes = self.rest.split_to(self.rest.len().min(room));
        self.room = None;
        self.hold(bytes.len(), if self.sending.shared { 0 } else { self.rest.len() });
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// Adjusts the memory: the handed over bytes take theirs with them, and the bytes that stay need theirs here.
    fn hold(&mut self, handed: usize, stays: usize) {
        let (handed, stays) = (handed as u64, stays as u64);
        let needed = handed + stays;
        if needed > self.held {
            self.request.memory.force(needed - self.held);
        } else {
            self.request.memory.give_back(self.held - needed);
        }
        self.held = stays;
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.request.memory.give_back(self.held);
    }
}

impl HttpBody for TrackedBody {
    type Data = TrackedChunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedChunk>, axum::Error>>> {
        let this = &mut *self;
        let room = ready!(this.poll_room(cx));
        let frame = ready!(this.poll_body(cx, room));
        let request = &this.request;
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let handed = request.handed.fetch_add(length, Ordering::Relaxed) + length;
                if this.expected == Some(handed) || HttpBody::is_end_stream(this) {
                    request.ended.store(true, Ordering::Relaxed);
                }
            }
            None => request.ended.store(true, Ordering::Relaxed),
            Some(Err(error)) => {
                let id = request.record.id();
                tracing::warn!(request.id = id, %error, "an answer was cut short: {error} {id}");
            }
        }
        let chunk = |bytes| TrackedChunk { bytes, request: request.clone() };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (HttpBody::size_hint(&self.body), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(most) = body.upper() {
            hint.set_upper(most + rest);
        }
        hint.set_lower(body.lower() + rest);
        hint
    }
}

/// A chunk of an answer in the connection's buffers. Its memory is given back as the bytes are taken.
pub struct TrackedChunk {
    bytes: Bytes,
    request: Arc<InFlightRequest>,
}

impl Buf for TrackedChunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.request.taken.fetch_add(count as u64, Ordering::Release);
        self.request.memory.give_back(count as u64);
        self.request.waiting.wake();
    }
}

impl Drop for TrackedChunk {
    fn drop(&mut self) {
        self.request.memory.give_back(self.bytes.len() as u64);
    }
}
