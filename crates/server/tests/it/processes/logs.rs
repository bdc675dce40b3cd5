//! The log.

use serde_json::Value;

use crate::util::Client;
use crate::util::process::{
    BerthProcess, ChildProcess, berth_command, parse_address, wait_for, wait_for_log_line,
};

use super::IMAGE;

#[tokio::test]
async fn the_json_log_has_the_fields_of_a_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(file);
    let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
    let client = berth.client.clone().with_header("x-request-id", "one-of-ours");
    client.get("/v2/p/r1/image/tags/list?n=1").await.expect_status(404);
    let line = wait_for_log_line(&log, "one-of-ours").await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["request.id"], "one-of-ours");
    assert_eq!(line["http.method"], "GET");
    assert_eq!(line["http.path"], "/v2/p/r1/image/tags/list?n=1");
    assert_eq!(line["http.status"], 404);
    assert_eq!(line["principal"], "user:dev@localhost");
    assert_eq!(line["level"], "INFO");
}

/// A client cannot send control characters to the terminal of the log's reader, neither in a path nor in a header.
#[tokio::test]
async fn the_log_has_no_control_characters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("writable");
    let berth = BerthProcess::spawn(
        &folder.path().join("data"),
        berth_command(&["serve", "--dev"]).stderr(file),
    )
    .await;
    let mut request =
        "GET /v2/\u{9b}2J?\u{9b}x HTTP/1.1\r\nhost: localhost\r\n".as_bytes().to_vec();
    request.extend_from_slice(b"user-agent: evil\t\xc2\x9b2J\r\nconnection: close\r\n\r\n");
    let answer = berth.client.send_raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let line = wait_for_log_line(&log, "/v2/").await;
    assert!(line.contains("GET /v2/%C2%9B2J?%C2%9Bx 404"), "{line}");
    assert!(line.contains("evil%09%C2%9B2J"), "{line}");
    assert!(!line.contains(char::is_control), "{line:?}");
}

/// The log has the error under the id that the client gets.
#[tokio::test]
async fn an_error_is_logged_under_its_request_id() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(file);
    let berth = BerthProcess::spawn(&data, &mut command).await;
    let upload = berth.client.start_upload(IMAGE).await;
    for part in std::fs::read_dir(data.join("blobs")).expect("the store").flatten() {
        std::fs::remove_dir(part.path()).expect("empty");
    }
    let failed = berth.client.patch(&upload, "content").await.expect_status(500);
    assert!(String::from_utf8_lossy(&failed.body).contains("X-Request-Id"));
    let line = wait_for_log_line(&log, "answering 500").await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["request.id"], failed.header("x-request-id"));
}

/// A missing account is reported once at the start, with the command that creates it, and not at every request.
#[tokio::test]
async fn a_missing_metadata_account_is_reported_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve"]);
    command.env("BERTH_METADATA_LISTEN", "127.0.0.1:0").stderr(file);
    command.env("BERTH_METADATA_ACCOUNT", "robot-account@my-project.iam.gserviceaccount.com");
    let berth = BerthProcess::spawn(&data, &mut command).await;
    let client = Client::new(parse_address(&berth.addresses["metadata"]));
    let client = client.with_header("metadata-flavor", "Google");
    let email = "/computeMetadata/v1/instance/service-accounts/default/email";
    for _ in 0..3 {
        client.get(email).await.expect_status(404);
    }
    // Log lines are in order, so that the lines of all requests before precede this one's.
    let last = client.with_header("x-request-id", "the-last-one");
    last.get("/computeMetadata/v1/nothing").await.expect_status(404);
    wait_for_log_line(&log, "the-last-one").await;
    let text = std::fs::read_to_string(&log).expect("readable");
    let said: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(said.len(), 1, "{text}");
    let command = "gcloud iam service-accounts create robot-account --project=my-project";
    assert!(said[0].contains("does not exist") && said[0].contains(command), "{text}");
}

/// A container's log contains only JSON objects, from the first line on.
#[tokio::test]
async fn a_json_log_has_only_objects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let open = || std::fs::File::options().create(true).append(true).open(&log).expect("writable");
    let arguments =
        ["serve", "--dev", "--ephemeral", "--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let mut command = berth_command(&arguments);
    command.env("BERTH_LOG_FORMAT", "json").stdout(open()).stderr(open());
    let _process = ChildProcess(command.current_dir(&folder).spawn().expect("it starts"));
    let said = || std::fs::read_to_string(&log).expect("readable");
    let said =
        wait_for(|| Some(said()).filter(|said| said.contains("serves http://127.0.0.1:"))).await;
    for line in said.lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        assert!(object["message"].is_string(), "{line}");
    }
}
