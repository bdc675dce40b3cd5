//! Stops by signals.

use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{IMAGE, wait_for_end};
use crate::util::database::start_database_proxy;
use crate::util::process::{BerthProcess, berth_command, parse_address};
use crate::util::{Backend, Image, wait_for_metrics, with_deadline};

/// Begins a push that does not end, so that a stop has to wait for it.
async fn stuck_push(berth: &BerthProcess) -> TcpStream {
    let upload = berth.client.start_upload(IMAGE).await;
    let mut stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01234");
    stream.write_all(head.as_bytes()).await.expect("open");
    wait_for_metrics(parse_address(&berth.addresses["ops"]), "berth_http_requests_running 2").await;
    stream
}

/// Waits until the server accepts no connections.
async fn wait_until_deaf(berth: &BerthProcess) {
    let deaf = async { while TcpStream::connect(berth.listen_address()).await.is_ok() {} };
    with_deadline(deaf).await;
}

#[tokio::test]
async fn a_stop_waits_for_a_push() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut berth = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let mut stream = stuck_push(&berth).await;
    berth.process.send_signal(Signal::TERM);
    wait_until_deaf(&berth).await;
    stream.write_all(b"56789").await.expect("still open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("range: 0-9"), "{answer}");
    assert!(wait_for_end(&mut berth.process).await.success());
    assert!(!berth.run.exists(), "nothing is left of it");
}

/// The first Ctrl-C asks for a stop, which here would take a day. The second one stops at once.
#[tokio::test]
async fn a_second_interrupt_stops_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LIMITS_DRAIN_TIMEOUT", "1d").env("BERTH_LIMITS_IDLE_TIMEOUT", "30d");
    let mut berth = BerthProcess::spawn(folder.path(), command.stderr(Stdio::null())).await;
    let _stuck = stuck_push(&berth).await;
    berth.process.send_signal(Signal::INT);
    wait_until_deaf(&berth).await;
    assert!(berth.process.0.try_wait().expect("ours").is_none(), "it waits for the push");
    berth.process.send_signal(Signal::INT);
    assert!(wait_for_end(&mut berth.process).await.success());
    assert!(!berth.run.exists(), "nothing is left of it");
}

/// A stop has to record pulls, and the database never answers.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_silent_database() {
    let Some(Backend::Postgres(url)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let (url, silent) = start_database_proxy(&url).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev", "--database", &url]);
    command.env("BERTH_LIMITS_DRAIN_TIMEOUT", "1s");
    let mut berth = BerthProcess::spawn(folder.path(), command.stderr(Stdio::null())).await;
    Image::new(1).push(&berth.client, (IMAGE, "latest")).await;
    berth.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    silent.send_replace(true);
    berth.process.send_signal(Signal::TERM);
    assert!(wait_for_end(&mut berth.process).await.success());
}
