//! Pulls from a virtual repository.

use http::Method;
use serde_json::{Value, json};

use super::{
    VIRTUAL, api_path, create_from_body, image_in, policy, push, set_up_virtual, virtual_body,
};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Image, blob_path, digest_of, image::insert_images, index_of, manifest_path,
    on_both, random_bytes,
};

const READER: &str = "roles/artifactregistry.reader";

on_both![
    the_example_of_the_page_works,
    the_highest_priority_that_has_a_version_serves_it,
    blobs_come_from_the_upstream_whose_manifest_names_them,
    attack_25_readers_of_the_virtual_repository_read_nothing_else,
    rules_of_the_upstream_deny_downloads,
    pushes_and_deletes_are_refused,
    a_remote_repository_reads_a_repository_of_this_registry,
    a_virtual_repository_reads_through_a_remote_one,
    a_tree_of_upstreams_has_a_bound,
    an_image_that_very_many_repositories_have_is_found,
    an_index_and_its_images_are_served
];

/// main-repo 100, secondary-repo1 80, secondary-repo2 80, test-repo 20.
async fn the_example_of_the_page_works(accounts: AccountServer) {
    let upstreams =
        [("test-repo", 20), ("secondary-repo2", 80), ("main-repo", 100), ("secondary-repo1", 80)];
    set_up_virtual(&accounts, &upstreams).await;
    let owner = &accounts.owner.client;
    let image = image_in(VIRTUAL, "app");
    owner.get(&manifest_path(&image, "1")).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    // Each push stands before those of lower priority, and the equal ones in the order of their ids.
    for (seed, repository) in
        ["test-repo", "secondary-repo2", "secondary-repo1", "main-repo"].into_iter().enumerate()
    {
        let digest = push(owner, repository, ("app", "1"), seed as u64).await;
        assert_eq!(owner.tagged_digest(&image, "1").await, digest, "{repository}");
    }
    push(owner, "test-repo", ("app", "1"), 9).await;
    assert_eq!(owner.tagged_digest(&image, "1").await, Image::new(3).digest());
}

async fn the_highest_priority_that_has_a_version_serves_it(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner.client;
    let high = push(owner, "high", ("app", "1"), 1).await;
    let low = push(owner, "low", ("app", "1"), 2).await;
    let only_low = push(owner, "low", ("app", "2"), 3).await;
    let other_image = push(owner, "low", ("team/other", "1"), 4).await;
    let image = image_in(VIRTUAL, "app");
    assert_eq!(owner.tagged_digest(&image, "1").await, high);
    assert_eq!(owner.tagged_digest(&image, "2").await, only_low);
    assert_eq!(owner.tagged_digest(&image_in(VIRTUAL, "team/other"), "1").await, other_image);
    // By digest, every version of the image is there.
    for (digest, seed) in [(&high, 1), (&low, 2), (&only_low, 3)] {
        let pulled = owner.get(&manifest_path(&image, digest)).await.expect_status(200);
        assert_eq!(pulled.text(), Image::new(seed).manifest);
        assert_eq!(pulled.header("docker-content-digest"), digest);
        let seen = owner.head(&manifest_path(&image, digest)).await.expect_status(200);
        assert_eq!(seen.header("content-length"), pulled.body.len().to_string());
    }
    // Another image's version is not.
    let elsewhere = owner.get(&manifest_path(&image, &other_image)).await;
    elsewhere.expect_oci_error("404 MANIFEST_UNKNOWN");
    let missing = image_in(VIRTUAL, "absent");
    owner.get(&manifest_path(&missing, "1")).await.expect_oci_error("404 MANIFEST_UNKNOWN");
    // Without the higher one, the lower one's image has the tag.
    owner.delete(&manifest_path(&image_in("high", "app"), &high)).await.expect_status(202);
    assert_eq!(owner.tagged_digest(&image, "1").await, low);
}

