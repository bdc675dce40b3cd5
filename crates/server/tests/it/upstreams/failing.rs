//! Upstreams that cannot answer: no upstream of a lower priority answers in their place.

use serde_json::json;

use super::{VIRTUAL, api_path, image_in, policy, push, set_up_virtual, virtual_body};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, Reply, blob_path, digest_of, manifest_path, on_both};

on_both![
    a_stopped_upstream_is_not_passed_over,
    a_deleted_upstream_is_not_passed_over,
    an_upstream_that_an_older_release_stored_is_not_passed_over,
    a_remote_upstream_is_not_passed_over,
    a_failure_policy_lets_the_next_one_answer,
    a_pin_ends_the_question
];

/// Stops the virtual repository from reading an upstream, or lets it read again.
async fn set_reading(accounts: &AccountServer, upstream: &str, method: &str) {
    let body = json!({ "reader": repository_name(PROJECT, VIRTUAL) });
    accounts.owner.post(&api_path(upstream, method), &body).await.expect_status(200);
}

#[track_caller]
fn expect_failed(reply: Reply, upstream: &str, reason: &str) {
    let reply = reply.expect_oci_error("502 UNAVAILABLE");
    let message = reply.oci_message();
    assert!(message.contains(&format!("the upstream \"{upstream}\"")), "{message}");
    assert!(message.contains(reason), "{message}");
}

async fn a_stopped_upstream_is_not_passed_over(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 3), ("middle", 2), ("low", 1)]).await;
    let owner = &accounts.owner.client;
    let high = push(owner, "high", ("app", "1"), 1).await;
    push(owner, "middle", ("app", "2"), 2).await;
    push(owner, "low", ("app", "2"), 3).await;
    let image = image_in(VIRTUAL, "app");
    set_reading(&accounts, "middle", ":stopVirtualReader").await;
    // The upstream before it answers.
    assert_eq!(owner.tagged_digest(&image, "1").await, high);
    let reason = "the administrators of its repository have stopped it";
    expect_failed(owner.get(&manifest_path(&image, "2")).await, "middle", reason);
    let by_digest = manifest_path(&image, Image::new(3).digest());
    expect_failed(owner.get(&by_digest).await, "middle", reason);
    owner.head(&manifest_path(&image, "2")).await.expect_status(502);
    expect_failed(owner.get(&format!("/v2/{image}/tags/list")).await, "middle", reason);
    let referrers = format!("/v2/{image}/referrers/{high}");
    expect_failed(owner.get(&referrers).await, "middle", reason);
    let listed = accounts.owner.get(&api_path(VIRTUAL, "/dockerImages")).await;
    listed.expect_google_error("400 FAILED_PRECONDITION");
    // Its own bytes are not served, and those of the others are: they are the same wherever they come from.
    let layer_of = |seed| digest_of(&Image::new(seed).blobs[1]);
    owner.get(&blob_path(&image, layer_of(2))).await.expect_oci_error("404 BLOB_UNKNOWN");
    owner.get(&blob_path(&image, layer_of(3))).await.expect_status(200);
    set_reading(&accounts, "middle", ":resumeVirtualReader").await;
    assert_eq!(owner.tagged_digest(&image, "2").await, Image::new(2).digest());
}

/// Attack 28: who makes a repository anew under the name of an upstream is not read before it is added again.
async fn a_deleted_upstream_is_not_passed_over(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    push(&owner.client, "high", ("app", "1"), 1).await;
    push(&owner.client, "low", ("app", "1"), 2).await;
    owner.delete(&api_path("high", "")).await.expect_status(200);
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    expect_failed(owner.client.get(&path).await, "high", "its repository was deleted");
    accounts.create_repository(PROJECT, "high").await;
    let anew = push(&owner.client, "high", ("app", "1"), 3).await;
    expect_failed(owner.client.get(&path).await, "high", "set the upstreams again");
    let body = virtual_body(&[policy("high", 2), policy("low", 1)], json!({}));
    owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200);
    assert_eq!(owner.client.tagged_digest(&image_in(VIRTUAL, "app"), "1").await, anew);
}

/// Before virtual repositories were served, nobody was asked who may add an upstream, and there was no row of it.
async fn an_upstream_that_an_older_release_stored_is_not_passed_over(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    let high = push(&owner.client, "high", ("app", "1"), 1).await;
    push(&owner.client, "low", ("app", "1"), 2).await;
    let meta = accounts.server.open_meta().await;
    meta.write(|tx| tx.execute("DELETE FROM upstreams", &[])).await.expect("ours");
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    expect_failed(owner.client.get(&path).await, "high", "an older release stored it");
    let body = virtual_body(&[policy("high", 2), policy("low", 1)], json!({}));
    owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200);
    assert_eq!(owner.client.tagged_digest(&image_in(VIRTUAL, "app"), "1").await, high);
}

async fn a_remote_upstream_is_not_passed_over(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    push(&owner.client, "low", ("app", "1"), 2).await;
    let remote = json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig":
        { "commonRepository": { "uri": "https://registry.example.com" },
          "disableUpstreamValidation": true } });
    super::create_from_body(&accounts, "remote", &remote).await.expect_status(200);
    let policies = [policy("remote", 3), policy("high", 2), policy("low", 1)];
    let body = virtual_body(&policies, json!({}));
    owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200);
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    expect_failed(owner.client.get(&path).await, "remote", "was not reached");
}

