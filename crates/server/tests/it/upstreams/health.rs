//! The state of an upstream's host: limits that it states, silence, and figures.

use std::time::Duration;

use prost::Message;
use proto::google::devtools::artifactregistry::v1::repository::ModeConfig;
use proto::google::devtools::artifactregistry::v1::{GetRepositoryRequest, Repository};
use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest, remote_body};
use super::{api_path, create_from_body};
use crate::util::accounts::{PROJECT, repositories_path};
use crate::util::google::repository_name;
use crate::util::scripted_upstream::REGISTRY_PATH;
use crate::util::wire::{Http2Connection, bearer_headers};
use crate::util::{
    AccountServer, Backend, Image, Reply, ScriptedUpstream, UpstreamAnswer, manifest_path, on_both,
    with_deadline,
};

on_both![
    a_host_that_limits_is_left_alone,
    a_host_that_is_unavailable_for_a_time_is_left_alone,
    a_silent_host_is_not_waited_for_again,
    figures_are_kept_by_host,
    a_limit_is_shown_with_the_repository,
    the_shown_state_is_neither_stored_nor_listed
];

fn limited(status: u16, seconds: &str) -> UpstreamAnswer {
    let header = ("retry-after", seconds.to_owned());
    UpstreamAnswer::Status { status, header, body: String::new() }
}

#[track_caller]
fn expect_limited(reply: Reply) {
    let reply = reply.expect_oci_error("429 TOOMANYREQUESTS");
    let seconds: u32 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=600).contains(&seconds), "{reply:#?}");
}

async fn a_host_that_limits_is_left_alone(backend: Backend) {
    expect_left_alone(backend, 429).await;
}

async fn a_host_that_is_unavailable_for_a_time_is_left_alone(backend: Backend) {
    expect_left_alone(backend, 503).await;
}

async fn expect_left_alone(backend: Backend, status: u16) {
    let mut test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    test.upstream.serve(&Image::new(2), ("app", "2"));
    test.upstream.set(&manifest_path("app", "limited"), limited(status, "86400"));
    test.pull_manifest("limited").await.expect_oci_error("429 TOOMANYREQUESTS");
    let asked = test.upstream.asked().len();
    // Nothing is asked of the host any more: the answer says so, or the cache has one.
    expect_limited(test.pull_manifest("limited").await);
    expect_limited(test.pull_manifest("2").await);
    expect_limited(test.pull_blob(&image.blobs[1]).await);
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    let stale = expect_manifest(test.pull_manifest("1").await, &image);
    assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
    assert_eq!(test.upstream.asked().len(), asked);
}