async fn blobs_come_from_the_upstream_whose_manifest_names_them(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner.client;
    push(owner, "high", ("app", "1"), 1).await;
    push(owner, "low", ("app", "1"), 2).await;
    let image = image_in(VIRTUAL, "app");
    for seed in [1, 2] {
        for blob in Image::new(seed).blobs {
            let path = blob_path(&image, digest_of(&blob));
            let pulled = owner.get(&path).await.expect_status(200);
            assert_eq!(pulled.body, blob);
            let seen = owner.head(&path).await.expect_status(200);
            assert_eq!(seen.header("content-length"), blob.len().to_string());
            let ranged = owner.clone().with_header("range", "bytes=5-9").get(&path).await;
            assert_eq!(ranged.expect_status(206).body, blob[5..10]);
        }
    }
    // No manifest names this blob, so no pull needs it.
    let loose = owner.push_blob(&image_in("high", "app"), random_bytes(50, 77)).await;
    owner.get(&blob_path(&image, &loose)).await.expect_oci_error("404 BLOB_UNKNOWN");
    let absent = digest_of("absent");
    owner.head(&blob_path(&image, &absent)).await.expect_status(404);
}

/// Who may read only the virtual repository reads through it what it shows, and nothing past it. A stranger reads
/// nothing.
async fn attack_25_readers_of_the_virtual_repository_read_nothing_else(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    accounts.create_repository(PROJECT, "outside").await;
    let owner = &accounts.owner.client;
    let digest = push(owner, "high", ("app", "1"), 1).await;
    push(owner, "outside", ("app", "1"), 5).await;
    let shown = repository_name(PROJECT, VIRTUAL);
    let reader = accounts.create_actor_with("reader", (READER, &shown)).await;
    let stranger = accounts.create_actor("stranger").await;
    let layer = digest_of(&Image::new(1).blobs[1]);
    let hidden = digest_of(&Image::new(5).blobs[1]);
    let image = image_in(VIRTUAL, "app");
    let etag = format!("\"{digest}\"");
    for path in [manifest_path(&image, "1"), blob_path(&image, &layer)] {
        reader.client.get(&path).await.expect_status(200);
        for method in [Method::GET, Method::HEAD] {
            let refused = stranger.client.send(method, &path, "").await;
            assert_eq!(refused.status, 403, "{path}");
            assert_eq!(refused.header("etag"), "", "{path}");
        }
        let guessed = stranger.client.clone().with_header("if-none-match", &etag).get(&path).await;
        assert_eq!(guessed.status, 403, "{path}");
    }
    for path in [
        manifest_path(&image_in("high", "app"), "1"),
        blob_path(&image_in("high", "app"), &layer),
        manifest_path(&image_in("outside", "app"), "1"),
    ] {
        reader.client.get(&path).await.expect_oci_error("403 DENIED");
    }
    // The content of another repository of the same project is not reached by way of this one.
    let outside = Image::new(5).digest();
    let by_digest = reader.client.get(&manifest_path(&image, outside)).await;
    by_digest.expect_oci_error("404 MANIFEST_UNKNOWN");
    reader.client.get(&blob_path(&image, hidden)).await.expect_oci_error("404 BLOB_UNKNOWN");
    // The name of an upstream is shown to those who may read the settings of the virtual repository, as Google does.
    stranger.get(&format!("/v1/{shown}")).await.expect_google_error("403 PERMISSION_DENIED");
}

/// The upstream that has a version decides: a lower one does not answer instead.
async fn rules_of_the_upstream_deny_downloads(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner;
    push(&owner.client, "high", ("app", "1"), 1).await;
    push(&owner.client, "low", ("app", "1"), 2).await;
    let rule = json!({ "action": "DENY", "operation": "DOWNLOAD", "packageId": "app" });
    owner.post(&api_path("high", "/rules?ruleId=deny"), &rule).await.expect_status(200);
    let path = manifest_path(&image_in(VIRTUAL, "app"), "1");
    owner.client.get(&path).await.expect_oci_error("403 DENIED");
    let on_virtual = owner.post(&api_path(VIRTUAL, "/rules?ruleId=deny"), &rule).await;
    on_virtual.expect_google_error("400 FAILED_PRECONDITION");
    owner.delete(&api_path("high", "/rules/deny")).await.expect_status(200);
    owner.client.get(&path).await.expect_status(200);
}

