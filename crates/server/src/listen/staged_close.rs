//! Closes an HTTP/1 connection in stages, by RFC 9112 §9.6: nothing more is written, and then the client's bytes are
//! read for a bounded while, so that the client gets the answer and not a reset.
//!
//! Stages are for connections whose client may still be sending: a body that nobody read to its end, a head that is too
//! long. All others are closed at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use web::layer::drain::{DrainBudget, DrainPlace};
use web::layer::observe::RequestEntry;
use web::layer::unread_body::ConnectionArrivals;

/// The number of bytes that are read and dropped at once.
const READ_BYTES: usize = 16 << 10;

/// A connection that is closed in stages.
pub(super) struct StagedClose<S> {
    stream: S,
    arrivals: Arc<ConnectionArrivals>,
    drains: DrainBudget,
    patience: Duration,
    /// Set once nothing more is written.
    drain: Option<DrainPlace>,
}

impl<S> StagedClose<S> {
    /// Wraps a connection. `patience` is the longest time that closing may take.
    pub(super) fn new(stream: S, door: &RequestEntry, patience: Duration) -> Self {
        let (arrivals, drains) = (door.arrivals.clone(), door.drains.clone());
        Self { stream, arrivals, drains, patience, drain: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StagedClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.arrivals.came();
        } else {
            // The client has closed its side: nothing more comes.
            self.arrivals.taken();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StagedClose<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, arrivals, drains, patience, drain } = &mut *self;
        if drain.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !arrivals.are_expected() {
                return Poll::Ready(Ok(()));
            }
        }
        let drain = drain.get_or_insert_with(|| drains.begin(*patience));
        let mut bytes = [0; READ_BYTES];
        loop {
            if drain.poll_over(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            // An error ends the connection too, which is what closing is for.
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => drain.came(buffer.filled().len()),
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
