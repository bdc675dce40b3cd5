//! Answers that nobody reads.

use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::util::process::{BerthProcess, berth_command};
use crate::util::{Client, random_bytes, with_deadline};

const IMAGE: &str = "p/r1/image";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MEBIBYTE: u64 = 1 << 20;

/// A figure of a process's memory, in bytes.
fn memory_figure(berth: &BerthProcess, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", berth.process.0.id()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("a figure");
    let kibibytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") << 10
}

async fn connect_http2(berth: &BerthProcess, window: u32) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(16 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

/// Sends requests on many streams, and reads no answer.
async fn request_unread(
    berth: &BerthProcess,
    path: &str,
    window: u32,
) -> (Vec<SendRequest<Empty<Bytes>>>, Vec<http::Response<Incoming>>) {
    let (mut senders, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut sender = connect_http2(berth, window).await;
        for _ in 0..100 {
            let request = Request::get(format!("http://{}{path}", berth.listen_address()));
            let request = request.body(Empty::new()).expect("a request");
            // The server ends connections when memory is short.
            match with_deadline(sender.send_request(request)).await {
                Ok(answer) => answers.push(answer),
                Err(_) => break,
            }
        }
        senders.push(sender);
    }
    (senders, answers)
}

async fn start_server(folder: &std::path::Path) -> BerthProcess {
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LIMITS_DOWNLOAD_MEMORY", "16MiB").stderr(Stdio::null());
    BerthProcess::spawn(folder, &mut command).await
}

/// Unread data is limited, and a client that reads gets everything.
#[tokio::test]
async fn unread_blobs_take_limited_memory() {
    for window in [0, 1] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let berth = start_server(folder.path()).await;
        let bytes = random_bytes(3_000_000, 1);
        let blob = berth.client.push_blob(IMAGE, bytes.clone()).await;
        let path = format!("/v2/{IMAGE}/blobs/{blob}");
        let before = memory_figure(&berth, "VmRSS");
        let held = request_unread(&berth, &path, window).await;
        let grown = memory_figure(&berth, "VmRSS").saturating_sub(before);
        assert!(grown < 64 * MEBIBYTE, "{} MiB of 400 streams", grown / MEBIBYTE);
        for client in [berth.client.clone(), berth.client.clone().over_http2()] {
            let read = with_deadline(client.get(&path)).await.expect_status(200);
            assert!(read.body == bytes, "whole and right");
        }
        drop(held);
    }
}

/// A large manifest is in memory once for all requests.
#[tokio::test]
async fn unread_manifests_take_limited_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = start_server(folder.path()).await;
    let filler = "x".repeat(4_000_000);
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[],\
         \"annotations\":{{\"a\":\"{filler}\"}}}}"
    );
    let path = format!("/v2/{IMAGE}/manifests/large");
    let pusher = berth.client.clone().with_header(CONTENT_TYPE.as_str(), INDEX);
    pusher.put(&path, manifest.clone()).await.expect_status(201);
    let before = memory_figure(&berth, "VmRSS");
    let held = request_unread(&berth, &path, 1).await;
    let grown = memory_figure(&berth, "VmRSS").saturating_sub(before);
    assert!(grown < 96 * MEBIBYTE, "{} MiB of 400 streams", grown / MEBIBYTE);
    for client in [berth.client.clone(), berth.client.clone().over_http2()] {
        let read = with_deadline(client.get(&path)).await.expect_status(200);
        assert!(read.body == manifest, "whole and right");
    }
    drop(held);
}

/// The frames give the same bytes for every window size.
#[tokio::test]
async fn frames_follow_every_window() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = start_server(folder.path()).await;
    let bytes = random_bytes(2_000_001, 1);
    let blob = berth.client.push_blob(IMAGE, bytes.clone()).await;
    for window in [1000, 16_384, 65_535, 1 << 20, 8 << 20] {
        let mut sender = connect_http2(&berth, window).await;
        for range in [None, Some("bytes=1-1999999")] {
            let mut request =
                Request::get(format!("http://{}/v2/{IMAGE}/blobs/{blob}", berth.listen_address()));
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let request = request.body(Empty::<Bytes>::new()).expect("a request");
            let answer = with_deadline(sender.send_request(request)).await.expect("an answer");
            let body =
                with_deadline(answer.into_body().collect()).await.expect("all of it").to_bytes();
            let expected = if range.is_some() { bytes.slice(1..2_000_000) } else { bytes.clone() };
            assert!(body == expected, "{window}: {} bytes", body.len());
        }
    }
}

/// 32 manifests of maximal size come at once. Each is accepted or refused, and the process stays within the memory of a
/// small machine.
#[tokio::test]
async fn concurrent_large_manifests_take_limited_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = start_server(folder.path()).await;
    let put = |client: Client, number: usize| async move {
        let filler = "x".repeat(4_000_000);
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[],\
             \"annotations\":{{\"a\":\"{number}{filler}\"}}}}"
        );
        let path = format!("/v2/{IMAGE}/manifests/large{number}");
        let client = client.with_header(CONTENT_TYPE.as_str(), INDEX);
        let reply = client.try_send(http::Method::PUT, &path, manifest).await;
        reply.map_or(0, |reply| reply.status.as_u16())
    };
    let mut pushes = tokio::task::JoinSet::new();
    (0..32).for_each(|number| drop(pushes.spawn(put(berth.client.clone(), number))));
    let statuses = with_deadline(pushes.join_all()).await;
    // The connection may be closed while a client sends a refused manifest.
    assert!(statuses.iter().all(|status| [0, 201, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&201), "{statuses:?}");
    berth.client.get("/v2/").await.expect_status(200);
    let most = memory_figure(&berth, "VmHWM");
    assert!(most < 256 * MEBIBYTE, "{} MiB", most / MEBIBYTE);
}
