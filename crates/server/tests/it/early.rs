//! HTTP/1 answers that are sent before the request's body was read. The client gets each answer, and the connection is
//! kept or closed as the answer says.

use berth_server::config::DurationSetting;

use crate::util::kept::{Framing, RawConnection};
use crate::util::{Backend, Client, TestServer, with_deadline};

const IMAGE: &str = "p/r1/image";
const SIZES: [usize; 5] = [1, 64 << 10, 1 << 20, (1 << 20) + 1, 30 << 20];

/// Sends the request with a body of each size and framing, and then another request.
async fn check_every_size(client: &Client, line: &str, (status, more): (u16, &str)) {
    for length in SIZES {
        for framing in [Framing::Length, Framing::Chunked] {
            let answered = answered_status(client, (line, more), framing, length).await;
            assert_eq!(answered, status, "{line}, {framing:?}, {length}");
        }
    }
}

/// Sends one such request, and returns its status. Asserts that the connection is kept or closed as the answer says.
async fn answered_status(
    client: &Client,
    (line, more): (&str, &str),
    framing: Framing,
    length: usize,
) -> u16 {
    let with = more.split_once(": ");
    let client = with
        .into_iter()
        .fold(client.clone(), |client, (name, value)| client.with_header(name, value));
    let mut connection = RawConnection::new(&client).await;
    connection.send_request(line, framing, length).await;
    let answer = connection.read_answer().await;
    let what = format!("{line}, {framing:?}, {length}: {answer:?}");
    if answer.header("connection") == "close" {
        assert!(connection.is_closed().await.expect("no reset"), "{what}");
    } else {
        connection.send_head("GET /v2/", "").await;
        let next = connection.read_answer().await.status.as_u16();
        assert!([200, 401, 403, 421, 429].contains(&next), "{next} after {what}");
    }
    let is_little = matches!(framing, Framing::Length) && length <= 1 << 20;
    assert!(!is_little || answer.header("connection").is_empty(), "{what}");
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_gets_its_answer() {
    let server = TestServer::start(Backend::Sqlite).await;
    let (admin, anyone) = (server.admin(), server.anonymous());
    let upload = admin.start_upload(IMAGE).await;
    let patch = format!("PATCH {upload}");
    let manifest = format!("PUT /v2/{IMAGE}/manifests/x");
    check_every_size(&anyone, &manifest, (401, "")).await;
    check_every_size(&anyone, &format!("POST /v2/{IMAGE}/blobs/uploads/"), (401, "")).await;
    check_every_size(&anyone.clone().with_header("authorization", "Basic eDp5"), &patch, (401, ""))
        .await;
    check_every_size(&server.client_of("reader-1"), &manifest, (403, "")).await;
    check_every_size(&admin, &format!("PATCH /v2/{IMAGE}/blobs/uploads/none"), (404, "")).await;
    check_every_size(&admin, "PUT /v2/nothing", (404, "")).await;
    check_every_size(&admin, "PUT /nothing", (404, "")).await;
    check_every_size(&admin, &format!("PUT /v2/{IMAGE}/tags/list"), (405, "")).await;
    check_every_size(&admin, "POST /v2/", (405, "")).await;
    check_every_size(&admin, "PUT /v2/A/B/C/manifests/x", (400, "")).await;
    check_every_size(&admin, &format!("PUT /v2/{IMAGE}/manifests/x?tag=-"), (400, "")).await;
    check_every_size(&admin, &format!("PUT {upload}"), (400, "")).await;
    check_every_size(&admin, &patch, (416, "content-range: a-b")).await;
    check_every_size(&admin, &patch, (415, "content-encoding: gzip")).await;
    check_every_size(&admin, &manifest, (400, "if-match: \"")).await;
    check_every_size(&admin, "GET /v2/", (200, "")).await;
    check_every_size(&admin, &format!("DELETE /v2/{IMAGE}/manifests/x"), (404, "")).await;
    admin.get(&upload).await.expect_status(204);
}

/// The server reads a part of these bodies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_too_much_gets_its_answer() {
    let server = TestServer::start(Backend::Sqlite).await;
    for framing in [Framing::Length, Framing::Chunked] {
        for (line, client, status) in [
            (format!("PUT /v2/{IMAGE}/manifests/x"), server.admin(), 413),
            ("POST /v1/projects".to_owned(), server.anonymous(), 401),
            ("POST /token".to_owned(), server.anonymous(), 400),
        ] {
            let mut connection = RawConnection::new(&client).await;
            connection.send_request(&line, framing, 30 << 20).await;
            let answer = connection.read_answer().await;
            assert_eq!(answer.status.as_u16(), status, "{line}: {answer:?}");
            assert_eq!(answer.header("connection"), "close", "{line}");
            assert!(connection.is_closed().await.expect("no reset"), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_client_gets_its_answer() {
    let server = TestServer::start_with_owner(Backend::Sqlite, |_| ()).await;
    let guess = server.anonymous().with_header("authorization", "Basic X2pzb25fa2V5Ong=");
    let put = format!("PUT /v2/{IMAGE}/manifests/x");
    for length in SIZES {
        for framing in [Framing::Length, Framing::Chunked] {
            // One more guess is allowed each second, and writing a long body may take a second.
            with_deadline(async {
                loop {
                    while guess.get("/v2/").await.status != 429 {}
                    match answered_status(&guess, (&put, ""), framing, length).await {
                        401 => (),
                        status => break assert_eq!(status, 429, "{framing:?}, {length}"),
                    }
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_from_another_host_or_origin_gets_its_answer() {
    let server = TestServer::start_for_development(|_| ()).await;
    let client = server.anonymous();
    let line = format!("PUT /v2/{IMAGE}/manifests/x");
    check_every_size(&client.clone().with_header("host", "elsewhere.example"), &line, (421, ""))
        .await;
    check_every_size(&client.with_header("origin", "https://elsewhere.example"), &line, (403, ""))
        .await;
}

/// A client with too long a head gets its answer, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_an_invalid_head_gets_its_answer() {
    let server = TestServer::start(Backend::Sqlite).await;
    let long = format!("x: {}\r\n", "a".repeat(30 << 20));
    for (line, headers, status) in [
        ("GET /v2/", long.as_str(), 431),
        ("GET /v2/", "x y: z\r\n", 400),
        ("PUT /v2/", "content-length: 1\r\ncontent-length: 2\r\n", 400),
    ] {
        let mut connection = RawConnection::new(&server.anonymous()).await;
        connection.send_head(line, headers).await;
        let _ = connection.write_bytes(&[b' '; 1 << 20]).await;
        let answer = connection.read_answer().await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert!(connection.is_closed().await.expect("no reset"), "{answer:?}");
    }
}

/// Pipelined requests are answered in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_after_a_refused_body_is_answered() {
    let server = TestServer::start(Backend::Sqlite).await;
    let mut connection = RawConnection::new(&server.client_of("reader-1")).await;
    for _ in 0..20 {
        connection
            .send_request(&format!("PUT /v2/{IMAGE}/manifests/x"), Framing::Length, 100_000)
            .await;
        connection.send_head("GET /v2/", "").await;
    }
    for _ in 0..20 {
        connection.read_answer().await.expect_status(403);
        connection.read_answer().await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_client_is_asked_only_for_a_wanted_body() {
    let server = TestServer::start(Backend::Sqlite).await;
    let (admin, reader) = (server.admin(), server.client_of("reader-1"));
    let waits = |length: usize| format!("expect: 100-continue\r\ncontent-length: {length}\r\n");
    let line = format!("PUT /v2/{IMAGE}/manifests/x");
    for sends in [false, true] {
        let mut connection = RawConnection::new(&reader).await;
        connection.send_head(&line, &waits(100_000)).await;
        if sends {
            connection.write_bytes(&[b' '; 100_000]).await.expect("read on");
        }
        let answer = connection.read_answer().await.expect_status(403);
        assert_eq!(answer.header("connection"), "close", "what comes next may be the body");
        assert!(connection.is_closed().await.expect("no reset"));
    }
    let mut connection = RawConnection::new(&admin).await;
    let upload = admin.start_upload(IMAGE).await;
    connection.send_head(&format!("PATCH {upload}"), &waits(5)).await;
    connection.read_answer().await.expect_status(100);
    connection.write_bytes(b"01234").await.expect("open");
    assert_eq!(connection.read_answer().await.expect_status(202).header("range"), "0-4");
    connection.send_head("GET /v2/", "").await;
    connection.read_answer().await.expect_status(200);
    // HTTP/1.0 has no `Expect`.
    let old = format!(
        "PATCH {upload} HTTP/1.0\r\nauthorization: {}\r\nhost: localhost\r\n{}\r\n56789",
        admin.authorization(),
        waits(5)
    );
    let answer = admin.send_raw(old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 202"), "{answer}");
}

/// The server does not read from such a client for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_stops_is_disconnected() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "300ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    let line = format!("PUT /v2/{IMAGE}/manifests/x");
    for headers in [
        "content-length: 1000000\r\n",
        "content-length: 9000000\r\n",
        "expect: 100-continue\r\ncontent-length: 9\r\n",
    ] {
        let mut connection = RawConnection::new(&server.anonymous()).await;
        connection.send_head(&line, headers).await;
        connection.read_answer().await.expect_status(401);
        let trickle = async {
            while connection.write_bytes(b" ").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        with_deadline(trickle).await;
        let mut silent = RawConnection::new(&server.anonymous()).await;
        silent.send_head(&line, headers).await;
        silent.read_answer().await.expect_status(401);
        // The connection is closed or reset.
        assert!(silent.is_closed().await.unwrap_or(true));
    }
}

/// Such clients take few connections, and the server goes on reading from the newest only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_on_sending_hold_few_connections() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "1h".parse::<DurationSetting>().expect("a time");
        config.limits.connections = 8;
    })
    .await;
    let line = format!("PUT /v2/{IMAGE}/manifests/x");
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let mut connection = RawConnection::new(&server.anonymous()).await;
        connection.send_head(&line, "content-length: 9000000\r\n").await;
        connection.read_answer().await.expect_status(401);
        stuck.push(connection);
    }
    for connection in &mut stuck[..3] {
        let mut ended = async || {
            while connection.write_bytes(b" ").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        with_deadline(ended()).await;
    }
    // There are six times as many requests as connections.
    for _ in 0..48 {
        check_once(&server, &line).await;
    }
}

async fn check_once(server: &TestServer, line: &str) {
    let mut connection = RawConnection::new(&server.anonymous()).await;
    connection.send_request(line, Framing::Length, 3 << 20).await;
    connection.read_answer().await.expect_status(401);
    assert!(connection.is_closed().await.expect("no reset"));
}
