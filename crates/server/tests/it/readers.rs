//! Clients that do not read their answers.

use std::time::Duration;

use berth_server::config::DurationSetting;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::util::{Backend, Image, TestServer, random_bytes, with_deadline};

const IMAGE: &str = "p/r1/image";

async fn impatient_server() -> TestServer {
    TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "300ms".parse::<DurationSetting>().expect("a time");
    })
    .await
}

/// An HTTP/2 client whose streams have a window of `window` bytes. It answers every ping.
async fn connect_http2(
    server: &TestServer,
    window: u32,
) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.expect("it listens");
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    (sender, tokio::spawn(connection))
}

async fn begin_get(
    sender: &mut SendRequest<Empty<Bytes>>,
    server: &TestServer,
    path: &str,
) -> http::Response<Incoming> {
    let request = Request::get(format!("http://{}{path}", server.address))
        .header("authorization", server.admin().authorization())
        .body(Empty::new())
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer
}

/// A connection is ended if its windows are empty or have one byte, whatever the answers contain.
#[tokio::test]
async fn http_2_connections_with_unread_answers_are_ended() {
    let server = impatient_server().await;
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    let blob = admin.push_blob(IMAGE, random_bytes(3_000_000, 1)).await;
    let (manifest, blob) =
        (format!("/v2/{IMAGE}/manifests/latest"), format!("/v2/{IMAGE}/blobs/{blob}"));
    for window in [0, 1] {
        for path in [&manifest, &blob] {
            let (mut sender, connection) = connect_http2(&server, window).await;
            let mut answers = Vec::new();
            for _ in 0..8 {
                answers.push(begin_get(&mut sender, &server, path).await);
            }
            server.wait_for_metrics("berth_http_connections 1").await;
            server.wait_for_metrics("berth_http_requests_running 1").await;
            with_deadline(connection).await.expect("it runs").expect_err("cut in the middle");
            drop(answers);
        }
    }
}

/// Other requests on the connection do not keep an unread answer alive.
#[tokio::test]
async fn http_2_answers_are_judged_one_by_one() {
    let server = impatient_server().await;
    let admin = server.admin();
    let blob = admin.push_blob(IMAGE, random_bytes(3_000_000, 1)).await;
    let path = format!("/v2/{IMAGE}/blobs/{blob}");
    let (mut sender, connection) = connect_http2(&server, 0).await;
    let _stuck = begin_get(&mut sender, &server, &path).await;
    let busy = tokio::spawn(async move {
        while !connection.is_finished() {
            let request = Request::head(format!("http://{}{path}", server.address));
            let request = request.header("authorization", admin.authorization());
            let request = request.body(Empty::new());
            let _ = sender.send_request(request.expect("a request")).await;
        }
        server
    });
    with_deadline(busy).await.expect("it runs").wait_for_metrics("berth_http_connections 1").await;
}

#[tokio::test]
async fn http_2_connections_without_a_request_are_ended() {
    let server = impatient_server().await;
    let (mut sender, connection) = connect_http2(&server, 1 << 20).await;
    drop(begin_get(&mut sender, &server, "/v2/").await);
    with_deadline(connection).await.expect("it runs").expect("a gentle end");
    server.wait_for_metrics("berth_http_connections 1").await;
}

/// A client that reads a few bytes now and then opens TCP's window each time, so that only the server can end the
/// connection.
#[tokio::test]
async fn http_1_connections_with_slow_readers_are_ended() {
    let server = impatient_server().await;
    let admin = server.admin();
    let blob = admin.push_blob(IMAGE, random_bytes(20_000_000, 1)).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1).expect("a size");
    let mut stream = socket.connect(server.address).await.expect("it listens");
    let request = format!(
        "GET /v2/{IMAGE}/blobs/{blob} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: {}\r\n\r\n",
        admin.authorization()
    );
    stream.write_all(request.as_bytes()).await.expect("open");
    let trickle = tokio::spawn(async move {
        let mut some = [0; 600];
        while stream.read(&mut some).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    server.wait_for_metrics("berth_http_connections 1").await;
    trickle.abort();
}
