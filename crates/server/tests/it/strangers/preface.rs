//! Connections with only a part of HTTP/2's preface.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::process::{BerthProcess, berth_command};
use crate::util::{Backend, TestServer, with_deadline};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// The number of times that a process's threads went to sleep. Each timer that fires wakes one of them.
fn count_sleeps(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let slept = |thread: &Path| {
        let status = std::fs::read_to_string(thread.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    threads.map(|thread| slept(&thread.path())).sum()
}

#[tokio::test]
async fn the_server_sleeps_while_it_waits_for_the_preface() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LIMITS_HEADER_TIMEOUT", "60s").stderr(Stdio::null());
    let berth = BerthProcess::spawn(folder.path(), &mut command).await;
    let mut waiting = Vec::new();
    for length in (1..PREFACE.len()).cycle().take(100) {
        let mut stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
        stream.write_all(&PREFACE[..length]).await.expect("open");
        waiting.push(stream);
    }
    // When this request is answered, the server has looked at the last connection.
    berth.client.get("/v2/").await.expect_status(200);
    let before = count_sleeps(berth.process.0.id());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let slept = count_sleeps(berth.process.0.id()) - before;
    assert!(slept < 500, "polled some 400 times in these seconds, each of them: {slept}");
    for (length, mut stream) in (1..PREFACE.len()).cycle().zip(waiting) {
        stream.write_all(&PREFACE[length..]).await.expect("open");
        stream.write_all(&SETTINGS).await.expect("open");
        let mut frame = [0; 9];
        with_deadline(stream.read_exact(&mut frame)).await.expect("an answer");
        assert_eq!(frame[3], 4, "the server's settings");
    }
}

/// The rest of the preface never comes, or is something else.
#[tokio::test]
async fn a_beginning_of_the_preface_may_be_something_else() {
    let server = TestServer::start(Backend::Sqlite).await;
    for start in [&PREFACE[..1], &PREFACE[..20]] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(start).await.expect("open");
        stream.shutdown().await.expect("open");
        let mut answer = Vec::new();
        with_deadline(stream.read_to_end(&mut answer)).await.expect("a gentle end");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
    for pieces in [
        ["P", "UT /v2/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"],
        ["PRI", " / HTTP/1.1\r\n\r\n"],
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.expect("open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut answer = [0; 10];
        with_deadline(stream.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 4", "read as HTTP/1");
    }
}
