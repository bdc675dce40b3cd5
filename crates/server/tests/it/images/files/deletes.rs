//! Deletes of files.

use std::collections::BTreeSet;

use model::media_type::OCI_INDEX;
use serde_json::json;

use super::{file_path, image_digests, list_files, media_path, sort_unique};
use crate::gc::collect_garbage;
use crate::images::{
    R1, api_path, image_path, push_image, resource_name, set_immutable, set_up_repository,
};
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, index_of, on_both};

on_both![
    the_files_of_a_deleted_image_are_deleted,
    a_file_is_deleted_when_nothing_needs_it,
    a_file_under_an_immutable_tag_is_not_deleted
];

async fn the_files_of_a_deleted_image_are_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (kept, gone, shared) = (Image::new(1), Image::new(2), Image::new(3));
    push_image(owner, "kept", "v1", &kept).await;
    push_image(owner, "kept", "v2", &shared).await;
    push_image(owner, "gone", "v1", &gone).await;
    push_image(owner, "gone", "v2", &shared).await;
    owner.delete(&api_path("packages/gone")).await.expect_status(200);
    // The manifest is gone at once. Its blobs go after the grace.
    owner.get(&file_path(&gone.digest())).await.expect_google_error("404 NOT_FOUND");
    owner.get(&media_path(&gone.digest())).await.expect_google_error("404 NOT_FOUND");
    let blob = owner.get(&file_path(&digest_of(&gone.blobs[1]))).await.expect_status(200).json();
    assert!(blob["owner"].is_null(), "{blob}");
    for digest in image_digests(&shared) {
        let shown = owner.get(&file_path(&digest)).await.expect_status(200).json();
        assert_eq!(
            shown["owner"],
            resource_name(&format!("packages/kept/versions/{}", shared.digest()))
        );
    }
    assert!(!list_files(owner, &api_path("files")).await.contains(&gone.digest()));
    for _ in 0..3 {
        collect_garbage(&accounts.server).await;
        accounts.server.clock.advance_hours(25);
    }
    let owner = &sign_in(&accounts.server, &accounts.owner_key).await;
    let left: BTreeSet<_> = image_digests(&kept).union(&image_digests(&shared)).cloned().collect();
    assert_eq!(list_files(owner, &api_path("files")).await, sort_unique(left));
}

async fn a_file_is_deleted_when_nothing_needs_it(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "v1", &tagged).await;
    push_image(owner, "a", &untagged.digest(), &untagged).await;
    push_image(owner, "b", &untagged.digest(), &untagged).await;
    let refused = |digest: String| async move {
        owner.delete(&file_path(&digest)).await.expect_google_error("400 FAILED_PRECONDITION")
    };
    // A manifest names each blob, and a tag names one of the manifests.
    let needed = refused(digest_of(&untagged.blobs[1])).await;
    assert!(needed.text().contains(&untagged.digest()), "{needed:#?}");
    let needed = refused(tagged.digest()).await;
    assert!(needed.text().contains("v1"), "{needed:#?}");
    // An index in one image keeps the manifest in the other image, too.
    let index = index_of(&[untagged.descriptor()]);
    owner
        .client
        .push_manifest((&image_path("b"), "multi"), OCI_INDEX, index.clone())
        .await
        .expect_status(201);
    let needed = refused(untagged.digest()).await;
    assert!(needed.text().contains(&digest_of(&index)), "{needed:#?}");
    owner
        .get(&api_path(&format!("packages/a/versions/{}", untagged.digest())))
        .await
        .expect_status(200);
    owner.delete(&api_path("packages/b/tags/multi")).await.expect_status(200);
    owner.delete(&file_path(&digest_of(&index))).await.expect_status(200);

    let gone = owner.delete(&file_path(&untagged.digest())).await.expect_status(200).json();
    assert_eq!(
        (&gone["done"], &gone["response"]["@type"]),
        (&json!(true), &json!("type.googleapis.com/google.protobuf.Empty"))
    );
    for image in ["a", "b"] {
        owner
            .get(&api_path(&format!("packages/{image}/versions/{}", untagged.digest())))
            .await
            .expect_google_error("404 NOT_FOUND");
    }
    owner.delete(&file_path(&untagged.digest())).await.expect_google_error("404 NOT_FOUND");
    for blob in &untagged.blobs {
        owner.delete(&file_path(&digest_of(blob))).await.expect_status(200);
        owner
            .client
            .head(&format!("/v2/{}/blobs/{}", image_path("a"), digest_of(blob)))
            .await
            .expect_status(404);
    }
    assert_eq!(list_files(owner, &api_path("files")).await, sort_unique(image_digests(&tagged)));
    let writer = accounts
        .create_actor_with(
            "writer",
            ("roles/artifactregistry.writer", &repository_name(PROJECT, R1)),
        )
        .await;
    for nobody in [writer, accounts.create_actor("stranger").await] {
        nobody
            .delete(&file_path(&digest_of(&tagged.blobs[1])))
            .await
            .expect_google_error("403 PERMISSION_DENIED");
    }
}

/// Attack 11 on files.
async fn a_file_under_an_immutable_tag_is_not_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a", "v1", &image).await;
    set_immutable(owner, true).await;
    for digest in image_digests(&image) {
        owner.delete(&file_path(&digest)).await.expect_google_error("400 FAILED_PRECONDITION");
    }
    owner.client.get(&format!("/v2/{}/manifests/v1", image_path("a"))).await.expect_status(200);
}
