//! The receiver of a webhook: a small HTTP server that records the requests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::config::{Config, WebhookSettings};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::with_deadline;

/// The receiver's behaviour.
#[derive(Clone)]
pub(crate) enum ReceiverAnswer {
    /// Answers 200.
    Take,
    /// Answers this status.
    Status(u16),
    /// Answers 400 to a message with this text in it, and 200 to any other.
    Refuse(&'static str),
    /// Redirects to this URL.
    Redirect(String),
    /// Closes the connection.
    Cut,
    /// Sends no answer.
    Hang,
    /// Answers 200, with a body that has no end.
    Endless,
}

/// A request that the receiver got.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    taken: bool,
}

impl ReceivedRequest {
    /// The message in the form of Artifact Registry.
    pub(crate) fn message_data(&self) -> Value {
        let data = self.body["message"]["data"].as_str().expect("text");
        let data = STANDARD.decode(data).expect("base64");
        serde_json::from_slice(&data).expect("JSON")
    }
}

/// A receiver, which ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    answer: watch::Sender<ReceiverAnswer>,
    heard: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (answer, answers) = watch::channel(ReceiverAnswer::Take);
        let heard: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        let hearing = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hearing, answers) = (hearing.clone(), answers.clone());
                let service = service_fn(move |request| {
                    let answer = answers.borrow().clone();
                    record_request(request, answer, hearing.clone())
                });
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, answer, heard }
    }

    /// Changes the behaviour.
    pub(crate) fn set_answer(&self, answer: ReceiverAnswer) {
        self.answer.send_replace(answer);
    }

    /// The settings of a webhook that posts to this receiver.
    pub(crate) fn webhook_settings(&self, name: &str) -> WebhookSettings {
        let url = format!("http://{}/hook", self.address);
        WebhookSettings { name: name.to_owned(), url, ..WebhookSettings::default() }
    }

    /// Adds the webhook to a server's settings.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.notifications.push(self.webhook_settings("w"));
        config.egress.allow.push(self.address.to_string());
    }

    /// All requests, accepted or not.
    pub(crate) fn all_requests(&self) -> Vec<ReceivedRequest> {
        self.heard.lock().expect("nobody panics with it").clone()
    }

    /// Waits until so many requests were accepted, and returns them.
    pub(crate) async fn wait_for_taken(&self, count: usize) -> Vec<ReceivedRequest> {
        let taken = async {
            loop {
                let taken: Vec<_> =
                    self.all_requests().into_iter().filter(|heard| heard.taken).collect();
                if taken.len() >= count {
                    return taken;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        with_deadline(taken).await
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn record_request(
    request: Request<Incoming>,
    answer: ReceiverAnswer,
    heard: Arc<Mutex<Vec<ReceivedRequest>>>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let mut heard_now = ReceivedRequest { headers: head.headers, body, taken: false };
    let status = match &answer {
        ReceiverAnswer::Take | ReceiverAnswer::Endless => 200,
        ReceiverAnswer::Status(status) => *status,
        ReceiverAnswer::Refuse(text) if heard_now.message_data().to_string().contains(text) => 400,
        ReceiverAnswer::Refuse(_) => 200,
        ReceiverAnswer::Redirect(_) => 307,
        ReceiverAnswer::Cut | ReceiverAnswer::Hang => 0,
    };
    heard_now.taken = (200..300).contains(&status);
    heard.lock().expect("nobody panics with it").push(heard_now);
    let body = match answer {
        ReceiverAnswer::Endless => {
            let frame = || Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])));
            StreamBody::new(futures_util::stream::repeat_with(frame)).boxed()
        }
        _ => Full::from("a secret of the receiver").boxed(),
    };
    let response = match answer {
        ReceiverAnswer::Cut => return Err(io::Error::other("cut")),
        ReceiverAnswer::Hang => std::future::pending().await,
        ReceiverAnswer::Redirect(to) => Response::builder().header("location", to),
        _ => Response::builder(),
    };
    Ok(response.status(status).body(body).expect("a response"))
}