async fn a_silent_host_is_not_waited_for_again(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    expect_manifest(test.pull_manifest("1").await, &image);
    test.upstream.serve(&Image::new(2), ("app", "2"));
    test.upstream.set(&manifest_path("app", "1"), UpstreamAnswer::Hang);
    test.upstream.set(REGISTRY_PATH, UpstreamAnswer::Hang);
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    let head = format!("HEAD {}", manifest_path("app", "1"));
    for _ in 0..3 {
        let stale = expect_manifest(test.pull_manifest("1").await, &image);
        assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
        assert_eq!(test.upstream.count(&head), 1, "only the first pull waited");
    }
    let state = test.described().await["upstreamState"].take();
    assert_eq!(state["unreachable"], true, "{state}");
    assert_eq!(state["lastFailure"]["kind"], "UNREACHABLE", "{state}");
    // A probe finds out that the host answers again.
    test.upstream.serve(&image, ("app", "1"));
    test.upstream.set(REGISTRY_PATH, UpstreamAnswer::status(200));
    let confirmed = async {
        while !expect_manifest(test.pull_manifest("1").await, &image).header("warning").is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    with_deadline(confirmed).await;
    assert_eq!(test.upstream.count(&head), 2);
    let later = test.described().await["upstreamState"].take();
    assert_eq!(later, json!({ "lastFailure": state["lastFailure"] }), "it is over");
}

/// Starts a server that has figures of an upstream's host.
pub(crate) async fn start_with_upstream_figures() -> AccountServer {
    let test = RemoteTest::start(Backend::Sqlite).await;
    pull_once(&test, &Image::new(1)).await;
    test.accounts
}

/// Pulls an image through the cache, and a tag that is missing.
async fn pull_once(test: &RemoteTest, image: &Image) {
    test.upstream.serve(image, ("app", "1"));
    let manifest = UpstreamAnswer::Status {
        status: 200,
        header: ("ratelimit-remaining", "76;w=21600".to_owned()),
        body: image.manifest.clone(),
    };
    test.upstream.set(&manifest_path("app", "1"), manifest);
    test.pull_manifest("1").await.expect_status(200);
    test.pull_manifest("1").await.expect_status(200);
    test.pull_manifest(&image.digest()).await.expect_status(200);
    for blob in &image.blobs {
        test.pull_blob(blob).await.expect_status(200);
    }
    test.pull_manifest("missing").await.expect_oci_error("404 MANIFEST_UNKNOWN");
}

async fn figures_are_kept_by_host(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let image = Image::new(1);
    pull_once(&test, &image).await;
    let bytes = image.manifest.len() + image.blobs.iter().map(|blob| blob.len()).sum::<usize>();
    let host = test.upstream.address;
    for line in [
        format!("berth_upstream_hits_total{{host=\"{host}\"}} 2"),
        format!("berth_upstream_fetches_total{{host=\"{host}\"}} {}", 1 + image.blobs.len()),
        format!("berth_upstream_fetched_bytes_total{{host=\"{host}\"}} {bytes}"),
        format!("berth_upstream_errors_total{{host=\"{host}\",kind=\"not_found\"}} 1"),
        format!("berth_upstream_ratelimit_remaining{{host=\"{host}\"}} 76"),
    ] {
        test.accounts.server.wait_for_metrics(&line).await;
    }
}

impl RemoteTest {
    /// The configuration of the remote repository, as the answer about this repository has it.
    async fn described(&self) -> Value {
        let described = self.accounts.owner.get(&api_path("remote", "")).await;
        described.expect_status(200).json()["remoteRepositoryConfig"].clone()
    }

    /// Pulls a tag whose manifest comes with a statement of the limit.
    async fn pull_with_limit(&self, tag: &str, remaining: &str) {
        let answer = UpstreamAnswer::Status {
            status: 200,
            header: ("ratelimit-remaining", remaining.to_owned()),
            body: Image::new(1).manifest,
        };
        self.upstream.serve(&Image::new(1), ("app", tag));
        self.upstream.set(&manifest_path("app", tag), answer);
        self.pull_manifest(tag).await.expect_status(200);
    }

    /// Pulls a tag, and the upstream limits its answers.
    async fn pull_limited(&self) {
        self.upstream.set(&manifest_path("app", "limited"), limited(429, "86400"));
        self.pull_manifest("limited").await.expect_oci_error("429 TOOMANYREQUESTS");
    }
}

async fn a_limit_is_shown_with_the_repository(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let absent = Value::Null;
    test.pull_manifest("missing").await.expect_oci_error("404 MANIFEST_UNKNOWN");
    assert_eq!(test.described().await["upstreamState"], absent, "nothing is known");
    test.pull_with_limit("1", "76;w=21600").await;
    let stated = json!({ "rateLimit": { "remaining": 76, "window": "21600s" } });
    assert_eq!(test.described().await["upstreamState"], stated);
    test.pull_with_limit("2", "0;w=21600").await;
    assert_eq!(test.described().await["upstreamState"]["rateLimit"]["remaining"], 0);
    let before = test.accounts.server.clock.unix_seconds();
    test.pull_limited().await;
    let state = test.described().await["upstreamState"].take();
    assert_eq!(state["rateLimit"]["remaining"], 0, "{state}");
    assert_eq!(state["lastFailure"]["kind"], "LIMITED", "{state}");
    assert_eq!(state["unreachable"], absent, "{state}");
    let since = |time: &Value| {
        let time: jiff::Timestamp = time.as_str().expect("text").parse().expect("a time");
        time.as_second() - before
    };
    let (failed, retry) = (since(&state["lastFailure"]["time"]), since(&state["retryAfter"]));
    // A host is left alone for ten minutes at most.
    assert!(failed >= 0 && (failed + 590..=failed + 601).contains(&retry), "{before}: {state}");
    let again = test.described().await;
    assert_eq!(again["upstreamState"], state, "the same limit has the same time");
}

async fn the_shown_state_is_neither_stored_nor_listed(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let owner = &test.accounts.owner;
    let stored = test.described().await;
    test.pull_limited().await;
    let path = api_path("remote", "");
    let described = owner.get(&path).await.expect_status(200).json();
    assert!(described["remoteRepositoryConfig"]["upstreamState"].is_object(), "{described}");
    // Terraform sends back what it got, whole or by parts. The host of another upstream is not known.
    let other = ScriptedUpstream::start().await;
    let mut body = remote_body(&other.url());
    body["remoteRepositoryConfig"]["upstreamState"] =
        described["remoteRepositoryConfig"]["upstreamState"].clone();
    create_from_body(&test.accounts, "other", &body).await.expect_status(200);
    let other_path = api_path("other", "");
    for (path, body) in [(&path, &described), (&other_path, &body)] {
        for mask in ["", "?updateMask=remoteRepositoryConfig"] {
            let sent = owner.patch(&format!("{path}{mask}"), body).await.expect_status(200);
            assert_eq!(sent.json()["remoteRepositoryConfig"]["upstreamState"], Value::Null);
        }
    }
    let shown = owner.get(&other_path).await.expect_status(200).json();
    assert_eq!(
        shown["remoteRepositoryConfig"],
        remote_body(&other.url())["remoteRepositoryConfig"]
    );
    let listed = owner.get(&repositories_path(PROJECT)).await.expect_status(200).json();
    let repositories = listed["repositories"].as_array().expect("a list");
    let remote = repositories.iter().find(|one| one["name"] == described["name"]);
    assert_eq!(remote.expect("listed")["remoteRepositoryConfig"], stored);
    // Nor does gRPC show it.
    let wire = Http2Connection::connect(test.accounts.server.address).await;
    let method = "/google.devtools.artifactregistry.v1.ArtifactRegistry/GetRepository";
    let message = GetRepositoryRequest { name: repository_name(PROJECT, "remote") };
    let headers = bearer_headers(Some(&owner.token));
    let reply = wire.call_grpc(method, headers, &message).await;
    let repository = Repository::decode(&reply.body[5..]).expect("a message");
    let Some(ModeConfig::RemoteRepositoryConfig(config)) = repository.mode_config else {
        panic!("{repository:?}")
    };
    assert_eq!(config.upstream_state, None);
    let after = test.described().await;
    assert_eq!(after, described["remoteRepositoryConfig"], "the upstream still limits");
}
