//! Sockets: accepting connections, what a slow client may cost, and stopping gently.

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

pub(crate) use connection_limits::or_pause;
use connection_limits::{AcceptedStream, ConnectionLimits};
use first_bytes::FirstBytes;
use readers::{ConnectionState, ConnectionWatch};
use staged_close::StagedClose;
use web::app::App;
use web::layer::ConnectionEnds;
use web::layer::drain::DrainBudget;
use web::layer::observe::{RequestEntry, observe};

/// A reader may pause for longer than a writer: it may be busy with what it has got.
const READER_PATIENCE: u32 = 4;
/// Looks that an unused connection gets to end gently.
const GOODBYE: u32 = 2;
/// What waits of one HTTP/2 answer in the library's buffers, before it asks for no more.
const SEND_BUFFER: usize = 256 << 10;
/// The most that one read of HTTP/1 takes room for. Part of a read keeps all of its room: with larger ones, uploads
/// hold several times what they sent. A request's headers must fit in as well.
const READ_BUFFER: usize = 128 << 10;

/// What a listener serves.
pub struct Listener {
    /// What every handler shares.
    pub app: App,
    /// The routes.
    pub router: Router,
    /// What encrypts the connections, if anything.
    pub tls: Option<ServerTls>,
    /// The people whom the listener is for.
    pub whose: ListenerKind,
}

/// The people whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients of the registry, strangers among them.
    Clients,
    /// Operators, and what runs on this machine. They have places that clients cannot take.
    Operators,
}

/// Serves a router until `stop` says so, and then until what runs is over or `drain` has passed.
pub async fn serve(
    listener: TcpListener,
    Listener { app, router, tls, whose }: Listener,
    mut stop: watch::Receiver<bool>,
) {
    let limits = app.limits.clone();
    let entrance = ConnectionLimits::new(whose, &app, &listener);
    let drains = DrainBudget::new(limits.connections);
    // A connection that is over already cannot say which of its addresses it came to.
    let address = listener.local_addr().unwrap_or(app.origin.listen());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = entrance.accept(&listener) => accepted,
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

/// What happens to a connection without a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdleConnection {
    /// It is asked to end: HTTP/2 has no time-out of its own for it.
    Ends,
    /// It waits for the next request's head, which has one.
    Waits,
}

type ConnectionFailure = Box<dyn std::error::Error + Send + Sync>;

impl AcceptedConnection {
    async fn run(self, stream: TcpStream) -> Result<(), ConnectionFailure> {
        let (limits, mut stop) = (&self.app.limits, self.stop.clone());
        stream.set_nodelay(true)?;
        set_patience(&stream, limits.idle_timeout.get() * READER_PATIENCE)?;
        let header_timeout = limits.header_timeout.get();
        if let Some(tls) = self.tls.clone() {
            // In memory of its own: what it took is not kept for as long as the connection lasts.
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
            first_bytes::note_tls(self.door.connection);
        }
        Box::pin(self.serve(stream, protocol == FirstBytes::Http2)).await
    }

    /// Begins TLS. `None`: the client speaks http, and was told that this is wrong here.
    async fn handshake(
        &self,
        tls: ServerTls,
        stream: TcpStream,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        match FirstBytes::of(&stream).await? {
            FirstBytes::Tls | FirstBytes::Unknown => tls.acceptor().accept(stream).await.map(Some),
            FirstBytes::Http1 | FirstBytes::Http2 => {
                // Its request was not read, and more of it may come.
                self.door.arrivals.came();
                let patience = self.app.limits.idle_timeout.get();
                let stream = StagedClose::new(stream, &self.door, patience);
                first_bytes::turn_away(stream, self.door.connection).await.map(|()| None)
            }
        }
    }

    /// Serves a connection whose version is known.
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
                // It grows with what was read lately: who sends what nobody reads yet has little memory for it.
                .adaptive_window(true)
                .max_concurrent_streams(128)
                .max_header_list_size(64 << 10)
                .max_send_buf_size(SEND_BUFFER)
                .keep_alive_interval(Duration::from_secs(20))
                .serve_connection(TokioIo::new(stream), service);
            self.until_over((Box::pin(connection), IdleConnection::Ends), &watch).await
        } else {
            let stream = StagedClose::new(stream, &self.door, patience);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .max_buf_size(READ_BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            self.until_over((Box::pin(connection), IdleConnection::Waits), &watch).await
        }
    }

    /// Serves a connection to its end, which is near once the server stops, or the client is of no use. It comes in a
    /// box: it has the memory of its own version of HTTP, and not that of the larger one.
    async fn until_over<C>(
        &mut self,
        (mut connection, idle): (Pin<Box<C>>, IdleConnection),
        watch: &ConnectionWatch,
    ) -> Result<(), ConnectionFailure>
    where
        C: GracefulConnection<Error: Into<ConnectionFailure>>,
    {
        let mut looks = interval(readers::period(self.app.limits.idle_timeout.get()));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        looks.tick().await;
        let (mut ending, mut goodbye) = (false, 0);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return ended.map_err(Into::into),
                _ = self.stop.wait_for(|stop| *stop), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = watch.end_is_wanted() => {
                    return Err("its reader does not read, and others need the memory".into());
                }
                _ = looks.tick() => match watch.look() {
                    ConnectionState::Stuck => return Err("its reader does not read".into()),
                    ConnectionState::Idle if idle == IdleConnection::Ends => {
                        ending = true;
                        goodbye += 1;
                        if goodbye > GOODBYE {
                            return Err("it was not used, and did not end when it was asked to".into());
                        }
                        connection.as_mut().graceful_shutdown();
                    }
                    ConnectionState::Idle | ConnectionState::InUse => {}
                },
            }
        }
    }
}

/// Has TCP end the connection when its reader takes nothing: it would keep a buffer for ever.
fn set_patience(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // The kernel takes a signed number.
    let most = i32::MAX.unsigned_abs();
    let millis = u32::try_from(patience.as_millis()).unwrap_or(most).min(most);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?)
}
