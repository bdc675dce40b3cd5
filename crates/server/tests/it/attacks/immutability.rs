//! Attacks 11 and 12: deleting and moving immutable tags, by every API.

use model::media_type::OCI_MANIFEST;
use serde_json::json;

use crate::util::google::{IMMUTABLE_SENTENCE, repository_name};
use crate::util::{AccountServer, Client, Image, Reply, on_both};

const IMAGE: &str = "my-project/r1/image";

/// Creates a repository with immutable tags.
async fn create_immutable_repository(accounts: &AccountServer) {
    let path = "/v1/projects/my-project/locations/us-west1/repositories?repositoryId=r1";
    let body = json!({ "format": "DOCKER", "dockerConfig": { "immutableTags": true } });
    accounts.owner.post(path, &body).await.expect_status(200);
}

async fn put_tag(client: &Client, image: &Image, tag: &str) -> Reply {
    client.push_manifest((IMAGE, tag), OCI_MANIFEST, image.manifest.clone()).await
}

#[track_caller]
fn expect_tag_immutable(reply: &Reply, tag: &str, held: &Image) {
    assert_eq!(reply.status, 400, "{reply:#?}");
    let error = &reply.json()["errors"][0];
    assert_eq!(error["code"], "MANIFEST_INVALID");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.starts_with(&format!("cannot update tag {tag}. {IMMUTABLE_SENTENCE}")),
        "{message}"
    );
    assert!(message.contains(&held.digest()), "{message}");
}

on_both![
    attack_12_an_immutable_tag_cannot_be_moved,
    attack_11_an_immutable_tag_cannot_be_deleted,
    attack_12_one_of_many_concurrent_pushes_wins
];

async fn attack_12_an_immutable_tag_cannot_be_moved(accounts: AccountServer) {
    create_immutable_repository(&accounts).await;
    let client = &accounts.owner.client;
    let (first, second) = (Image::new(1), Image::new(2));
    first.push(client, (IMAGE, "v1")).await;
    second.push_blobs(client, IMAGE).await;
    // Pushing the same digest again is no change.
    put_tag(client, &first, "v1").await.expect_status(201);
    expect_tag_immutable(&put_tag(client, &second, "v1").await, "v1", &first);
    // A push by digest with several tags makes none of them if one is refused.
    let several = format!("/v2/{IMAGE}/manifests/{}?tag=new&tag=v1", second.digest());
    let put = client.clone().with_header("content-type", OCI_MANIFEST);
    expect_tag_immutable(&put.put(&several, second.manifest.clone()).await, "v1", &first);
    client.head(&format!("/v2/{IMAGE}/manifests/new")).await.expect_status(404);
    // Another spelling is another tag, and the first one stays.
    put_tag(client, &second, "V1").await.expect_status(201);
    let held = client.head(&format!("/v2/{IMAGE}/manifests/v1")).await.expect_status(200);
    assert_eq!(held.header("docker-content-digest"), first.digest());
    // A tag that stands in for referrers moves with each signature.
    let fallback = format!("sha256-{}", &first.digest()["sha256:".len()..]);
    put_tag(client, &first, &fallback).await.expect_status(201);
    put_tag(client, &second, &fallback).await.expect_status(201);
    client.delete(&format!("/v2/{IMAGE}/manifests/{fallback}")).await.expect_status(202);

    accounts.owner.set_immutable_tags(&repository_name("my-project", "r1"), false).await;
    put_tag(client, &second, "v1").await.expect_status(201);
    accounts.owner.set_immutable_tags(&repository_name("my-project", "r1"), true).await;
    expect_tag_immutable(&put_tag(client, &first, "v1").await, "v1", &second);
}

async fn attack_11_an_immutable_tag_cannot_be_deleted(accounts: AccountServer) {
    create_immutable_repository(&accounts).await;
    let client = &accounts.owner.client;
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    tagged.push(client, (IMAGE, "v1")).await;
    untagged.push(client, (IMAGE, &untagged.digest())).await;
    for path in
        [format!("/v2/{IMAGE}/manifests/v1"), format!("/v2/{IMAGE}/manifests/{}", tagged.digest())]
    {
        expect_tag_immutable(&client.delete(&path).await, "v1", &tagged);
        client.get(&path).await.expect_status(200);
    }
    client.delete(&format!("/v2/{IMAGE}/manifests/{}", untagged.digest())).await.expect_status(202);
    // The whole repository can be deleted.
    accounts
        .owner
        .delete(&format!("/v1/{}", repository_name("my-project", "r1")))
        .await
        .expect_status(200);
    client.get(&format!("/v2/{IMAGE}/manifests/v1")).await.expect_status(404);
}

async fn attack_12_one_of_many_concurrent_pushes_wins(accounts: AccountServer) {
    create_immutable_repository(&accounts).await;
    let images: Vec<_> = (0..4).map(Image::new).collect();
    for image in &images {
        image.push_blobs(&accounts.owner.client, IMAGE).await;
    }
    for round in 0..10 {
        let name = format!("v{round}");
        let pushes = images.iter().map(|image| put_tag(&accounts.owner.client, image, &name));
        let replies = futures_util::future::join_all(pushes).await;
        let won: Vec<_> = (0..4).filter(|n| replies[*n].status == 201).collect();
        assert_eq!(won.len(), 1, "{replies:#?}");
        let winner = &images[won[0]];
        for lost in (0..4).filter(|n| *n != won[0]) {
            expect_tag_immutable(&replies[lost], &name, winner);
        }
        let held = accounts.owner.client.head(&format!("/v2/{IMAGE}/manifests/{name}")).await;
        assert_eq!(held.header("docker-content-digest"), winner.digest());
    }
}
