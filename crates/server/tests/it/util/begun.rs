//! A request whose head was sent and whose body the server waits for.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, Reply, with_deadline};

/// A request that the server has authenticated and authorized, and whose body it has asked for.
pub(crate) struct PendingRequest(TcpStream);

impl PendingRequest {
    /// Sends the head of a request with a body of this length. Fails if the server answers at once.
    pub(crate) async fn new(
        client: &Client,
        (method, path): (Method, &str),
        length: usize,
    ) -> Self {
        let mut stream = TcpStream::connect(client.address()).await.expect("it listens");
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\
             expect: 100-continue\r\nconnection: close\r\n",
            client.address()
        );
        for (name, value) in client.headers() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.expect("open");
        let mut begun = Self(stream);
        let asked = with_deadline(begun.read_head()).await;
        assert_eq!(asked.0, StatusCode::CONTINUE, "{asked:?}");
        begun
    }

    /// Sends the body, and reads the answer.
    pub(crate) async fn finish(mut self, body: impl Into<Bytes>) -> Reply {
        self.0.write_all(&body.into()).await.expect("open");
        let (status, headers) = with_deadline(self.read_head()).await;
        let mut body = Vec::new();
        with_deadline(self.0.read_to_end(&mut body)).await.expect("closed at the end");
        Reply { status, headers, body: body.into() }
    }

    /// Reads up to the empty line.
    async fn read_head(&mut self) -> (StatusCode, HeaderMap) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("plain text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        (status.parse().expect("a number"), headers.collect())
    }
}
