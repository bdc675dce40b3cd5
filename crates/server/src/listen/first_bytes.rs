//! What a client speaks, as the first bytes of its connection say, and what becomes of one that took one port for another.

use std::io;
use std::net::SocketAddr;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use web::layer::ConnectionEnds;
use web::layer::log_throttle::LogThrottle;

/// How HTTP/2 connections begin.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How TLS connections begin: with a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// What a client hears that speaks http where https is spoken.
const SPEAKS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 76\r\n\
    connection: close\r\n\r\n\
    this port speaks https: the address has to begin with https:// and not http\n";

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstBytes {
    /// A method, or what could be one.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A handshake.
    Tls,
    /// None of these, or nothing at all.
    Unknown,
}

impl FirstBytes {
    /// Looks at a connection's first bytes without taking them. While they are only a part of the preface, this sleeps
    /// until more comes.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        let peek = || {
            let mut start = [0; PREFACE.len()];
            let (_, length) = recv(stream, &mut start, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            let is_part =
                (1..PREFACE.len()).contains(&length) && PREFACE.starts_with(&start[..length]);
            // What is there would be seen again at once: so it is treated as if nothing were.
            if is_part { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(Self::told_by(start)) }
        };
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            match stream.try_io(Interest::READABLE, peek) {
                // Nothing more will come.
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

    fn told_by(start: [u8; PREFACE.len()]) -> Self {
        match start[0] {
            _ if start == PREFACE => Self::Http2,
            HANDSHAKE => Self::Tls,
            first if first.is_ascii_alphabetic() => Self::Http1,
            _ => Self::Unknown,
        }
    }
}

/// Tells a client that this port speaks https. How the connection is closed is for the stream to know.
pub(super) async fn turn_away(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: ConnectionEnds,
) -> io::Result<()> {
    static SAID: LogThrottle = LogThrottle::new();
    if SAID.is_time() {
        let ConnectionEnds { peer, local } = connection;
        tracing::info!(%peer, "{peer} spoke http to {local}, which speaks https, and was told so");
    }
    stream.write_all(SPEAKS_HTTPS).await?;
    stream.shutdown().await
}

/// Says that a client spoke TLS to a port that speaks http. Docker does it with each registry that it may reach without
/// TLS, before it goes on without: so for this machine's own clients it is no news.
pub(super) fn note_tls(connection: ConnectionEnds) {
    static SAID: LogThrottle = LogThrottle::new();
    if !SAID.is_time() {
        return;
    }
    let ConnectionEnds { peer, local } = connection;
    if is_near(peer) {
        tracing::debug!(%peer, "{peer} spoke TLS to {local}, which speaks http");
    } else {
        tracing::info!(
            %peer,
            "{peer} spoke TLS to {local}, which speaks http; docker does so with each of its insecure-registries, and \
             goes on without"
        );
    }
}

fn is_near(peer: SocketAddr) -> bool {
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
