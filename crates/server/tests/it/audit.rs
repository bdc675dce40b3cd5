//! The audit log as its reader finds it: each write and each refusal once, with its caller.

mod apis;
mod oci;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use berth_server::config::AuditFile;
use serde_json::Value;

use crate::util::process::wait_for;
use crate::util::{Backend, Client, TestServer};

fn read_entries(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be incomplete.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("one entry a line")).collect()
}

fn request_id(entry: &Value) -> &str {
    entry["protoPayload"]["requestMetadata"]["requestAttributes"]["id"].as_str().expect("text")
}

/// All entries so far. The entries are in order, so one more request marks their end.
pub(crate) async fn written_entries(server: &TestServer) -> Vec<Value> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let last = format!("the-end-{}", ASKED.fetch_add(1, Ordering::Relaxed));
    let client = server.anonymous().with_header("x-request-id", &last);
    client.delete("/v2/p/r1/image/manifests/the-end").await.expect_status(401);
    let path = server.data.join("audit.log");
    let seen =
        || read_entries(&path).into_iter().any(|entry| request_id(&entry) == last).then_some(());
    wait_for(seen).await;
    let is_end = |entry: &Value| request_id(entry).starts_with("the-end");
    read_entries(&path).into_iter().filter(|entry| !is_end(entry)).collect()
}

/// An entry as `METHOD STATUS PERMISSION+`. The sign after a permission is `+` if it was granted, and `-` if not.
fn summarize_entry(entry: &Value) -> String {
    let payload = &entry["protoPayload"];
    let mut text = payload["methodName"].as_str().expect("text").to_owned();
    text.push_str(&format!(" {}", payload["status"]["code"].as_i64().unwrap_or_default()));
    for asked in payload["authorizationInfo"].as_array().expect("a list") {
        let (_, permission) =
            asked["permission"].as_str().expect("text").rsplit_once('.').expect("dots");
        let granted = asked["granted"].as_bool().expect("said");
        text.push_str(&format!(" {permission}{}", if granted { "+" } else { "-" }));
    }
    text
}

fn summarize_entries(entries: &[Value]) -> Vec<String> {
    entries.iter().map(summarize_entry).collect()
}

/// The only entry of a request.
#[track_caller]
fn entry_of<'a>(entries: &'a [Value], request: &str) -> &'a Value {
    let found: Vec<_> = entries.iter().filter(|entry| request_id(entry) == request).collect();
    assert_eq!(found.len(), 1, "{request}: {found:#?}");
    found[0]
}

fn with_request_id(client: &Client, id: &str) -> Client {
    client.clone().with_header("x-request-id", id)
}

#[tokio::test]
async fn a_moved_file_is_created_again() {
    let server = TestServer::start(Backend::Sqlite).await;
    let (path, moved) = (server.data.join("audit.log"), server.data.join("audit.log.1"));
    with_request_id(&server.admin(), "first")
        .delete("/v2/p/r1/image/manifests/x")
        .await
        .expect_status(404);
    assert_eq!(summarize_entries(&written_entries(&server).await).len(), 1);
    std::fs::rename(&path, &moved).expect("ours");
    with_request_id(&server.admin(), "second")
        .delete("/v2/p/r1/image/manifests/x")
        .await
        .expect_status(404);
    let entries = written_entries(&server).await;
    assert_eq!(entries.iter().map(request_id).collect::<Vec<_>>(), ["second"]);
    assert!(read_entries(&moved).iter().any(|entry| request_id(entry) == "first"));
    assert!(read_entries(&moved).iter().all(|entry| request_id(entry) != "second"));
}

#[tokio::test]
async fn a_stop_writes_all_waiting_entries() {
    let mut server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let denied = (0..50).map(|n| {
        let client = with_request_id(&admin, &format!("n{n}"));
        async move { client.delete("/v2/p/r1/image/manifests/x").await.expect_status(404) }
    });
    futures_util::future::join_all(denied).await;
    server.stop().await;
    let mut seen = BTreeMap::new();
    for entry in read_entries(&server.data.join("audit.log")) {
        *seen.entry(request_id(&entry).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen, (0..50).map(|n| (format!("n{n}"), 1)).collect());
}

/// Anonymous clients can send any number of requests that are refused, and must not fill the operator's disk.
#[tokio::test]
async fn anonymous_refusals_do_not_fill_the_disk() {
    const EACH: usize = 1_500;
    let mut server = TestServer::start(Backend::Sqlite).await;
    let path = "/v2/p/r1/image/manifests/x";
    let long = "x".repeat(1_000);
    let nobody = server.anonymous().with_header("user-agent", &long);
    for (client, status) in
        [(nobody, 401), (server.client_of("nobody"), 403), (server.admin(), 404)]
    {
        for _ in 0..EACH / 50 {
            let some = (0..50).map(|_| async { client.delete(path).await.expect_status(status) });
            futures_util::future::join_all(some).await;
        }
    }
    server.stop().await;
    let entries = read_entries(&server.data.join("audit.log"));
    let (summaries, entries): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry["protoPayload"]["methodName"] == "EntriesLeftOut");
    let by = |code: u64| {
        let of_code = |entry: &&Value| entry["protoPayload"]["status"]["code"] == code;
        entries.iter().filter(of_code).collect::<Vec<_>>()
    };
    let left_out = summaries.iter().map(|summary| {
        let payload = &summary["protoPayload"];
        assert_eq!(payload["resourceName"], "organizations/1");
        payload["metadata"]["entriesLeftOut"].as_u64().expect("a number")
    });
    let left_out = usize::try_from(left_out.sum::<u64>()).expect("few");
    let nobodys = by(16);
    assert!(left_out > 0 && nobodys.len() >= 1_000, "{left_out} and {}", nobodys.len());
    assert_eq!(left_out + nobodys.len(), EACH, "each is written or counted");
    for entry in nobodys {
        let agent = &entry["protoPayload"]["requestMetadata"]["callerSuppliedUserAgent"];
        assert_eq!(agent, &long[..256]);
    }
    assert_eq!((by(7).len(), by(5).len()), (EACH, EACH), "of accounts, none is left out");
}

#[tokio::test]
async fn the_setting_chooses_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = folder.path().join("somewhere else.log");
    for (file, expected) in [
        (AuditFile::Off, None),
        (AuditFile::At("other.log".into()), Some("other.log")),
        (AuditFile::At(elsewhere.clone()), None),
    ] {
        let mut server =
            TestServer::start_with(Backend::Sqlite, |config| config.audit.file = file).await;
        server.admin().delete("/v2/p/r1/image/manifests/x").await.expect_status(404);
        server.stop().await;
        let is_log = |name: &String| name.ends_with(".log");
        let names = std::fs::read_dir(&server.data).expect("there").flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        assert_eq!(names.filter(is_log).collect::<Vec<_>>(), Vec::from_iter(expected));
    }
    assert_eq!(read_entries(&elsewhere).len(), 1);
}
