//! Tags through the API: creation, moves, deletes and immutability.

use serde_json::json;

use super::{
    api_path, image_path, list_names, push_image, put_tag, resource_name, set_immutable,
    set_up_repository, version_body,
};
use crate::util::google::IMMUTABLE_SENTENCE;
use crate::util::{AccountServer, GoogleClient, Image, on_both};

async fn list_tags(owner: &GoogleClient, image: &str) -> Vec<String> {
    list_names(owner, &api_path(&format!("packages/{image}/tags")), ("tags", "name")).await
}

on_both![
    a_tag_is_created_moved_and_deleted,
    invalid_tags_are_refused,
    an_immutable_tag_is_not_moved_or_deleted_by_any_method,
    one_of_many_concurrent_writers_sets_an_immutable_tag
];

async fn a_tag_is_created_moved_and_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    push_image(owner, "a/b", "v1", &first).await;
    push_image(owner, "a/b", &second.digest(), &second).await;
    let tags = api_path("packages/a%2Fb/tags");
    let made = owner
        .post(&format!("{tags}?tagId=stable"), &version_body("a%2Fb", &first))
        .await
        .expect_status(200)
        .json();
    let shown = json!({
        "name": resource_name("packages/a%2Fb/tags/stable"),
        "version": version_body("a%2Fb", &first)["version"],
    });
    assert_eq!(made, shown);
    assert_eq!(owner.get(&format!("{tags}/stable")).await.expect_status(200).json(), shown);
    // A tag that the API made can be pulled.
    let pulled = owner
        .client
        .head(&format!("/v2/{}/manifests/stable", image_path("a/b")))
        .await
        .expect_status(200);
    assert_eq!(pulled.header("docker-content-digest"), first.digest());

    let taken = owner.post(&format!("{tags}?tagId=stable"), &version_body("a%2Fb", &second)).await;
    taken.expect_google_error("409 ALREADY_EXISTS");
    accounts.server.clock.advance_seconds(60);
    let moved = owner
        .patch(&format!("{tags}/stable?updateMask=version"), &version_body("a%2Fb", &second))
        .await;
    assert_eq!(
        moved.expect_status(200).json()["version"],
        version_body("a%2Fb", &second)["version"]
    );
    let version =
        owner.get(&api_path(&format!("packages/a%2Fb/versions/{}", second.digest()))).await.json();
    assert!(
        version["createTime"].as_str() < version["updateTime"].as_str(),
        "it moves with the tag: {version}"
    );

    assert_eq!(owner.delete(&format!("{tags}/stable")).await.expect_status(200).json(), json!({}));
    owner.get(&format!("{tags}/stable")).await.expect_google_error("404 NOT_FOUND");
    owner.delete(&format!("{tags}/stable")).await.expect_google_error("404 NOT_FOUND");
    owner
        .patch(&format!("{tags}/stable"), &version_body("a%2Fb", &second))
        .await
        .expect_google_error("404 NOT_FOUND");
    assert_eq!(list_tags(owner, "a%2Fb").await, ["v1"]);
    owner
        .client
        .head(&format!("/v2/{}/manifests/{}", image_path("a/b"), second.digest()))
        .await
        .expect_status(200);
}

async fn invalid_tags_are_refused(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (here, elsewhere) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "v1", &here).await;
    push_image(owner, "b", "v1", &elsewhere).await;
    let tags = api_path("packages/a/tags");
    let of_b = version_body("b", &elsewhere);
    let nowhere = version_body("a", &elsewhere);
    for (id, body, outcome) in [
        ("x", &of_b, "400 INVALID_ARGUMENT"),
        ("x", &nowhere, "404 NOT_FOUND"),
        ("x", &json!({ "version": "x" }), "400 INVALID_ARGUMENT"),
        ("x", &json!({}), "400 INVALID_ARGUMENT"),
        ("", &version_body("a", &here), "400 INVALID_ARGUMENT"),
        ("a%3Ab", &version_body("a", &here), "400 INVALID_ARGUMENT"),
        ("..", &version_body("a", &here), "400 INVALID_ARGUMENT"),
    ] {
        owner.post(&format!("{tags}?tagId={id}"), body).await.expect_google_error(outcome);
    }
    owner
        .post(&format!("{}?tagId=x", api_path("packages/c/tags")), &of_b)
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    owner
        .post(&format!("{}?tagId=x", api_path("packages/c/tags")), &version_body("c", &here))
        .await
        .expect_google_error("404 NOT_FOUND");
    owner.patch(&format!("{tags}/v1"), &of_b).await.expect_google_error("400 INVALID_ARGUMENT");
    owner.patch(&format!("{tags}/v1"), &nowhere).await.expect_google_error("404 NOT_FOUND");
    let masked =
        owner.patch(&format!("{tags}/v1?updateMask=name"), &version_body("a", &here)).await;
    masked.expect_google_error("400 INVALID_ARGUMENT");
    for image in ["a", "b"] {
        assert_eq!(list_tags(owner, image).await, ["v1"]);
    }
}

