//! One HTTP/2 connection for many requests: REST, `/v2/` and gRPC.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use super::Reply;

/// An HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Http2Connection {
    sender: http2::SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Http2Connection {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { sender, address }
    }

    /// Sends a request. Trailers of the answer are added to its headers.
    pub(crate) async fn send(
        &self,
        (method, path): (Method, &str),
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Reply {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().expect("a URI");
        *request.headers_mut() = headers;
        let answer = self.sender.clone().send_request(request).await.expect("an answer");
        let (mut parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer");
        parts.headers.extend(body.trailers().cloned().unwrap_or_default());
        Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() }
    }

    /// Calls a method by gRPC. The status is in the header `grpc-status`.
    pub(crate) async fn call_grpc(
        &self,
        path: &str,
        headers: HeaderMap,
        message: &impl Message,
    ) -> Reply {
        self.call_grpc_with_bytes(path, headers, &message.encode_to_vec()).await
    }

    /// As [`Http2Connection::call_grpc`], with bytes that may be no message.
    pub(crate) async fn call_grpc_with_bytes(
        &self,
        path: &str,
        mut headers: HeaderMap,
        message: &[u8],
    ) -> Reply {
        let length = u32::try_from(message.len()).expect("a small message");
        let frame = [&[0][..], &length.to_be_bytes(), message].concat();
        headers.insert("content-type", "application/grpc".parse().expect("a header"));
        headers.insert("te", "trailers".parse().expect("a header"));
        self.send((Method::POST, path), headers, frame).await
    }
}

/// The headers of a caller with this token, or without one.
pub(crate) fn bearer_headers(token: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    headers
}
