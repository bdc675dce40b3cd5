//! A registry that answers what the test says, and records what it is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::response::Builder;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::media_type::OCI_MANIFEST;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::Image;
use super::image::{blob_path, digest_of, manifest_path};

/// The path that tells a registry, which answers 200 here if the test does not say otherwise.
pub(crate) const REGISTRY_PATH: &str = "/v2/";

/// An answer.
#[derive(Clone)]
pub(crate) enum UpstreamAnswer {
    /// 200 with these bytes, this type, and perhaps a digest.
    Content { bytes: Bytes, media_type: &'static str, digest: Option<String> },
    /// A status, with a header and a body.
    Status { status: u16, header: (&'static str, String), body: String },
    /// 200 and the beginning of the bytes. Then the connection ends.
    Cut { bytes: Bytes, announced: usize },
    /// Content that ends too early, each time after so many more bytes. It sends parts if `ranges` says so.
    Breaking { bytes: Bytes, after: usize, ranges: bool },
    /// Content whose first bytes are sent at once, and whose rest waits for the gate.
    Gated { bytes: Bytes, first: usize, gate: Arc<Semaphore> },
    /// Content of which so much is sent as the test allows. The connection ends at each of the `breaks`, and parts from
    /// there on are sent on the next one.
    Paced { bytes: Bytes, allowed: watch::Receiver<usize>, breaks: Vec<usize> },
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
    /// The number of requests for `/v2/`, which are not among the others.
    checks: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl ScriptedUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let answers: Arc<Mutex<HashMap<String, UpstreamAnswer>>> = Arc::default();
        let asked: Arc<Mutex<Vec<AskedRequest>>> = Arc::default();
        let checks = Arc::new(AtomicUsize::new(0));
        let (script, record, counted) = (answers.clone(), asked.clone(), checks.clone());
        let (stop, mut stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    Ok(()) = &mut stopped => break,
                };
                let Ok((stream, _)) = accepted else { break };
                let (script, record, counted) = (script.clone(), record.clone(), counted.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    let line = format!("{} {path}", request.method());
                    let query = request.uri().query().unwrap_or_default().to_owned();
                    let headers = request.headers().clone();
                    let start = range_start(&headers);
                    let asked = AskedRequest { line, query, headers };
                    let mut answer = script.lock().expect("no panic").get(&path).cloned();
                    while let Some(UpstreamAnswer::Guarded { authorization, content, refusal }) =
                        answer
                    {
                        let is_right = asked.authorization() == authorization;
                        answer = Some(if is_right { *content } else { *refusal });
                    }
                    let answer = if path == REGISTRY_PATH {
                        counted.fetch_add(1, Ordering::Relaxed);
                        answer.or_else(|| Some(UpstreamAnswer::status(200)))
                    } else {
                        record.lock().expect("no panic").push(asked);
                        answer
                    };
                    respond(request.method().clone(), answer, start)
                });
                let connection = http1::Builder::new();
                connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
            drop(listener);
            connections.shutdown().await;
        });
        Self { address, answers, asked, checks, stop: Some(stop), running }
    }

    /// Ends all connections, and refuses new ones from now on.
    pub(crate) async fn stop(&mut self) {
        self.stop.take().expect("it runs").send(()).expect("it runs");
        (&mut self.running).await.expect("no panic");
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

    /// The number of times that somebody asked whether this is a registry.
    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    /// The requests so far, without those for `/v2/`.
    pub(crate) fn asked(&self) -> Vec<AskedRequest> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The number of requests with this method and path.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line == line).count()
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The first byte that a request asks for.
fn range_start(headers: &HeaderMap) -> usize {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    start.map_or(0, |start| start.parse().expect("a number"))
}

type Frames = BoxStream<'static, std::io::Result<Frame<Bytes>>>;

/// A body of known length, as it comes.
fn streamed(head: Builder, length: usize, frames: Frames) -> http::Result<Response<Body>> {
    head.header("content-length", length).body(BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// The head of an answer from `start` on.
fn part_head(start: usize, size: usize) -> Builder {
    if start == 0 {
        return Response::builder();
    }
    let range = format!("bytes {start}-{}/{size}", size - 1);
    Response::builder().status(206).header("content-range", range)
}

/// The bytes from `start` up to `end`, as the test allows them.
fn paced(bytes: Bytes, (start, end): (usize, usize), allowed: watch::Receiver<usize>) -> Frames {
    Box::pin(stream::unfold((start, allowed), move |(at, mut allowed)| {
        let bytes = bytes.clone();
        async move {
            if at >= end {
                return None;
            }
            let next = end.min(*allowed.wait_for(|allowed| *allowed > at).await.ok()?);
            Some((Ok(Frame::data(bytes.slice(at..next))), (next, allowed)))
        }
    }))
}

/// An error that ends a connection, after what was sent before it has arrived.
async fn cut() -> std::io::Result<Frame<Bytes>> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Err(std::io::Error::other("cut on purpose"))
}

async fn respond(
    method: Method,
    answer: Option<UpstreamAnswer>,
    start: usize,
) -> http::Result<Response<Body>> {
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
            let frames = stream::iter([Ok(Frame::data(bytes))]).chain(stream::once(cut()));
            streamed(Response::builder(), announced, Box::pin(frames))
        }
        UpstreamAnswer::Breaking { bytes, after, ranges } => {
            let (start, size) = (if ranges { start } else { 0 }, bytes.len());
            let sent = bytes.slice(start..size.min(start + after));
            let begun = stream::iter([Ok(Frame::data(sent))]);
            let frames: Frames = if start + after < size {
                Box::pin(begun.chain(stream::once(cut())))
            } else {
                Box::pin(begun)
            };
            streamed(part_head(start, size), size - start, frames)
        }
        UpstreamAnswer::Paced { bytes, allowed, breaks } => {
            let size = bytes.len();
            let end = breaks.into_iter().find(|at| *at > start).unwrap_or(size);
            let mut frames = paced(bytes, (start, end), allowed);
            if end < size {
                frames = Box::pin(frames.chain(stream::once(cut())));
            }
            streamed(part_head(start, size), size - start, frames)
        }
        UpstreamAnswer::Gated { bytes, first, gate } => {
            let (begun, rest) = (bytes.slice(..first), bytes.slice(first..));
            let rest = async move {
                let _opened = gate.acquire().await;
                Ok(Frame::data(rest))
            };
            let frames = stream::iter([Ok(Frame::data(begun))]).chain(stream::once(rest));
            streamed(Response::builder(), bytes.len(), Box::pin(frames))
        }
        UpstreamAnswer::Guarded { .. } => unreachable!("it was decided before"),
        UpstreamAnswer::Hang => std::future::pending().await,
    }
}
