//! Health checks and metrics.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::util::{Backend, Client, Image, TestServer};

#[tokio::test]
async fn probes_and_metrics_are_served() {
    let server = TestServer::start(Backend::Sqlite).await;
    let ops = Client::new(server.ops);
    assert_eq!(ops.get("/healthz").await.expect_status(200).body, "ok\n");
    assert_eq!(ops.get("/readyz").await.expect_status(200).body, "ready\n");
    Image::new(1).push(&server.admin(), ("p/r1/image", "latest")).await;
    server.admin().get("/v2/p/r1/image/manifests/latest").await.expect_status(200);
    let metrics = ops.get("/metrics").await.expect_status(200);
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(
        text.contains("berth_http_requests_total{route=\"manifest\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("berth_http_requests_total{route=\"upload\",status=\"201\"} 3"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
    // The operators' paths and the clients' paths are on different listeners.
    server.admin().get("/metrics").await.expect_status(404);
    ops.get("/v2/").await.expect_status(404);
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let server = TestServer::start(Backend::Sqlite).await;
    let own =
        server.admin().with_header("x-request-id", "build-17").get("/v2/").await.expect_status(200);
    assert_eq!(own.header("x-request-id"), "build-17");
    let harmful =
        server.admin().with_header("x-request-id", "a b").get("/v2/").await.expect_status(200);
    assert_eq!(harmful.header("x-request-id").len(), 16);
    let missing = server.admin().get("/nothing").await.expect_status(404);
    assert_eq!(missing.header("x-request-id").len(), 16);
}

/// A request whose client leaves is logged and counted, too.
#[tokio::test]
async fn clients_that_leave_are_counted() {
    let server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let upload = admin.start_upload("p/r1/image").await;
    let request = |length: u32| {
        format!(
            "PATCH {upload} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             content-length: {length}\r\n\r\n",
            admin.authorization()
        )
    };
    let connect = async || TcpStream::connect(server.address).await.expect("it listens");
    // The first request holds the upload, and the second one waits for it.
    let (mut first, mut second) = (connect().await, connect().await);
    first.write_all(request(10).as_bytes()).await.expect("open");
    while server.count_blob_files() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.wait_for_metrics("berth_http_requests_running 2").await;
    second.write_all(request(0).as_bytes()).await.expect("open");
    server.wait_for_metrics("berth_http_requests_running 3").await;
    drop(second);
    let line = "berth_http_requests_total{route=\"upload\",status=\"499\"} 1";
    server.wait_for_metrics(line).await;
}

/// The server tells the two versions of HTTP on its port apart by the first bytes.
#[tokio::test]
async fn http_1_and_http_2_share_a_port() {
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let server = TestServer::start(Backend::Sqlite).await;
    let stream = TcpStream::connect(server.address).await.expect("it listens");
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks it");
    tokio::spawn(connection);
    let admin = server.admin();
    let send = async |method: &str, path: &str, body: bytes::Bytes| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", server.address))
            .header("authorization", admin.authorization())
            .body(Full::new(body))
            .expect("a request");
        let answer = sender.clone().send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        (parts.status.as_u16(), body.collect().await.expect("a whole answer").to_bytes())
    };
    let bytes = crate::util::random_bytes(3_000_000, 2);
    let digest = crate::util::digest_of(&bytes);
    let push = format!("/v2/p/r1/image/blobs/uploads/?digest={digest}");
    assert_eq!(send("POST", &push, bytes.clone()).await.0, 201);
    let path = format!("/v2/p/r1/image/blobs/{digest}");
    let pulls = (0..8).map(|_| send("GET", &path, bytes::Bytes::new()));
    for (status, body) in futures_util::future::join_all(pulls).await {
        assert_eq!((status, body.len()), (200, bytes.len()));
    }
}
