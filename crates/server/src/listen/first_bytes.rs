//! Tells a client's protocol by the first bytes of its connection, and answers a client that speaks the wrong one.

use std::io;
use std::net::SocketAddr;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use web::layer::ConnectionEnds;
use web::layer::log_throttle::LogThrottle;

/// The first bytes of an HTTP/2 connection.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS connection: the type of a handshake record.
const HANDSHAKE: u8 = 0x16;

/// The answer to a client that speaks HTTP where HTTPS is spoken.
const SPEAKS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 76\r\n\
    connection: close\r\n\r\n\
    this port speaks https: the address has to begin with https:// and not http\n";

/// The protocol that the first bytes of a connection tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstBytes {
    /// HTTP/1: the bytes are a method, or could be one.
    Http1,
    /// HTTP/2: the bytes are its preface.
    Http2,
    /// TLS: the bytes begin a handshake.
    Tls,
    /// None of these, or nothing at all.
    Unknown,
}

impl FirstBytes {
    /// Looks at a connection's first bytes without taking them. While they are only a part of the HTTP/2 preface, this
    /// waits until more bytes come.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        let peek = || {
            let mut start = [0; PREFACE.len()];
            let (_, length) = recv(stream, &mut start, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            let is_part =
                (1..PREFACE.len()).contains(&length) && PREFACE.starts_with(&start[..length]);
            // `WouldBlock` clears the readiness: the same bytes would otherwise be seen again at once.
            if is_part {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(Self::from_start(start))
            }
        };
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            match stream.try_io(Interest::READABLE, peek) {
                // The client has closed its side: nothing more will come.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() =>
                {
                    return Ok(Self::Unknown);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                decided => return decided,
            }
        }
    }

    fn from_start(start: [u8; PREFACE.len()]) -> Self {
        match start[0] {
            _ if start == PREFACE => Self::Http2,
            HANDSHAKE => Self::Tls,
            first if first.is_ascii_alphabetic() => Self::Http1,
            _ => Self::Unknown,
        }
    }
}

/// Tells a client that this port speaks HTTPS, and closes the connection as the stream does it.
pub(super) async fn refuse_plain_http(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: ConnectionEnds,
) -> io::Result<()> {
    static THROTTLE: LogThrottle = LogThrottle::new();
    if THROTTLE.is_time() {
        let ConnectionEnds { peer, local } = connection;
        tracing::info!(%peer, "{peer} spoke http to {local}, which speaks https, and was answered 400");
    }
    stream.write_all(SPEAKS_HTTPS).await?;
    stream.shutdown().await
}

/// Logs that a client spoke TLS to a port without it. Docker first tries TLS with each registry that it may reach
/// without: for clients of this machine, the line is for debugging only.
pub(super) fn log_tls(connection: ConnectionEnds) {
    static THROTTLE: LogThrottle = LogThrottle::new();
    if !THROTTLE.is_time() {
        return;
    }
    let ConnectionEnds { peer, local } = connection;
    if is_this_machine(peer) {
        tracing::debug!(%peer, "{peer} spoke TLS to {local}, which speaks http");
    } else {
        tracing::info!(
            %peer,
            "{peer} spoke TLS to {local}, which speaks http; docker does so with each of its insecure-registries, and \
             goes on without"
        );
    }
}

fn is_this_machine(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = str::from_utf8(SPEAKS_HTTPS).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
