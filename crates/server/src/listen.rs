//! Sockets: accepts connections, bounds what a slow client may cost, and stops gently.

mod connection_limits;
pub mod descriptors;
mod first_bytes;
mod readers;
mod staged_close;
pub mod tls;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tls::ServerTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::server::TlsStream;

pub(crate) use connection_limits::accept_or_pause;
use connection_limits::{AcceptedStream, ConnectionLimits};
use first_bytes::FirstBytes;
use readers::{ConnectionState, ConnectionWatch};
use staged_close::StagedClose;
use web::app::App;
use web::layer::ConnectionEnds;
use web::layer::drain::DrainBudget;
use web::layer::observe::{RequestEntry, observe};

/// The number of `idle_timeout`s for which a client may take nothing. A reader may pause for longer than a writer,
/// because it may be busy with the bytes that it has.
const READER_TIMEOUTS: u32 = 4;
/// The number of looks at an unused connection for which it is given time to end gently.
const MAX_LOOKS_ENDING: u32 = 2;
/// The most bytes of one HTTP/2 answer that wait in the library's buffers.
const MAX_SEND_BUFFER: usize = 256 << 10;
/// The largest buffer of an HTTP/1 connection, in bytes. A part of a read keeps the memory of the whole read: with a
/// larger buffer, uploads would hold several times what they sent. The headers of a request must fit in as well.
const MAX_READ_BUFFER: usize = 128 << 10;

/// A listener's routes, its TLS, and the people whom it is for.
pub struct Listener {
    /// The state that all doors share.
    pub app: App,
    /// The routes.
    pub router: Router,
    /// The certificate of its connections; `None` where they are not encrypted.
    pub tls: Option<ServerTls>,
    /// The people whom the listener is for.
    pub kind: ListenerKind,
}

/// The people whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients of the registry, known or not.
    Clients,
    /// Operators, and programs beside the server. They have places that clients cannot take.
    Operators,
}

