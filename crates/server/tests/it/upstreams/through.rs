//! Virtual repositories over remote ones of other registries.

use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest};
use super::{VIRTUAL, api_path, image_in, policy, push, virtual_body};
use crate::util::accounts::PROJECT;
use crate::util::{
    Backend, Image, Reply, UpstreamAnswer, blob_path, digest_of, manifest_path, on_both,
    random_bytes,
};

on_both![
    a_cold_image_is_fetched_once_through_a_virtual_repository,
    a_registry_that_fails_is_not_passed_over,
    a_registry_that_lacks_an_image_is_passed_over,
    a_stale_tag_is_said_to_be_stale
];

/// The remote repository `remote` above the standard one `low`, in a virtual repository.
async fn start(backend: Backend, more: Value) -> RemoteTest {
    let test = RemoteTest::start(backend).await;
    test.accounts.create_repository(PROJECT, "low").await;
    let body = virtual_body(&[policy("remote", 2), policy("low", 1)], more);
    super::create_from_body(&test.accounts, VIRTUAL, &body).await.expect_status(200);
    test
}

async fn pull(test: &RemoteTest, reference: &str) -> Reply {
    test.get(&manifest_path(&image_in(VIRTUAL, "app"), reference)).await
}

async fn a_cold_image_is_fetched_once_through_a_virtual_repository(backend: Backend) {
    let test = start(backend, json!({})).await;
    let image = Image::of_layer(random_bytes(1 << 20, 5));
    test.upstream.serve(&image, ("app", "1"));
    for round in 0..2 {
        expect_manifest(pull(&test, "1").await, &image);
        expect_manifest(pull(&test, &image.digest()).await, &image);
        let head = manifest_path(&image_in(VIRTUAL, "app"), "1");
        let seen = test.accounts.owner.client.head(&head).await.expect_status(200);
        assert_eq!(seen.header("docker-content-digest"), image.digest(), "{round}");
        for blob in &image.blobs {
            let path = blob_path(&image_in(VIRTUAL, "app"), digest_of(blob));
            let seen = test.accounts.owner.client.head(&path).await.expect_status(200);
            assert_eq!(seen.header("content-length"), blob.len().to_string());
            let ranged = test.accounts.owner.client.clone().with_header("range", "bytes=3-7");
            assert_eq!(ranged.get(&path).await.expect_status(206).body, blob[3..8]);
            assert_eq!(test.get(&path).await.expect_status(200).body, *blob);
        }
    }
    let asked = test.upstream.asked();
    assert_eq!(asked.len(), 1 + image.blobs.len(), "{asked:?}");
}

async fn a_registry_that_fails_is_not_passed_over(backend: Backend) {
    let test = start(backend, json!({})).await;
    let (owner, path) = (&test.accounts.owner, manifest_path("app", "1"));
    let low = push(&owner.client, "low", ("app", "1"), 2).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", gone.local_addr().expect("an address"));
    drop(gone);
    for (answer, reason) in [
        (UpstreamAnswer::status(401), "refused or failed"),
        (UpstreamAnswer::status(429), "limits its answers"),
        (UpstreamAnswer::status(500), "refused or failed"),
        (UpstreamAnswer::status(503), "refused or failed"),
        (UpstreamAnswer::redirect(format!("{nobody}/v2/")), "was not reached"),
        (UpstreamAnswer::redirect("https://127.0.0.1:1/v2/"), "was not reached"),
        (UpstreamAnswer::blob("no manifest"), "other content"),
    ] {
        test.upstream.set(&path, answer);
        let refused = pull(&test, "1").await.expect_oci_error("502 UNAVAILABLE");
        let message = refused.oci_message();
        assert!(
            message.contains("the upstream \"remote\"") && message.contains(reason),
            "{message}"
        );
        // Which registry it is may be nothing for those who read the virtual repository.
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    let explain = api_path(VIRTUAL, ":explain?image=app:1");
    let explained = owner.get(&explain).await.expect_status(200).json();
    assert_eq!(explained["answeringUpstream"], "remote");
    assert_eq!(explained["upstreams"][0]["outcome"], "FAILED");
    assert_eq!(explained["upstreams"][1]["outcome"], "NOT_ASKED");
    let policies = [policy("remote", 2), policy("low", 1)];
    let body = virtual_body(&policies, json!({ "failurePolicy": "FALL_THROUGH" }));
    owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200);
    assert_eq!(pull(&test, "1").await.expect_status(200).header("docker-content-digest"), low);
    let explained = owner.get(&explain).await.expect_status(200).json();
    assert_eq!(explained["answeringUpstream"], "low");
    assert_eq!(explained["upstreams"][0]["outcome"], "FAILED");
}

async fn a_registry_that_lacks_an_image_is_passed_over(backend: Backend) {
    let test = start(backend, json!({})).await;
    let owner = &test.accounts.owner;
    let low = Image::new(2);
    low.push(&owner.client, (&image_in("low", "app"), "1")).await;
    for _ in 0..2 {
        expect_manifest(pull(&test, "1").await, &low);
    }
    for blob in &low.blobs {
        let path = blob_path(&image_in(VIRTUAL, "app"), digest_of(blob));
        assert_eq!(test.get(&path).await.expect_status(200).body, *blob);
    }
    // The word that it is missing is remembered for a minute.
    assert_eq!(test.upstream.count(&format!("GET {}", manifest_path("app", "1"))), 1);
    test.upstream.serve(&Image::new(1), ("app", "1"));
    test.advance_seconds(61);
    expect_manifest(pull(&test, "1").await, &Image::new(1));
    pull(&test, "2").await.expect_oci_error("404 MANIFEST_UNKNOWN");
    let explained = owner.get(&api_path(VIRTUAL, ":explain?image=app:1")).await.json();
    assert_eq!(explained["answeringUpstream"], "remote");
}

async fn a_stale_tag_is_said_to_be_stale(backend: Backend) {
    let mut test = start(backend, json!({})).await;
    let image = Image::new(1);
    test.upstream.serve(&image, ("app", "1"));
    assert_eq!(expect_manifest(pull(&test, "1").await, &image).header("warning"), "");
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    test.upstream.set_all(&UpstreamAnswer::status(503));
    let stale = expect_manifest(pull(&test, "1").await, &image);
    assert!(stale.header("warning").starts_with("110 "), "{stale:#?}");
}
