//! Request bodies with a limit for their pauses, and a count of their bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use engine::BodyError;
use futures_util::{StreamExt, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::unread_body::UnreadBody;

/// A request body that paused for too long.
#[derive(Debug, thiserror::Error)]
#[error("no data came for too long")]
pub struct StallError;

/// Returns the body with a time limit: reading fails with [`StallError`] if nothing comes for `idle`.
pub fn with_idle_timeout(body: Body, idle: Duration) -> IdleTimeout {
    IdleTimeout { body, idle, timer: None }
}

/// A body with a time limit for its pauses. [`with_idle_timeout`] creates it.
pub struct IdleTimeout {
    body: Body,
    idle: Duration,
    /// The timer of the pauses. It is created at the first pause, because most bodies have none.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for IdleTimeout {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(timer) = &mut this.timer {
                timer.as_mut().reset(Instant::now() + this.idle);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.idle)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(StallError.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// Returns the body of an upload in the form that the engine takes.
pub fn upload_body(body: Body, idle: Duration) -> engine::UploadBody<'static> {
    let frames = with_idle_timeout(body, idle);
    Box::pin(
        stream::unfold(frames, |mut frames| async {
            loop {
                let frame = match frames.frame().await? {
                    Ok(frame) => Ok(frame),
                    Err(error) if error.is::<StallError>() => Err(BodyError::Stalled),
                    Err(_) => Err(BodyError::Closed),
                };
                match frame.map(Frame::into_data) {
                    Ok(Ok(bytes)) => return Some((Ok(bytes), frames)),
                    // Trailers are ignored.
                    Ok(Err(_)) => {}
                    Err(error) => return Some((Err(error), frames)),
                }
            }
        })
        .fuse(),
    )
}

/// A request body that counts the bytes read, and leaves the unread rest to the connection.
pub struct ReceivedBody {
    /// The body; `None` once this is dropped.
    body: Option<Incoming>,
    bytes: Arc<AtomicU64>,
    unread: Option<UnreadBody>,
    ended: bool,
}

impl ReceivedBody {
    /// Wraps a body. The bytes that are read of it are added to `bytes`.
    pub(super) fn new(body: Incoming, bytes: Arc<AtomicU64>, unread: Option<UnreadBody>) -> Self {
        Self { body: Some(body), bytes, unread, ended: false }
    }
}

impl HttpBody for ReceivedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Some(unread) = &this.unread {
            unread.read_begins();
        }
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                }
            }
            Poll::Ready(Some(Err(_)) | None) => {
                this.ended = true;
                if let Some(unread) = &this.unread {
                    unread.ended();
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        let (Some(body), Some(unread)) = (self.body.take(), &self.unread) else { return };
        if body.is_end_stream() {
            unread.ended();
        } else if !self.ended {
            unread.keep(body);
        }
    }
}
