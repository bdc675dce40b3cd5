//! Clients that speak https to a port that speaks http, or the other way round.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::certificate::CertificateFiles;
use crate::util::process::{BerthProcess, berth_command, wait_for};
use crate::util::with_deadline;

/// The beginning of a record with a ClientHello.
const HELLO: [u8; 6] = [0x16, 3, 1, 2, 0, 1];

/// Sends bytes, and returns all that comes back until the server closes the connection.
async fn answer_to(berth: &BerthProcess, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
    stream.write_all(bytes).await.expect("open");
    let mut answer = Vec::new();
    with_deadline(stream.read_to_end(&mut answer)).await.expect("a gentle end");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn start_server(folder: &Path, arguments: &[&str]) -> BerthProcess {
    let log = std::fs::File::create(folder.join("log")).expect("writable");
    let mut command = berth_command(&["serve"]);
    command.args(arguments).env("BERTH_LOG_LEVEL", "debug").stderr(log);
    BerthProcess::spawn(&folder.join("data"), &mut command).await
}

/// The number of log lines with this text. Waits for the first one.
async fn count_log_lines(folder: &Path, text: &str) -> usize {
    wait_for(|| {
        let log = std::fs::read_to_string(folder.join("log")).expect("text");
        Some(log.lines().filter(|line| line.contains(text)).count()).filter(|count| *count > 0)
    })
    .await
}

/// The client gets an error whatever it sends. The log has one line for many such clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_on_an_https_port_gets_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = CertificateFiles::write_to(folder.path()).await;
    let berth = start_server(folder.path(), &files.tls_flags()).await;
    let upload = "POST /v2/p/r/i/blobs/uploads/?digest=x HTTP/1.1\r\nhost: x\r\n\
                  content-length: 3000000\r\n\r\n";
    let upload = [upload.as_bytes(), &vec![0; 3_000_000]].concat();
    for request in [
        b"GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET",
        &upload,
    ] {
        let answer = answer_to(&berth, request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains("connection: close"), "{answer}");
        let length = format!("content-length: {}", body.len());
        assert!(head.contains(&length) && body.contains("https://"), "{answer}");
        assert_eq!(body.matches('\n').count(), 1, "{body}");
    }
    assert_eq!(count_log_lines(folder.path(), "spoke http to").await, 1);

    // A client that speaks https is served. A client that speaks neither is refused as before.
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    let client = builder.build().expect("a client");
    let url = format!("https://{}/v2/", berth.listen_address());
    let reply = with_deadline(client.get(url).send()).await.expect("an answer");
    assert_eq!(reply.status().as_u16(), 401);
    assert!(!answer_to(&berth, &[0; 100]).await.starts_with("HTTP"));
}

/// Clients see by the first bytes of the answer that the port speaks http. Docker then goes on without TLS.
#[tokio::test]
async fn https_on_an_http_port_gets_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let berth = start_server(folder.path(), &["--dev"]).await;
    for _ in 0..3 {
        assert!(answer_to(&berth, &HELLO).await.starts_with("HTTP/1.1 400"));
    }
    assert_eq!(count_log_lines(folder.path(), "spoke TLS to").await, 1);
    berth.client.get("/v2/").await.expect_status(200);
}
