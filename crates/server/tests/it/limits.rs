//! Limits for slow and greedy clients.

use std::time::Duration;

use berth_server::config::{DurationSetting, MemorySetting};
use meta::uploads;
use model::byte_range::MAX_BLOB_BYTES;
use model::digest::{DigestAlgorithm, DigestHasher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::callers::principal_of;
use crate::util::{AccountServer, Backend, TestServer, digest_of, on_both, with_deadline};

const IMAGE: &str = "p/r1/image";

#[tokio::test]
async fn a_head_that_stops_coming_closes_the_connection() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.header_timeout = "200ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    for start in ["", "G", "PRI * HTTP", "GET /v2/ HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(start.as_bytes()).await.expect("open");
        let mut answer = String::new();
        // The connection is closed without an answer, or reset if something was left unread.
        let _ = with_deadline(stream.read_to_string(&mut answer)).await;
        assert_eq!(answer, "", "{start}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_times_out() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "300ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    let stuck = |path: &str| {
        format!(
            "PATCH {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             connection: close\r\ncontent-length: 100\r\n\r\n0123456789",
            admin.authorization()
        )
    };
    let answer = admin.send_raw(stuck(&upload).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let status = admin.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), "0-9", "what came is kept");
    let put = stuck(&format!("/v2/{IMAGE}/manifests/x")).replacen("PATCH", "PUT", 1);
    let answer = admin.send_raw(put.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let path = format!("{upload}?digest={}", digest_of("0123456789abc"));
    admin.put(&path, "abc").await.expect_status(201);
}

/// The body never pauses and never ends.
#[tokio::test]
async fn a_manifest_that_trickles_times_out() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "300ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    let stream = begin_manifest(&server, 0).await;
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    with_deadline(read.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    trickle.abort();
}

/// Memory suffices for one of two bodies. The server gives one up and receives the other one.
#[tokio::test]
async fn manifests_share_one_memory() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.upload_memory = MemorySetting::mebibytes(4);
    })
    .await;
    let mut streams =
        [begin_manifest(&server, 3_000_000).await, begin_manifest(&server, 3_000_000).await];
    let mut answer = [0; 12];
    let [first, second] = &mut streams;
    let given_up = with_deadline(async {
        tokio::select! {
            ready = first.readable() => ready.map(|()| 0),
            ready = second.readable() => ready.map(|()| 1),
        }
    });
    let given_up = given_up.await.expect("an answer");
    streams[given_up].read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 503");
    let other = &mut streams[1 - given_up];
    other.write_all(&vec![b' '; 1_000_000]).await.expect("open");
    other.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 400", "received, and no manifest");
}

/// Begins to push a manifest of 4,000,000 bytes.
async fn begin_manifest(server: &TestServer, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let head = format!(
        "PUT /v2/{IMAGE}/manifests/x HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-length: 4000000\r\n\r\n",
        server.admin().authorization()
    );
    stream.write_all(head.as_bytes()).await.expect("open");
    // The server may have answered before everything is written.
    let _ = stream.write_all(&vec![b' '; sent]).await;
    stream
}

/// A stop ends a request that does not end by itself, and keeps what was received.
#[tokio::test]
async fn a_stop_ends_a_request_that_does_not_end() {
    let mut server = TestServer::start_with(Backend::Sqlite, |config| {
        // Four times this length is more than a TCP option can hold.
        config.limits.idle_timeout = "30d".parse::<DurationSetting>().expect("a time");
        config.limits.drain_timeout = "100ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let request = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-length: 100\r\n\r\n0123456789",
        admin.authorization()
    );
    stream.write_all(request.as_bytes()).await.expect("open");
    server.wait_for_metrics("berth_http_requests_running 2").await;
    with_deadline(server.stop()).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(answer, "", "there is nothing to say");
}

#[tokio::test]
async fn a_broken_connection_keeps_received_bytes() {
    let server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let request = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-length: 100\r\n\r\n0123456789",
        admin.authorization()
    );
    stream.write_all(request.as_bytes()).await.expect("open");
    stream.shutdown().await.expect("open");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    // The connection is gone, so that nobody gets an answer. The next request waits for the end of the first one.
    let rest = admin.clone().with_header("content-range", "10-11").patch(&upload, "ab").await;
    assert_eq!(rest.expect_status(202).header("range"), "0-11");
}

/// A blob of 5 TB. All of it except its end is a hole in a file.
#[tokio::test]
async fn a_blob_may_have_five_terabytes_and_not_more() {
    let server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "x").await.expect_status(202);
    let file = server.blob_paths().into_iter().next().expect("the upload's file");
    let start = MAX_BLOB_BYTES - 5;
    let file = std::fs::OpenOptions::new().write(true).open(file).expect("writable");
    file.set_len(start).expect("a file system with large files");
    let id: meta::Id = upload.rsplit('/').next().expect("an id").parse().expect("an id");
    let state = DigestHasher::new(DigestAlgorithm::Sha256).save();
    let meta = server.open_meta().await;
    let advanced = meta.write(move |tx| {
        let sql = "SELECT repository_id FROM uploads";
        let repository = tx.query_first(sql, &[], |row| row.id(0))?.expect("started");
        let principal = &principal_of("first-admin");
        let owner = uploads::UploadKey { repository: &repository, image: "image", principal };
        let upload = uploads::find(tx, owner, &id)?.expect("started");
        uploads::advance(tx, &upload, start as i64, &state, i64::MAX)
    });
    assert_eq!(advanced.await.expect("a row"), 1);
    let status = admin.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), format!("0-{}", start - 1));
    let range = format!("{start}-{}", MAX_BLOB_BYTES - 1);
    let last = admin
        .clone()
        .with_header("content-range", &range)
        .patch(&upload, "01234")
        .await
        .expect_status(202);
    assert_eq!(last.header("range"), format!("0-{}", MAX_BLOB_BYTES - 1));
    let more = admin.patch(&upload, "5").await;
    assert!(String::from_utf8_lossy(&more.body).contains(&MAX_BLOB_BYTES.to_string()));
    more.expect_oci_error("413 SIZE_INVALID");
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        admin.authorization(),
        MAX_BLOB_BYTES + 1
    );
    let answer = admin.send_raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "before a byte is sent: {answer}");
}

on_both![bodies_of_anonymous_calls_are_not_waited_for];

/// The server refuses the request before the body comes, and keeps none of the body.
async fn bodies_of_anonymous_calls_are_not_waited_for(accounts: AccountServer) {
    let nobody = accounts.anonymous();
    let announced = |credential: &str, length: usize| {
        format!(
            "POST /v1/projects HTTP/1.1\r\nhost: localhost\r\n{credential}connection: close\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{{"
        )
    };
    for request in [
        announced("", 20_000),
        announced("authorization: Bearer nonsense\r\n", 4_000_000),
        announced("authorization: Bearer nonsense\r\n", 20),
    ] {
        let answer = with_deadline(nobody.send_raw(request.as_bytes())).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}