async fn pushes_and_deletes_are_refused(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2)]).await;
    let owner = &accounts.owner;
    let digest = push(&owner.client, "high", ("app", "1"), 1).await;
    let image = image_in(VIRTUAL, "app");
    let client = &owner.client;
    let manifest = Image::new(1).manifest;
    for refused in [
        client.post(&format!("/v2/{image}/blobs/uploads/"), "").await,
        client.post(&format!("/v2/{image}/blobs/uploads/?digest={}", digest_of("x")), "x").await,
        client.push_manifest((&image, "2"), model::media_type::OCI_MANIFEST, manifest).await,
        client.delete(&manifest_path(&image, "1")).await,
        client.delete(&manifest_path(&image, &digest)).await,
    ] {
        let refused = refused.expect_oci_error("405 UNSUPPORTED");
        assert!(refused.oci_message().contains("push to one of its upstreams"), "{refused:#?}");
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    for (path, body) in [
        (
            "/packages/app/tags?tagId=x",
            json!({ "version": api_path(VIRTUAL, "")[4..].to_owned()
            + &format!("/packages/app/versions/{digest}") }),
        ),
        (
            "/packages/app/versions:batchDelete",
            json!({ "names":
            [api_path(VIRTUAL, &format!("/packages/app/versions/{digest}"))[4..]] }),
        ),
    ] {
        let refused = owner.post(&api_path(VIRTUAL, path), &body).await;
        refused.expect_google_error("400 FAILED_PRECONDITION");
    }
    for path in ["/packages/app", "/packages/app/tags/1"] {
        let refused = owner.delete(&api_path(VIRTUAL, path)).await;
        refused.expect_google_error("400 FAILED_PRECONDITION");
    }
    assert_eq!(client.tagged_digest(&image_in("high", "app"), "1").await, digest);
}

async fn an_index_and_its_images_are_served(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let owner = &accounts.owner.client;
    let (below, member) = (image_in("low", "app"), Image::new(1));
    member.push(owner, (&below, &member.digest())).await;
    let index = index_of(&[member.descriptor()]);
    let media_type = model::media_type::OCI_INDEX;
    owner.push_manifest((&below, "1"), media_type, index.clone()).await.expect_status(201);
    let image = image_in(VIRTUAL, "app");
    let pulled = owner.get(&manifest_path(&image, "1")).await.expect_status(200);
    assert_eq!(
        (pulled.text().as_ref(), pulled.header("content-type")),
        (index.as_str(), media_type)
    );
    let pulled = owner.get(&manifest_path(&image, member.digest())).await.expect_status(200);
    assert_eq!(pulled.text(), member.manifest);
}

/// The body of a remote repository that reads a repository of the first project.
fn remote_body(upstream: &str) -> Value {
    json!({ "format": "DOCKER", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig":
        { "commonRepository": { "uri": repository_name(PROJECT, upstream) } } })
}

async fn a_remote_repository_reads_a_repository_of_this_registry(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "source").await;
    create_from_body(&accounts, "remote", &remote_body("source")).await.expect_status(200);
    let owner = &accounts.owner;
    let digest = push(&owner.client, "source", ("app", "1"), 1).await;
    let image = image_in("remote", "app");
    assert_eq!(owner.client.tagged_digest(&image, "1").await, digest);
    for blob in Image::new(1).blobs {
        let pulled = owner.client.get(&blob_path(&image, digest_of(&blob))).await;
        assert_eq!(pulled.expect_status(200).body, blob);
    }
    let tags = owner.client.get(&format!("/v2/{image}/tags/list")).await.expect_status(200).json();
    assert_eq!(tags["tags"], json!(["1"]));
    let images = owner.get(&api_path("remote", "/dockerImages")).await.expect_status(200).json();
    assert_eq!(images["dockerImages"].as_array().map(Vec::len), Some(1));
    let pushed = owner.client.post(&format!("/v2/{image}/blobs/uploads/"), "").await;
    let pushed = pushed.expect_oci_error("405 UNSUPPORTED");
    assert!(pushed.oci_message().contains("is a remote repository"), "{pushed:#?}");
    let rule = json!({ "action": "DENY", "operation": "DOWNLOAD" });
    let refused = owner.post(&api_path("remote", "/rules?ruleId=deny"), &rule).await;
    refused.expect_google_error("400 FAILED_PRECONDITION");
    // Its reader needs no permission on the other repository, whose administrators can stop it.
    let shown = repository_name(PROJECT, "remote");
    let reader = accounts.create_actor_with("reader", (READER, &shown)).await;
    reader.client.get(&manifest_path(&image, "1")).await.expect_status(200);
    let stop = json!({ "reader": shown });
    owner.post(&api_path("source", ":stopVirtualReader"), &stop).await.expect_status(200);
    let stopped = reader.client.get(&manifest_path(&image, "1")).await;
    stopped.expect_oci_error("502 UNAVAILABLE");
}

