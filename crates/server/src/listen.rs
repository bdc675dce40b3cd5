//! Sockets: accepting connections, what a slow client may cost, and stopping gently.

pub mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::api::App;
use crate::layer::observe;

/// How HTTP/2 connections begin.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A reader may pause for longer than a writer: it may be busy with what it has got.
const READER_PATIENCE: u32 = 4;
const WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// What a listener serves.
pub struct Served {
    /// What every handler shares.
    pub app: App,
    /// The routes.
    pub router: Router,
    /// What encrypts the connections, if anything.
    pub tls: Option<Tls>,
}

/// Serves a router until `stop` says so, and then until what runs is over or `drain` has passed.
pub async fn serve(
    listener: TcpListener,
    Served { app, router, tls }: Served,
    mut stop: watch::Receiver<bool>,
) {
    let limits = app.limits.clone();
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let connection = Connection {
            app: app.clone(),
            router: router.clone(),
            tls: tls.clone(),
            peer,
            stop: stop.clone(),
        };
        connections.spawn(async move {
            let _open = connection.app.metrics.connection_opened();
            if let Err(error) = connection.run(stream).await {
                tracing::debug!(peer = %peer, "connection from {peer} ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout.get(), drained).await.is_err() {
        tracing::warn!("connections were cut: they did not end within the drain time");
        connections.shutdown().await;
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// Waits for room, then for a connection. `None`: this one failed, others may come.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let place = room.clone().acquire_owned().await.expect("this semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            // Out of file descriptors, most likely: without a pause this would spin.
            tracing::warn!(%error, "cannot accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

struct Connection {
    app: App,
    router: Router,
    tls: Option<Tls>,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    async fn run(mut self, stream: TcpStream) -> Result<(), Failure> {
        let limits = &self.app.limits;
        stream.set_nodelay(true)?;
        // Ends a connection whose reader takes nothing: it would keep a buffer for ever.
        let patience = limits.idle_timeout.get() * READER_PATIENCE;
        let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&stream, patience)?;
        let header_timeout = limits.header_timeout.get();
        if let Some(tls) = self.tls.clone() {
            let handshake = tokio::time::timeout(header_timeout, tls.acceptor().accept(stream));
            let stream = tokio::select! {
                stream = handshake => stream??,
                _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return self.serve(stream, http2).await;
        }
        let version = tokio::time::timeout(header_timeout, is_http2(&stream));
        let http2 = tokio::select! {
            version = version => version??,
            _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
        };
        self.serve(stream, http2).await
    }

    /// Serves a connection whose version is known.
    async fn serve<S>(mut self, stream: S, http2: bool) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let header_timeout = self.app.limits.header_timeout.get();
        let (app, router, peer) = (self.app.clone(), self.router.clone(), self.peer);
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, router) = (app.clone(), router.clone());
            async move { Ok::<_, Infallible>(observe(app, peer, router, request).await) }
        });
        let io = TokioIo::new(stream);
        if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_concurrent_streams(128)
                .max_header_list_size(64 << 10)
                .max_send_buf_size(1 << 20)
                .keep_alive_interval(Duration::from_secs(20))
                .serve_connection(io, service);
            Ok(until_stopped(connection, &mut self.stop).await?)
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .serve_connection(io, service);
            Ok(until_stopped(connection, &mut self.stop).await?)
        }
    }
}

/// Serves a connection to its end, or once the server stops, to the end of what it is at.
async fn until_stopped<C: GracefulConnection>(
    connection: C,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), C::Error> {
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Looks at a connection's first bytes without taking them.
async fn is_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        if length == 0 || start[..length] != PREFACE[..length] {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        // Part of the preface: what is there would be seen again at once.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
