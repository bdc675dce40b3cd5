//! An HTTP/1 connection for several requests. The client writes a whole request before it reads.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, Reply, with_deadline};

/// An HTTP/1 connection.
pub(crate) struct RawConnection {
    stream: TcpStream,
    headers: String,
}

/// The framing of a request's body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    Length,
    Chunked,
}

impl RawConnection {
    /// Connects. Each request gets the client's headers.
    pub(crate) async fn new(client: &Client) -> Self {
        let stream = TcpStream::connect(client.address()).await.expect("it listens");
        let host = client.headers().iter().any(|(name, _)| name == "host");
        let host = if host { String::new() } else { format!("host: {}\r\n", client.address()) };
        let lines = client.headers().iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        Self { stream, headers: lines.fold(host, |headers, line| headers + &line) }
    }

    /// Writes bytes as they are.
    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        with_deadline(self.stream.write_all(bytes)).await
    }

    /// Writes the head of a request, with further headers.
    pub(crate) async fn send_head(&mut self, line: &str, headers: &str) {
        let head = format!("{line} HTTP/1.1\r\n{}{headers}\r\n", self.headers);
        self.write_bytes(head.as_bytes()).await.expect("open");
    }

    /// Writes a whole request, even if the server answers before the end.
    pub(crate) async fn send_request(&mut self, line: &str, framing: Framing, length: usize) {
        let body = vec![b' '; length];
        let written = match framing {
            Framing::Length => {
                self.send_head(line, &format!("content-length: {length}\r\n")).await;
                self.write_bytes(&body).await
            }
            Framing::Chunked => {
                self.send_head(line, "transfer-encoding: chunked\r\n").await;
                let mut chunks = Vec::with_capacity(length + (length >> 10));
                for chunk in body.chunks(30_000) {
                    chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    chunks.extend_from_slice(chunk);
                    chunks.extend_from_slice(b"\r\n");
                }
                chunks.extend_from_slice(b"0\r\n\r\n");
                self.write_bytes(&chunks).await
            }
        };
        written.unwrap_or_else(|error| panic!("{line}, {framing:?}, {length}: {error}"));
    }

    /// Reads one answer.
    pub(crate) async fn read_answer(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(with_deadline(self.stream.read_u8()).await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("plain text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers: HeaderMap = pairs
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        let length = headers.get("content-length").and_then(|length| length.to_str().ok());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        with_deadline(self.stream.read_exact(&mut body)).await.expect("a whole answer");
        Reply { status: status.parse().expect("a number"), headers, body: body.into() }
    }

    /// Returns true if the server closed the connection. `Err` means that the connection was reset.
    pub(crate) async fn is_closed(&mut self) -> std::io::Result<bool> {
        Ok(with_deadline(self.stream.read(&mut [0])).await? == 0)
    }
}