async fn a_virtual_repository_reads_through_a_remote_one(accounts: AccountServer) {
    for id in ["source", "low"] {
        accounts.create_repository(PROJECT, id).await;
    }
    // The chain is: all -> remote -> inner, which is virtual and has a pin -> source, low.
    let policies = [policy("source", 2), policy("low", 1)];
    let pins = json!({ "pins": [{ "imagePrefix": "corp/", "upstreamId": "low" }] });
    create_from_body(&accounts, "inner", &virtual_body(&policies, pins)).await.expect_status(200);
    create_from_body(&accounts, "remote", &remote_body("inner")).await.expect_status(200);
    let outer = virtual_body(&[policy("remote", 9), policy("low", 1)], json!({}));
    create_from_body(&accounts, VIRTUAL, &outer).await.expect_status(200);
    let owner = &accounts.owner;
    push(&owner.client, "low", ("app", "1"), 1).await;
    let source = push(&owner.client, "source", ("app", "1"), 2).await;
    let image = image_in(VIRTUAL, "app");
    assert_eq!(owner.client.tagged_digest(&image, "1").await, source);
    let layer = digest_of(&Image::new(2).blobs[1]);
    owner.client.get(&blob_path(&image, layer)).await.expect_status(200);
    // The pin of the inner repository holds for those who come through.
    push(&owner.client, "source", ("corp/app", "1"), 3).await;
    let missing = owner.client.get(&manifest_path(&image_in(VIRTUAL, "corp/app"), "1")).await;
    missing.expect_oci_error("404 MANIFEST_UNKNOWN");
    // A failure deep below ends the request here, too, and names only what this repository reads.
    let stop = json!({ "reader": repository_name(PROJECT, "inner") });
    owner.post(&api_path("source", ":stopVirtualReader"), &stop).await.expect_status(200);
    let failed = owner.client.get(&manifest_path(&image, "1")).await;
    let failed = failed.expect_oci_error("502 UNAVAILABLE");
    assert!(failed.oci_message().contains("the upstream \"remote\""), "{failed:#?}");
    assert!(!failed.oci_message().contains("source"), "{failed:#?}");
}

/// Repositories that read others, which read others: a few requests must not make a pull read millions.
async fn a_tree_of_upstreams_has_a_bound(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "leaf").await;
    push(&accounts.owner.client, "leaf", ("app", "1"), 1).await;
    let mut below = "leaf".to_owned();
    for level in 0..7 {
        let mut policies = Vec::new();
        for part in 0..4 {
            let id = format!("r{level}-{part}");
            create_from_body(&accounts, &id, &remote_body(&below)).await.expect_status(200);
            policies.push(policy(&id, part));
        }
        below = format!("v{level}");
        let body = virtual_body(&policies, json!({}));
        create_from_body(&accounts, &below, &body).await.expect_status(200);
    }
    let shallow = manifest_path(&image_in("v1", "app"), "1");
    accounts.owner.client.get(&shallow).await.expect_status(200);
    let deep = accounts.owner.client.get(&manifest_path(&image_in(&below, "app"), "1")).await;
    let deep = deep.expect_oci_error("502 UNAVAILABLE");
    assert!(deep.oci_message().contains("too many repositories"), "{deep:#?}");
}

async fn an_image_that_very_many_repositories_have_is_found(accounts: AccountServer) {
    set_up_virtual(&accounts, &[("high", 2), ("low", 1)]).await;
    let mut others = Vec::new();
    for number in 0..70 {
        let id = format!("other{number}");
        accounts.create_repository(PROJECT, &id).await;
        others.push(repository_name(PROJECT, &id));
    }
    let meta = accounts.server.open_meta().await;
    let inserted = meta.write(move |tx| -> Result<(), meta::MetaError> {
        for other in &others {
            insert_images(tx, &other.parse().expect("a repository"), &["app".to_owned()])?;
        }
        Ok(())
    });
    inserted.await.expect("written");
    let owner = &accounts.owner.client;
    let digest = push(owner, "low", ("app", "1"), 1).await;
    assert_eq!(owner.tagged_digest(&image_in(VIRTUAL, "app"), "1").await, digest);
    let missing = owner.get(&manifest_path(&image_in(VIRTUAL, "app"), "2")).await;
    missing.expect_oci_error("404 MANIFEST_UNKNOWN");
}
