//! Tags: created, moved and taken away; and where they stay.

use serde_json::json;

use super::{R1, at, begin, name, path, push, tag, texts, version_of};
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Google, Image, on_both};

/// Words that clients look for.
pub(super) const SENTENCE: &str = "The repository has enabled tag immutability";

pub(super) async fn set_immutable(owner: &Google, immutable: bool) {
    let path = format!("/v1/{}?updateMask=dockerConfig.immutableTags", repository(PROJECT, R1));
    owner
        .patch(&path, &json!({ "dockerConfig": { "immutableTags": immutable } }))
        .await
        .expect(200);
}

async fn names(owner: &Google, image: &str) -> Vec<String> {
    texts(owner, &at(&format!("packages/{image}/tags")), ("tags", "name")).await
}

on_both![
    a_tag_is_created_moved_and_deleted,
    what_a_tag_cannot_be,
    a_tag_that_stays_is_neither_moved_nor_deleted_by_any_method,
    moved_by_many_at_once_a_tag_that_stays_is_one_of_them
];

async fn a_tag_is_created_moved_and_deleted(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    push(owner, "a/b", "v1", &first).await;
    push(owner, "a/b", &second.digest(), &second).await;
    let tags = at("packages/a%2Fb/tags");
    let made = owner
        .post(&format!("{tags}?tagId=stable"), &version_of("a%2Fb", &first))
        .await
        .expect(200)
        .json();
    let shown = json!({
        "name": name("packages/a%2Fb/tags/stable"), "version": version_of("a%2Fb", &first)["version"],
    });
    assert_eq!(made, shown);
    assert_eq!(owner.get(&format!("{tags}/stable")).await.expect(200).json(), shown);
    // What was made here is pulled there.
    let pulled =
        owner.client.head(&format!("/v2/{}/manifests/stable", path("a/b"))).await.expect(200);
    assert_eq!(pulled.header("docker-content-digest"), first.digest());

    let taken = owner.post(&format!("{tags}?tagId=stable"), &version_of("a%2Fb", &second)).await;
    taken.expect_google("409 ALREADY_EXISTS");
    accounts.server.clock.advance_seconds(60);
    let moved = owner
        .patch(&format!("{tags}/stable?updateMask=version"), &version_of("a%2Fb", &second))
        .await;
    assert_eq!(moved.expect(200).json()["version"], version_of("a%2Fb", &second)["version"]);
    let version =
        owner.get(&at(&format!("packages/a%2Fb/versions/{}", second.digest()))).await.json();
    assert!(
        version["createTime"].as_str() < version["updateTime"].as_str(),
        "it moves with the tag: {version}"
    );

    assert_eq!(owner.delete(&format!("{tags}/stable")).await.expect(200).json(), json!({}));
    owner.get(&format!("{tags}/stable")).await.expect_google("404 NOT_FOUND");
    owner.delete(&format!("{tags}/stable")).await.expect_google("404 NOT_FOUND");
    owner
        .patch(&format!("{tags}/stable"), &version_of("a%2Fb", &second))
        .await
        .expect_google("404 NOT_FOUND");
    assert_eq!(names(owner, "a%2Fb").await, ["v1"]);
    owner
        .client
        .head(&format!("/v2/{}/manifests/{}", path("a/b"), second.digest()))
        .await
        .expect(200);
}

async fn what_a_tag_cannot_be(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (here, elsewhere) = (Image::new(1), Image::new(2));
    push(owner, "a", "v1", &here).await;
    push(owner, "b", "v1", &elsewhere).await;
    let tags = at("packages/a/tags");
    let of_b = version_of("b", &elsewhere);
    let nowhere = version_of("a", &elsewhere);
    for (id, body, outcome) in [
        ("x", &of_b, "400 INVALID_ARGUMENT"),
        ("x", &nowhere, "404 NOT_FOUND"),
        ("x", &json!({ "version": "x" }), "400 INVALID_ARGUMENT"),
        ("x", &json!({}), "400 INVALID_ARGUMENT"),
        ("", &version_of("a", &here), "400 INVALID_ARGUMENT"),
        ("a%3Ab", &version_of("a", &here), "400 INVALID_ARGUMENT"),
        ("..", &version_of("a", &here), "400 INVALID_ARGUMENT"),
    ] {
        owner.post(&format!("{tags}?tagId={id}"), body).await.expect_google(outcome);
    }
    owner
        .post(&format!("{}?tagId=x", at("packages/c/tags")), &of_b)
        .await
        .expect_google("400 INVALID_ARGUMENT");
    owner
        .post(&format!("{}?tagId=x", at("packages/c/tags")), &version_of("c", &here))
        .await
        .expect_google("404 NOT_FOUND");
    owner.patch(&format!("{tags}/v1"), &of_b).await.expect_google("400 INVALID_ARGUMENT");
    owner.patch(&format!("{tags}/v1"), &nowhere).await.expect_google("404 NOT_FOUND");
    let masked = owner.patch(&format!("{tags}/v1?updateMask=name"), &version_of("a", &here)).await;
    masked.expect_google("400 INVALID_ARGUMENT");
    for image in ["a", "b"] {
        assert_eq!(names(owner, image).await, ["v1"]);
    }
}