async fn an_immutable_tag_is_not_moved_or_deleted_by_any_method(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (first, second) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "v1", &first).await;
    push_image(owner, "a", &second.digest(), &second).await;
    let fallback = format!("sha256-{}", &first.digest()["sha256:".len()..]);
    push_image(owner, "only-fallback", &fallback, &first).await;
    set_immutable(owner, true).await;
    let version = |image: &Image| api_path(&format!("packages/a/versions/{}", image.digest()));
    let tags = api_path("packages/a/tags");

    let batch = api_path("packages/a/versions:batchDelete");
    let named = json!({ "names": [version_body("a", &first)["version"]] });
    for refused in [
        owner.patch(&format!("{tags}/v1"), &version_body("a", &second)).await,
        owner.delete(&format!("{tags}/v1")).await,
        owner.delete(&format!("{}?force=true", version(&first))).await,
        owner.delete(&api_path("packages/a")).await,
    ] {
        let refused = refused.expect_google_error("400 FAILED_PRECONDITION");
        let said = refused.text();
        assert!(said.contains(IMMUTABLE_SENTENCE) && said.contains(&first.digest()), "{said}");
    }
    owner.delete(&version(&first)).await.expect_google_error("400 FAILED_PRECONDITION");
    let undone = owner.post(&batch, &named).await.expect_status(200).json();
    assert_eq!(undone["metadata"]["failedVersions"], named["names"]);
    assert_eq!(undone["error"]["code"], 9, "{undone}");
    owner
        .post(&format!("{tags}?tagId=v1"), &version_body("a", &second))
        .await
        .expect_google_error("409 ALREADY_EXISTS");

    // Setting the same version is no change, and a new tag is allowed. Another spelling is a new tag.
    owner.patch(&format!("{tags}/v1"), &version_body("a", &first)).await.expect_status(200);
    owner.post(&format!("{tags}?tagId=V1"), &version_body("a", &second)).await.expect_status(200);
    owner
        .patch(&format!("{tags}/V1"), &version_body("a", &first))
        .await
        .expect_google_error("400 FAILED_PRECONDITION");
    assert_eq!(list_tags(owner, "a").await, ["V1", "v1"]);
    // An untagged version can be deleted. So can an image whose only tags stand in for referrers.
    let untagged = Image::new(3);
    push_image(owner, "a", &untagged.digest(), &untagged).await;
    owner.delete(&version(&untagged)).await.expect_status(200);
    owner.delete(&api_path("packages/only-fallback")).await.expect_status(200);

    set_immutable(owner, false).await;
    owner.patch(&format!("{tags}/v1"), &version_body("a", &second)).await.expect_status(200);
    owner.delete(&api_path("packages/a")).await.expect_status(200);
}

async fn one_of_many_concurrent_writers_sets_an_immutable_tag(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let images: Vec<Image> = (0..4).map(Image::new).collect();
    for image in &images {
        push_image(owner, "a", &image.digest(), image).await;
    }
    set_immutable(owner, true).await;
    for round in 0..10 {
        let tags = api_path("packages/a/tags");
        let made = images.iter().enumerate().map(|(number, image)| {
            let (tags, body) = (format!("{tags}?tagId=v{round}"), version_body("a", image));
            async move {
                match number % 2 {
                    0 => owner.post(&tags, &body).await.status,
                    _ => put_tag(owner, "a", &format!("v{round}"), image).await.status,
                }
            }
        });
        let made = futures_util::future::join_all(made).await;
        let won = made.iter().filter(|status| status.is_success()).count();
        assert_eq!(won, 1, "{made:?}");
    }
}