/// Serves a router until `stop` becomes true, and then until all requests have ended or the drain time has passed.
pub async fn serve(
    listener: TcpListener,
    Listener { app, router, tls, kind }: Listener,
    mut stop: watch::Receiver<bool>,
) {
    let limits = app.limits.clone();
    let connection_limits = ConnectionLimits::new(kind, &app, &listener);
    let drains = DrainBudget::new(limits.connections);
    // A connection that is closed already has no local address any more.
    let address = listener.local_addr().unwrap_or(app.origin.listen());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = connection_limits.accept(&listener) => accepted,
        };
        let Some(AcceptedStream { stream, peer, place }) = accepted else { continue };
        let connection = AcceptedConnection {
            app: app.clone(),
            door: RequestEntry {
                router: router.clone(),
                connection: ConnectionEnds { peer, local: stream.local_addr().unwrap_or(address) },
                arrivals: Arc::default(),
                drains: drains.clone(),
            },
            tls: tls.clone(),
            stop: stop.clone(),
        };
        connections.spawn(async move {
            let _open = connection.app.metrics.open_connection();
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

struct AcceptedConnection {
    app: App,
    door: RequestEntry,
    tls: Option<ServerTls>,
    stop: watch::Receiver<bool>,
}

/// The treatment of a connection that has no request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdleConnection {
    /// The connection is asked to end: HTTP/2 has no time-out of its own for it.
    Ends,
    /// The connection stays: HTTP/1 has a time-out for the head of the next request.
    Waits,
}

type ConnectionFailure = Box<dyn std::error::Error + Send + Sync>;

impl AcceptedConnection {
    async fn run(self, stream: TcpStream) -> Result<(), ConnectionFailure> {
        let (limits, mut stop) = (&self.app.limits, self.stop.clone());
        stream.set_nodelay(true)?;
        set_user_timeout(&stream, limits.idle_timeout.get() * READER_TIMEOUTS)?;
        let header_timeout = limits.header_timeout.get();
        if let Some(tls) = self.tls.clone() {
            // Boxed, so that the memory of the handshake is freed when it is over, and not with the connection.
            let handshake = Box::pin(self.handshake(tls, stream));
            let handshake = tokio::time::timeout(header_timeout, handshake);
            let stream = tokio::select! {
                stream = handshake => stream??,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let Some(stream) = stream else { return Ok(()) };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Box::pin(self.serve(stream, http2)).await;
        }
        let protocol = tokio::time::timeout(header_timeout, FirstBytes::of(&stream));
        let protocol = tokio::select! {
            protocol = protocol => protocol??,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        if protocol == FirstBytes::Tls {
            first_bytes::log_tls(self.door.connection);
        }
        Box::pin(self.serve(stream, protocol == FirstBytes::Http2)).await
    }

    /// Begins TLS. Returns `None` if the client speaks HTTP without TLS: then it was answered 400.
    async fn handshake(
        &self,
        tls: ServerTls,
        stream: TcpStream,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        match FirstBytes::of(&stream).await? {
            FirstBytes::Tls | FirstBytes::Unknown => tls.acceptor().accept(stream).await.map(Some),
            FirstBytes::Http1 | FirstBytes::Http2 => {
                // The request was not read, and more of it may come.
                self.door.arrivals.came();
                let patience = self.app.limits.idle_timeout.get();
                let stream = StagedClose::new(stream, &self.door, patience);
                first_bytes::refuse_plain_http(stream, self.door.connection).await.map(|()| None)
            }
        }
    }

    /// Serves a connection whose version of HTTP is known.
    async fn serve<S>(mut self, stream: S, http2: bool) -> Result<(), ConnectionFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.app.limits;
        let (header_timeout, patience) = (limits.header_timeout.get(), limits.idle_timeout.get());
        let watch = Arc::new(ConnectionWatch::default());
        let (app, door, begun) = (self.app.clone(), self.door.clone(), watch.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, door, watch) = (app.clone(), door.clone(), begun.clone());
            async move {
                let began = |exchange: &_| watch.add(exchange);
                Ok::<_, Infallible>(observe(app, door, request, began).await)
            }
        });
        if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                // The window grows with what was read lately: data that nobody reads yet gets little memory.
                .adaptive_window(true)
                .max_concurrent_streams(128)
                .max_header_list_size(64 << 10)
                .max_send_buf_size(MAX_SEND_BUFFER)
                .keep_alive_interval(Duration::from_secs(20))
                .serve_connection(TokioIo::new(stream), service);
            self.serve_to_end(Box::pin(connection), IdleConnection::Ends, &watch).await
        } else {
            let stream = StagedClose::new(stream, &self.door, patience);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .max_buf_size(MAX_READ_BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            self.serve_to_end(Box::pin(connection), IdleConnection::Waits, &watch).await
        }
    }

    /// Serves a connection to its end. The connection is asked to end once the server stops or it is not used, and cut
    /// if its client does not read. It is boxed, so that it has the memory of its own version of HTTP, and not that of
    /// the larger one.
    async fn serve_to_end<C>(
        &mut self,
        mut connection: Pin<Box<C>>,
        idle: IdleConnection,
        watch: &ConnectionWatch,
    ) -> Result<(), ConnectionFailure>
    where
        C: GracefulConnection<Error: Into<ConnectionFailure>>,
    {
        let mut looks = interval(readers::look_period(self.app.limits.idle_timeout.get()));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        looks.tick().await;
        let (mut ending, mut looks_ending) = (false, 0);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return ended.map_err(Into::into),
                _ = self.stop.wait_for(|stop| *stop), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = watch.end_is_wanted() => {
                    return Err("its client does not read, and others need the memory".into());
                }
                _ = looks.tick() => match watch.look() {
                    ConnectionState::Stuck => return Err("its client does not read".into()),
                    ConnectionState::Idle if idle == IdleConnection::Ends => {
                        ending = true;
                        looks_ending += 1;
                        if looks_ending > MAX_LOOKS_ENDING {
                            return Err("it was idle, and its client did not close it when asked to".into());
                        }
                        connection.as_mut().graceful_shutdown();
                    }
                    ConnectionState::Idle | ConnectionState::InUse => {}
                },
            }
        }
    }
}

/// Has TCP end the connection if its client takes nothing for this long: otherwise it would keep its buffer for ever.
fn set_user_timeout(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    // The kernel takes a signed number of milliseconds.
    let max = i32::MAX.unsigned_abs();
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(max).min(max);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?)
}