async fn a_tag_that_stays_is_neither_moved_nor_deleted_by_any_method(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    push(owner, "a", "v1", &first).await;
    push(owner, "a", &second.digest(), &second).await;
    let fallback = format!("sha256-{}", &first.digest()["sha256:".len()..]);
    push(owner, "only-fallback", &fallback, &first).await;
    set_immutable(owner, true).await;
    let version = |image: &Image| at(&format!("packages/a/versions/{}", image.digest()));
    let tags = at("packages/a/tags");

    let batch = at("packages/a/versions:batchDelete");
    let named = json!({ "names": [version_of("a", &first)["version"]] });
    for refused in [
        owner.patch(&format!("{tags}/v1"), &version_of("a", &second)).await,
        owner.delete(&format!("{tags}/v1")).await,
        owner.delete(&format!("{}?force=true", version(&first))).await,
        owner.delete(&at("packages/a")).await,
    ] {
        let refused = refused.expect_google("400 FAILED_PRECONDITION");
        let said = refused.text();
        assert!(said.contains(SENTENCE) && said.contains(&first.digest()), "{said}");
    }
    owner.delete(&version(&first)).await.expect_google("400 FAILED_PRECONDITION");
    let undone = owner.post(&batch, &named).await.expect(200).json();
    assert_eq!(undone["metadata"]["failedVersions"], named["names"]);
    assert_eq!(undone["error"]["code"], 9, "{undone}");
    owner
        .post(&format!("{tags}?tagId=v1"), &version_of("a", &second))
        .await
        .expect_google("409 ALREADY_EXISTS");

    // The same again is no change, a new tag is none, and another spelling is a new tag.
    owner.patch(&format!("{tags}/v1"), &version_of("a", &first)).await.expect(200);
    owner.post(&format!("{tags}?tagId=V1"), &version_of("a", &second)).await.expect(200);
    owner
        .patch(&format!("{tags}/V1"), &version_of("a", &first))
        .await
        .expect_google("400 FAILED_PRECONDITION");
    assert_eq!(names(owner, "a").await, ["V1", "v1"]);
    // What has no tag may go, and so may an image with none but those that stand in for referrers.
    let untagged = Image::new(3);
    push(owner, "a", &untagged.digest(), &untagged).await;
    owner.delete(&version(&untagged)).await.expect(200);
    owner.delete(&at("packages/only-fallback")).await.expect(200);

    set_immutable(owner, false).await;
    owner.patch(&format!("{tags}/v1"), &version_of("a", &second)).await.expect(200);
    owner.delete(&at("packages/a")).await.expect(200);
}

async fn moved_by_many_at_once_a_tag_that_stays_is_one_of_them(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let images: Vec<Image> = (0..4).map(Image::new).collect();
    for image in &images {
        push(owner, "a", &image.digest(), image).await;
    }
    set_immutable(owner, true).await;
    for round in 0..10 {
        let tags = at("packages/a/tags");
        let made = images.iter().enumerate().map(|(number, image)| {
            let (tags, body) = (format!("{tags}?tagId=v{round}"), version_of("a", image));
            async move {
                match number % 2 {
                    0 => owner.post(&tags, &body).await.status,
                    _ => tag(owner, "a", &format!("v{round}"), image).await.status,
                }
            }
        });
        let made = futures_util::future::join_all(made).await;
        let won = made.iter().filter(|status| status.is_success()).count();
        assert_eq!(won, 1, "{made:?}");
    }
}
