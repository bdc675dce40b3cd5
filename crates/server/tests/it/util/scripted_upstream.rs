//! A registry that answers what the test says, and records what it is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::media_type::OCI_MANIFEST;
use tokio::net::TcpListener;

use super::Image;
use super::image::{blob_path, digest_of, manifest_path};

/// An answer.
#[derive(Clone)]
pub(crate) enum UpstreamAnswer {
    /// 200 with these bytes, this type, and perhaps a digest.
    Content { bytes: Bytes, media_type: &'static str, digest: Option<String> },
    /// A status, with a header and a body.
    Status { status: u16, header: (&'static str, String), body: String },
    /// 200 and the beginning of the bytes. Then the connection ends.
    Cut { bytes: Bytes, announced: usize },
    /// One answer to requests with this value of `Authorization`, and another to all others.
    Guarded { authorization: String, content: Box<UpstreamAnswer>, refusal: Box<UpstreamAnswer> },
    /// No answer.
    Hang,
}

impl UpstreamAnswer {
    /// A status without more.
    pub(crate) fn status(status: u16) -> Self {
        Self::Status { status, header: ("x-none", String::new()), body: String::new() }
    }

    /// A redirect.
    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::Status { status: 307, header: ("location", to.into()), body: String::new() }
    }

    /// A refusal with a challenge.
    pub(crate) fn challenge(challenge: impl Into<String>) -> Self {
        let header = ("www-authenticate", challenge.into());
        Self::Status { status: 401, header, body: String::new() }
    }

    /// This answer to requests with a value of `Authorization`, and a refusal to all others.
    pub(crate) fn guarded(self, authorization: impl Into<String>, refusal: Self) -> Self {
        let (content, refusal) = (Box::new(self), Box::new(refusal));
        Self::Guarded { authorization: authorization.into(), content, refusal }
    }

    /// These bytes as a blob.
    pub(crate) fn blob(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Content { bytes, media_type: "application/octet-stream", digest: None }
    }
}

/// A request that the registry got.
#[derive(Clone, Debug)]
pub(crate) struct AskedRequest {
    /// The method and the path.
    pub(crate) line: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

impl AskedRequest {
    /// The value of `Authorization`, or an empty text.
    pub(crate) fn authorization(&self) -> &str {
        self.headers.get("authorization").map_or("", |value| value.to_str().expect("text"))
    }
}

/// The registry. It ends with the test's runtime.
pub(crate) struct ScriptedUpstream {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, UpstreamAnswer>>>,
    asked: Arc<Mutex<Vec<AskedRequest>>>,
}

impl ScriptedUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let answers: Arc<Mutex<HashMap<String, UpstreamAnswer>>> = Arc::default();
        let asked: Arc<Mutex<Vec<AskedRequest>>> = Arc::default();
        let (script, record) = (answers.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, record) = (script.clone(), record.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    let line = format!("{} {path}", request.method());
                    let query = request.uri().query().unwrap_or_default().to_owned();
                    let headers = request.headers().clone();
                    let asked = AskedRequest { line, query, headers };
                    let mut answer = script.lock().expect("no panic").get(&path).cloned();
                    while let Some(UpstreamAnswer::Guarded { authorization, content, refusal }) =
                        answer
                    {
                        let is_right = asked.authorization() == authorization;
                        answer = Some(if is_right { *content } else { *refusal });
                    }
                    record.lock().expect("no panic").push(asked);
                    respond(request.method().clone(), answer)
                });
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, answers, asked }
    }

    /// The URL of the registry.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer to requests for a path. Other paths are not found.
    pub(crate) fn set(&self, path: &str, answer: UpstreamAnswer) {
        self.answers.lock().expect("no panic").insert(path.to_owned(), answer);
    }

    /// Sets the same answer for every path that has one.
    pub(crate) fn set_all(&self, answer: &UpstreamAnswer) {
        self.answers.lock().expect("no panic").values_mut().for_each(|old| *old = answer.clone());
    }

    /// Gives what is there only to requests with this value of `Authorization`, and `refusal` to all others.
    pub(crate) fn guard(&self, authorization: &str, refusal: &UpstreamAnswer) {
        let mut answers = self.answers.lock().expect("no panic");
        for answer in answers.values_mut() {
            *answer = answer.clone().guarded(authorization, refusal.clone());
        }
    }

    /// Serves an image under a tag.
    pub(crate) fn serve(&self, image: &Image, (name, tag): (&str, &str)) {
        let digest = image.digest();
        let manifest = UpstreamAnswer::Content {
            bytes: image.manifest.clone().into(),
            media_type: OCI_MANIFEST,
            digest: Some(digest.clone()),
        };
        self.set(&manifest_path(name, tag), manifest.clone());
        self.set(&manifest_path(name, digest), manifest);
        for blob in &image.blobs {
            self.set(&blob_path(name, digest_of(blob)), UpstreamAnswer::blob(blob.clone()));
        }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<AskedRequest> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The number of requests with this method and path.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line == line).count()
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

async fn respond(method: Method, answer: Option<UpstreamAnswer>) -> http::Result<Response<Body>> {
    match answer.unwrap_or_else(|| UpstreamAnswer::status(404)) {
        UpstreamAnswer::Content { bytes, media_type, digest } => {
            let mut head = Response::builder()
                .header("content-type", media_type)
                .header("content-length", bytes.len());
            if let Some(digest) = digest {
                head = head.header("docker-content-digest", digest);
            }
            head.body(whole(if method == Method::HEAD { Bytes::new() } else { bytes }))
        }
        UpstreamAnswer::Status { status, header: (name, value), body } => {
            Response::builder().status(status).header(name, value).body(whole(body))
        }
        UpstreamAnswer::Cut { bytes, announced } => {
            // The head and the beginning are sent before the connection ends.
            let broken = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("cut on purpose"))
            };
            let begun = stream::iter([Ok(Frame::data(bytes))]);
            let body = BodyExt::boxed(StreamBody::new(begun.chain(stream::once(broken))));
            Response::builder().header("content-length", announced).body(body)
        }
        UpstreamAnswer::Guarded { .. } => unreachable!("it was decided before"),
        UpstreamAnswer::Hang => std::future::pending().await,
    }
}
