//! The state of an upstream's host: limits that it states, silence, and figures.

use std::time::Duration;

use super::remote::{RemoteTest, expect_manifest};
use crate::util::scripted_upstream::REGISTRY_PATH;
use crate::util::{
    AccountServer, Backend, Image, Reply, UpstreamAnswer, manifest_path, on_both, with_deadline,
};

on_both![
    a_host_that_limits_is_left_alone,
    a_host_that_is_unavailable_for_a_time_is_left_alone,
    a_silent_host_is_not_waited_for_again,
    figures_are_kept_by_host
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
