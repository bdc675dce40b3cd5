//! Attacks 11 and 12: tags that should stay where they are, by every door that there is.

use model::media_type::OCI_MANIFEST;
use serde_json::json;

use crate::util::google::repository;
use crate::util::{Accounts, Client, Image, Reply, on_both};

const IMAGE: &str = "my-project/r1/image";

/// Words that clients look for.
const SENTENCE: &str = "The repository has enabled tag immutability";

/// A repository whose tags stay.
async fn immutable(accounts: &Accounts) {
    let path = "/v1/projects/my-project/locations/us-west1/repositories?repositoryId=r1";
    let body = json!({ "format": "DOCKER", "dockerConfig": { "immutableTags": true } });
    accounts.owner.post(path, &body).await.expect(200);
}

async fn set(accounts: &Accounts, immutable: bool) {
    let path =
        format!("/v1/{}?updateMask=dockerConfig.immutableTags", repository("my-project", "r1"));
    let body = json!({ "dockerConfig": { "immutableTags": immutable } });
    accounts.owner.patch(&path, &body).await.expect(200);
}

async fn tag(client: &Client, image: &Image, tag: &str) -> Reply {
    client.push_manifest((IMAGE, tag), OCI_MANIFEST, image.manifest.clone()).await
}

#[track_caller]
fn refused(reply: &Reply, tag: &str, held: &Image) {
    assert_eq!(reply.status, 400, "{reply:#?}");
    let error = &reply.json()["errors"][0];
    assert_eq!(error["code"], "MANIFEST_INVALID");
    let message = error["message"].as_str().expect("text");
    assert!(message.starts_with(&format!("cannot update tag {tag}. {SENTENCE}")), "{message}");
    assert!(message.contains(&held.digest()), "{message}");
}

on_both![
    attack_12_a_tag_that_stays_cannot_be_moved,
    attack_11_a_tag_that_stays_cannot_be_deleted,
    attack_12_of_many_at_once_one_wins
];

async fn attack_12_a_tag_that_stays_cannot_be_moved(accounts: Accounts) {
    immutable(&accounts).await;
    let client = &accounts.owner.client;
    let (first, second) = (Image::new(1), Image::new(2));
    first.push(client, (IMAGE, "v1")).await;
    second.push_blobs(client, IMAGE).await;
    // The same again is no change.
    tag(client, &first, "v1").await.expect(201);
    refused(&tag(client, &second, "v1").await, "v1", &first);
    // By the parameters of a push by digest, none of which is done when one cannot be.
    let several = format!("/v2/{IMAGE}/manifests/{}?tag=new&tag=v1", second.digest());
    let put = client.clone().with("content-type", OCI_MANIFEST);
    refused(&put.put(&several, second.manifest.clone()).await, "v1", &first);
    client.head(&format!("/v2/{IMAGE}/manifests/new")).await.expect(404);
    // Another spelling is another tag, and the first one stays.
    tag(client, &second, "V1").await.expect(201);
    let held = client.head(&format!("/v2/{IMAGE}/manifests/v1")).await.expect(200);
    assert_eq!(held.header("docker-content-digest"), first.digest());
    // What stands in for referrers is rewritten with each signature.
    let fallback = format!("sha256-{}", &first.digest()["sha256:".len()..]);
    tag(client, &first, &fallback).await.expect(201);
    tag(client, &second, &fallback).await.expect(201);
    client.delete(&format!("/v2/{IMAGE}/manifests/{fallback}")).await.expect(202);

    set(&accounts, false).await;
    tag(client, &second, "v1").await.expect(201);
    set(&accounts, true).await;
    refused(&tag(client, &first, "v1").await, "v1", &second);
}

async fn attack_11_a_tag_that_stays_cannot_be_deleted(accounts: Accounts) {
    immutable(&accounts).await;
    let client = &accounts.owner.client;
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    tagged.push(client, (IMAGE, "v1")).await;
    untagged.push(client, (IMAGE, &untagged.digest())).await;
    for path in
        [format!("/v2/{IMAGE}/manifests/v1"), format!("/v2/{IMAGE}/manifests/{}", tagged.digest())]
    {
        refused(&client.delete(&path).await, "v1", &tagged);
        client.get(&path).await.expect(200);
    }
    client.delete(&format!("/v2/{IMAGE}/manifests/{}", untagged.digest())).await.expect(202);
    // As a whole it may go.
    accounts.owner.delete(&format!("/v1/{}", repository("my-project", "r1"))).await.expect(200);
    client.get(&format!("/v2/{IMAGE}/manifests/v1")).await.expect(404);
}

async fn attack_12_of_many_at_once_one_wins(accounts: Accounts) {
    immutable(&accounts).await;
    let images: Vec<_> = (0..4).map(Image::new).collect();
    for image in &images {
        image.push_blobs(&accounts.owner.client, IMAGE).await;
    }
    for round in 0..10 {
        let name = format!("v{round}");
        let pushes = images.iter().map(|image| tag(&accounts.owner.client, image, &name));
        let replies = futures_util::future::join_all(pushes).await;
        let won: Vec<_> = (0..4).filter(|n| replies[*n].status == 201).collect();
        assert_eq!(won.len(), 1, "{replies:#?}");
        let winner = &images[won[0]];
        for lost in (0..4).filter(|n| *n != won[0]) {
            refused(&replies[lost], &name, winner);
        }
        let held = accounts.owner.client.head(&format!("/v2/{IMAGE}/manifests/{name}")).await;
        assert_eq!(held.header("docker-content-digest"), winner.digest());
    }
}