async fn a_failure_policy_lets_the_next_one_answer(accounts: AccountServer) {
    let more = json!({ "failurePolicy": "FALL_THROUGH" });
    super::set_up_virtual_with(&accounts, &[("high", 2), ("low", 1)], more).await;
    let owner = &accounts.owner;
    let high = push(&owner.client, "high", ("app", "1"), 1).await;
    let low = push(&owner.client, "low", ("app", "1"), 2).await;
    let image = image_in(VIRTUAL, "app");
    assert_eq!(owner.client.tagged_digest(&image, "1").await, high);
    set_reading(&accounts, "high", ":stopVirtualReader").await;
    assert_eq!(owner.client.tagged_digest(&image, "1").await, low);
    let tags = owner.client.get(&format!("/v2/{image}/tags/list")).await.expect_status(200);
    assert_eq!(tags.json()["tags"], json!(["1"]));
    let images = owner.get(&api_path(VIRTUAL, "/dockerImages")).await.expect_status(200);
    assert_eq!(images.json()["dockerImages"].as_array().map(Vec::len), Some(1));
    // gcloud sends the configuration without what it does not know: the failure policy stays.
    let body = virtual_body(&[policy("high", 5), policy("low", 1)], json!({}));
    let updated = owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200).json();
    assert_eq!(updated["virtualRepositoryConfig"]["failurePolicy"], "FALL_THROUGH");
    assert_eq!(owner.client.tagged_digest(&image, "1").await, low);
    // A mask that names it sets it alone.
    let path = api_path(VIRTUAL, "?updateMask=virtualRepositoryConfig.failurePolicy");
    let closed = json!({ "virtualRepositoryConfig": { "failurePolicy": "FAIL_CLOSED" } });
    let updated = owner.patch(&path, &closed).await.expect_status(200).json();
    let policies = updated["virtualRepositoryConfig"]["upstreamPolicies"].as_array();
    assert_eq!(policies.map(Vec::len), Some(2), "{updated}");
    owner.client.head(&manifest_path(&image, "1")).await.expect_status(502);
}

/// Names of a company that are pinned are never looked for elsewhere.
async fn a_pin_ends_the_question(accounts: AccountServer) {
    let more = json!({ "pins": [{ "imagePrefix": "corp/", "upstreamId": "low" }] });
    super::set_up_virtual_with(&accounts, &[("high", 2), ("low", 1)], more).await;
    let owner = &accounts.owner;
    push(&owner.client, "high", ("corp/app", "1"), 1).await;
    let image = image_in(VIRTUAL, "corp/app");
    let missing = owner.client.get(&manifest_path(&image, "1")).await;
    missing.expect_oci_error("404 MANIFEST_UNKNOWN");
    let layer = digest_of(&Image::new(1).blobs[1]);
    owner.client.get(&blob_path(&image, layer)).await.expect_oci_error("404 BLOB_UNKNOWN");
    let pinned = push(&owner.client, "low", ("corp/app", "1"), 2).await;
    assert_eq!(owner.client.tagged_digest(&image, "1").await, pinned);
    // Lists show what a pull gets: nothing of the upstream that is not asked.
    push(&owner.client, "high", ("corp/only", "1"), 3).await;
    push(&owner.client, "high", ("other", "1"), 4).await;
    let list = owner.get(&api_path(VIRTUAL, "/dockerImages")).await.expect_status(200).json();
    let shown = list["dockerImages"].as_array().into_iter().flatten();
    let shown: Vec<_> = shown.map(|image| json!([image["name"], image["tags"]])).collect();
    let name = |image: &str, digest: &str| {
        let images = api_path(VIRTUAL, "/dockerImages/")[4..].to_owned();
        format!("{images}{image}@{digest}")
    };
    let other = name("other", &Image::new(4).digest());
    assert_eq!(shown, [json!([other, ["1"]]), json!([name("corp%2Fapp", &pinned), ["1"]])]);
    let list = owner.get(&api_path(VIRTUAL, "/packages")).await.expect_status(200).json();
    assert_eq!(list["packages"].as_array().map(Vec::len), Some(2), "{list}");
    let list = owner.client.get(&format!("/v2/{}/tags/list", image_in(VIRTUAL, "corp"))).await;
    assert_eq!(list.expect_status(200).json()["child"], json!(["app"]));
    // gcloud sends the configuration without the pins: they stay.
    let body = virtual_body(&[policy("high", 2), policy("low", 1)], json!({}));
    owner.patch(&api_path(VIRTUAL, ""), &body).await.expect_status(200);
    assert_eq!(owner.client.tagged_digest(&image, "1").await, pinned);
    let path = api_path(VIRTUAL, "?updateMask=virtualRepositoryConfig.pins");
    let without = json!({ "virtualRepositoryConfig": {} });
    owner.patch(&path, &without).await.expect_status(200);
    assert_eq!(owner.client.tagged_digest(&image, "1").await, Image::new(1).digest());
}
