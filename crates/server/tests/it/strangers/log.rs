//! A log that nobody reads, and long log lines from clients.

use std::io::Read;
use std::process::Stdio;

use http::Method;
use rustix::process::Signal;

use crate::util::process::{BerthProcess, berth_command, parse_address, wait_for, wait_for_text};
use crate::util::{Client, with_deadline};

/// More requests than fit into a pipe and the queue behind it.
const REQUESTS: usize = 4000;

/// Requests long paths until log lines are dropped, and returns their number.
async fn fill_the_log(berth: &BerthProcess) -> u64 {
    let ops = Client::new(parse_address(&berth.addresses["ops"]));
    let path = format!("/v2/p/r1/image/manifests/{}", "x".repeat(480));
    for request in 0..REQUESTS {
        berth.client.get(&path).await;
        if request % 100 == 0 {
            let metrics = ops.get("/metrics").await.expect_status(200);
            let text = metrics.text();
            let count = text.lines().find_map(|line| line.strip_prefix("berth_log_dropped_total "));
            let count = count.expect("it is there").parse().expect("a number");
            if count > 0 {
                return count;
            }
        }
    }
    panic!("no line was dropped");
}

async fn expect_gentle_end(mut berth: BerthProcess) {
    berth.process.send_signal(Signal::TERM);
    let status = wait_for(|| berth.process.0.try_wait().expect("ours")).await;
    assert!(status.success(), "{status}");
}

/// Neither requests nor the end of the process wait for a reader of the log.
#[tokio::test]
async fn an_unread_log_blocks_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_AUDIT_FILE", "-").env("BERTH_AUDIT_READS", "true").stderr(Stdio::piped());
    let berth = BerthProcess::spawn(folder.path(), &mut command).await;
    with_deadline(fill_the_log(&berth)).await;
    berth.client.get("/v2/").await.expect_status(200);
    berth.client.start_upload("p/r1/image").await;
    expect_gentle_end(berth).await;
}

/// A later reader of the log learns that lines are missing.
#[tokio::test]
async fn a_later_reader_learns_of_missing_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(Stdio::piped());
    let mut berth = BerthProcess::spawn(folder.path(), &mut command).await;
    let mut log = berth.process.0.stderr.take().expect("piped");
    with_deadline(fill_the_log(&berth)).await;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).expect("text");
        text
    });
    // A reader makes room in the queue after a while.
    let client = berth.client.clone().with_header("x-request-id", "after-the-gap");
    for _ in 0..REQUESTS {
        client.get("/v2/").await.expect_status(200);
    }
    expect_gentle_end(berth).await;
    let text = reader.join().expect("it read");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert!(lines.iter().any(|line| line["log.dropped"].as_u64().is_some_and(|count| count > 0)));
    assert!(lines.iter().any(|line| line["request.id"] == "after-the-gap"));
}

/// The log cuts every text of a client, in both formats.
#[tokio::test]
async fn log_lines_have_a_maximal_length() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).expect("writable");
        let mut command = berth_command(&["serve"]);
        command.env("BERTH_LOG_FORMAT", format).stderr(file);
        let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
        let long = "x".repeat(20_000);
        let method = Method::from_bytes(long.as_bytes()).expect("a token");
        for method in [method, Method::GET, Method::PUT] {
            for (name, value) in [
                ("user-agent", long.clone()),
                ("host", format!("{long}.example.com")),
                ("x-request-id", long.clone()),
                ("authorization", format!("Bearer {long}")),
                ("authorization", format!("Basic {long}")),
                ("content-type", long.clone()),
                ("range", format!("bytes={long}")),
            ] {
                let client = berth.client.clone().with_header(name, &value);
                for path in
                    [format!("/v2/{long}/manifests/{long}"), format!("/v1/{long}?{long}={long}")]
                {
                    let _ = client.try_send(method.clone(), &path, "").await;
                }
            }
        }
        berth
            .client
            .clone()
            .with_header("x-request-id", "the-last-one")
            .get("/v2/")
            .await
            .expect_status(401);
        let text = wait_for_text(&log, "the-last-one").await;
        assert!(text.lines().count() > 50, "{text}");
        let longest = text.lines().map(str::len).max().unwrap_or_default();
        assert!(longest <= 2048, "{format}: {longest}");
    }
}
