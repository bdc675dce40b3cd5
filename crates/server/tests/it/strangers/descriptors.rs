//! Connections and downloads that would take every file descriptor.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::util::process::{BerthProcess, berth_command_with_files, parse_address};
use crate::util::{Client, random_bytes, wait_for_metrics, with_deadline};

const IMAGE: &str = "p/r1/image";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Deleting this tag writes to the database and needs no file.
const TAG: &str = "/v2/p/r1/image/manifests/deleted";

#[tokio::test]
async fn the_limit_of_open_files_is_raised() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command_with_files(&["serve", "--dev"], (256, 2048));
    let berth =
        BerthProcess::spawn(folder.path(), command.stderr(std::process::Stdio::null())).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", berth.process.0.id()));
    let limits = limits.expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert_eq!(line.split_whitespace().filter(|word| *word == "2048").count(), 2, "{line}");
}

/// With more connections than descriptors, blobs can still be read, and operators can connect.
#[tokio::test]
async fn connections_leave_descriptors_for_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let mut command = berth_command_with_files(&["serve", "--dev"], (1024, 1024));
    command.env("BERTH_LIMITS_HEADER_TIMEOUT", "60s");
    command.stderr(std::fs::File::create(&log).expect("writable"));
    let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
    let blob = berth.client.push_blob(IMAGE, random_bytes(100_000, 1)).await;
    let said = std::fs::read_to_string(&log).expect("text");
    assert!(said.contains("limits.connections is 10000"), "{said}");
    assert!(said.contains("768 connections"), "{said}");
    let mut inside = TcpStream::connect(berth.listen_address()).await.expect("it listens");
    inside.write_all(b"GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("open");
    let mut idle = JoinSet::new();
    for number in 0..1100_u16 {
        // A connection that is not accepted waits in the kernel, or is not even established. One network may have half
        // of the connections.
        let from = SocketAddr::from(([127, 0, 0, 1 + (number % 3) as u8], 0));
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(from).expect("ours");
        let connect = socket.connect(berth.listen_address());
        idle.spawn(async { (connect.await, std::future::pending::<()>().await) });
    }
    let ops = parse_address(&berth.addresses["ops"]);
    // The last connection is the one for the metrics.
    wait_for_metrics(ops, "berth_http_connections 769").await;
    Client::new(ops).get("/readyz").await.expect_status(200);
    let request = format!(
        "GET /v2/{IMAGE}/blobs/{blob} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    inside.write_all(request.as_bytes()).await.expect("open");
    let mut answers = Vec::new();
    with_deadline(inside.read_to_end(&mut answers)).await.expect("two answers");
    let text = String::from_utf8_lossy(&answers);
    assert_eq!(
        text.matches("HTTP/1.1 200").count(),
        2,
        "{}",
        text.lines().next().unwrap_or_default()
    );
    assert!(answers.len() > 100_000);
}

/// Each download has its file open. A client with too many downloads gets 503, and the database still works.
#[tokio::test]
async fn downloads_leave_descriptors_for_the_database() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command_with_files(&["serve", "--dev"], (256, 256));
    let berth =
        BerthProcess::spawn(folder.path(), command.stderr(std::process::Stdio::null())).await;
    let blob = berth.client.push_blob(IMAGE, random_bytes(3_000_000, 1)).await;
    let pusher = berth.client.clone().with_header("content-type", INDEX);
    pusher.put(TAG, "{\"schemaVersion\":2,\"manifests\":[]}").await.expect_status(201);
    let url = format!("http://{}/v2/{IMAGE}/blobs/{blob}", berth.listen_address());
    let mut senders = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake(TokioIo::new(stream))
            .await
            .expect("it speaks HTTP/2");
        tokio::spawn(connection);
        senders.push(sender);
    }
    wait_for_metrics(parse_address(&berth.addresses["ops"]), "berth_http_connections 4").await;
    let mut answers = Vec::new();
    for sender in &mut senders {
        for _ in 0..100 {
            let request = Request::get(&url).body(Empty::<Bytes>::new()).expect("a request");
            answers.push(with_deadline(sender.send_request(request)).await.expect("an answer"));
        }
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    // Requests that need no file work, also those that write to the database.
    let ops = Client::new(parse_address(&berth.addresses["ops"]));
    ops.get("/readyz").await.expect_status(200);
    let upload = format!("http://{}/v2/p/r1/other/blobs/uploads/", berth.listen_address());
    let upload = Request::post(upload).body(Empty::<Bytes>::new()).expect("a request");
    let started = with_deadline(senders[0].send_request(upload)).await.expect("an answer");
    assert_eq!(started.status(), 202);
    // A mount opens the blob's file, and is refused like a download.
    let mount = format!(
        "http://{}/v2/p/r1/other/blobs/uploads/?mount={blob}&from={IMAGE}",
        berth.listen_address()
    );
    let mount = Request::post(mount).body(Empty::<Bytes>::new()).expect("a request");
    let refused = with_deadline(senders[0].send_request(mount)).await.expect("an answer");
    assert_eq!(refused.status(), 503);
    drop((answers, senders));
    let path = format!("/v2/{IMAGE}/blobs/{blob}");
    let again = async {
        let is_served = async || {
            let reply = berth.client.try_send(Method::GET, &path, "").await;
            reply.is_ok_and(|reply| reply.status == 200)
        };
        while !is_served().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    with_deadline(again).await;
}
