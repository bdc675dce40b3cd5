//! An HTTP client that changes nothing of a request and shows the whole answer.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::digest::Digest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::image::manifest_path;
use super::next_page;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The status and the OCI error code, as in `404 BLOB_UNKNOWN`.
    pub(crate) fn oci_outcome(&self) -> String {
        let code = &self.json()["errors"][0]["code"];
        format!("{} {}", self.status.as_u16(), code.as_str().unwrap_or_default()).trim().to_owned()
    }

    /// The message of the first OCI error.
    pub(crate) fn oci_message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The status and the name in an error of Google's, as in `403 PERMISSION_DENIED`.
    pub(crate) fn google_outcome(&self) -> String {
        let name = &self.json()["error"]["status"];
        format!("{} {}", self.status.as_u16(), name.as_str().unwrap_or_default()).trim().to_owned()
    }

    /// Asserts status and name of an error of Google's.
    #[track_caller]
    pub(crate) fn expect_google_error(self, outcome: &str) -> Self {
        assert_eq!(self.google_outcome(), outcome, "{self:#?}");
        self
    }

    /// Returns true if the status is 401 or 403.
    pub(crate) fn is_refused(&self) -> bool {
        [401, 403].contains(&self.status.as_u16())
    }

    /// Asserts the status, and shows the whole answer if the status is another.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        self
    }

    /// Asserts the status and the OCI error code, and that the error has a hint.
    #[track_caller]
    pub(crate) fn expect_oci_error(self, outcome: &str) -> Self {
        assert_eq!(self.oci_outcome(), outcome, "{self:#?}");
        let json = self.json();
        let hint = json["errors"][0]["detail"]["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "no hint: {}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// A client of one server.
/// An answer whose body comes.
pub(crate) struct OpenReply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
}

impl OpenReply {
    /// The next bytes, or nothing after the end and after an error.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.body.frame().await?.ok()?.into_data().ok()
    }

    /// Compares what comes with the expected bytes. Returns how many came.
    pub(crate) async fn expect_bytes(&mut self, expected: &[u8]) -> usize {
        let mut read = 0;
        while read < expected.len()
            && let Some(frame) = self.next().await
        {
            assert!(expected[read..].starts_with(&frame), "other bytes at {read}");
            read += frame.len();
        }
        read
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    http2: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new(), http2: false }
    }

    /// Speaks HTTP/2 from now on.
    pub(crate) fn over_http2(self) -> Self {
        Self { http2: true, ..self }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of the header with the credential.
    pub(crate) fn authorization(&self) -> &str {
        let found = self.headers.iter().find(|(name, _)| name == "authorization");
        found.map(|(_, value)| value.as_str()).expect("a client with a credential")
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Sends a user name and a password, as docker does.
    pub(crate) fn with_password(self, user: &str, password: &str) -> Self {
        let credential = STANDARD.encode(format!("{user}:{password}"));
        self.with_header("authorization", &format!("Basic {credential}"))
    }

    /// Adds a header to every request.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        self.try_send(method, path, body).await.expect("an answer")
    }

    /// As [`Client::send`], for a server that may close the connection without an answer.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Reply> {
        let OpenReply { status, headers, body } = self.try_open(method, path, body.into()).await?;
        // A test may be about a body that is cut short, so an error only ends the body.
        let mut rest = OpenReply { status, headers: HeaderMap::new(), body };
        let mut bytes = Vec::new();
        while let Some(frame) = rest.next().await {
            bytes.extend_from_slice(&frame);
        }
        Ok(Reply { status, headers, body: bytes.into() })
    }

    /// Asks for a path, and leaves the body to be read as it comes.
    pub(crate) async fn open(&self, path: &str) -> OpenReply {
        self.try_open(Method::GET, path, Bytes::new()).await.expect("an answer")
    }

    async fn try_open(&self, method: Method, path: &str, body: Bytes) -> hyper::Result<OpenReply> {
        let host = self.address.to_string();
        let host =
            self.headers.iter().find(|(name, _)| name == "host").map_or(&host, |(_, host)| host);
        // HTTP/2 names the host in the address.
        let mut request = if self.http2 {
            Request::builder().uri(format!("http://{host}{path}"))
        } else {
            Request::builder().uri(path).header("host", host)
        };
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let request = request.method(method).body(Full::new(body)).expect("a request");
        let io = TokioIo::new(TcpStream::connect(self.address).await.expect("it listens"));
        let answer = if self.http2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.expect("it speaks HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = http1::handshake(io).await.expect("it speaks HTTP");
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (parts, body) = answer?.into_parts();
        Ok(OpenReply { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.send(Method::HEAD, path, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::PATCH, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::PUT, path, body).await
    }

    /// Starts an upload, and returns its path.
    pub(crate) async fn start_upload(&self, image: &str) -> String {
        let reply = self.post(&format!("/v2/{image}/blobs/uploads/"), "").await.expect_status(202);
        reply.header("location").to_owned()
    }

    /// Pushes a blob, and returns its digest.
    pub(crate) async fn push_blob(&self, image: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let path = format!("/v2/{image}/blobs/uploads/?digest={digest}");
        self.post(&path, bytes).await.expect_status(201);
        digest
    }

    /// Pushes a manifest under a tag or digest.
    pub(crate) async fn push_manifest(
        &self,
        (image, reference): (&str, &str),
        media_type: &str,
        manifest: impl Into<Bytes>,
    ) -> Reply {
        let client = self.clone().with_header("content-type", media_type);
        client.put(&format!("/v2/{image}/manifests/{reference}"), manifest).await
    }

    /// Gets the digest that a tag points to.
    pub(crate) async fn tagged_digest(&self, image: &str, tag: &str) -> String {
        let found = self.head(&manifest_path(image, tag)).await.expect_status(200);
        found.header("docker-content-digest").to_owned()
    }

    /// Gets a list page by page, by the `Link` header of each answer.
    pub(crate) async fn get_pages(&self, path: &str) -> Vec<Reply> {
        let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let page = self.get(&path).await.expect_status(200);
            next = next_page(&page);
            pages.push(page);
        }
        pages
    }

    /// Writes bytes to a connection as they are, and reads until the server closes it.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut read, mut write) = stream.split();
        let mut answer = Vec::new();
        // The server may answer and close the connection before everything is written.
        let _ = tokio::join!(write.write_all(bytes), read.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }
}
