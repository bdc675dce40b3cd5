//! Annotations of images and versions: changes, lists and limits.

use meta::params;
use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use super::{
    R1, api_path, image_path, list_all, list_names, percent_encode, push_image, set_up_repository,
};
use crate::gc::collect_garbage;
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, Image, digest_of, on_both};

fn annotations_body(annotations: Value) -> Value {
    json!({ "annotations": annotations })
}

/// Pushes an image whose manifest has annotations, and returns its digest.
async fn push_annotated(owner: &GoogleClient, image: &str, (key, value): (&str, &str)) -> String {
    let content = Image::new(7);
    content.push_blobs(&owner.client, &image_path(image)).await;
    let mut manifest: Value = serde_json::from_str(&content.manifest).expect("JSON");
    manifest["annotations"] = json!({ key: value });
    let manifest = manifest.to_string();
    let digest = digest_of(&manifest);
    owner
        .client
        .push_manifest((&image_path(image), "v1"), OCI_MANIFEST, manifest)
        .await
        .expect_status(201);
    digest
}

on_both![
    annotations_are_set_and_shown,
    lists_are_filtered_by_annotations,
    annotations_of_a_version_replace_those_of_its_manifest,
    invalid_annotations_are_refused,
    versions_of_the_last_release_are_listed_after_a_collection
];

async fn annotations_are_set_and_shown(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    push_image(owner, "a/b", "v1", &Image::new(1)).await;
    let package = api_path("packages/a%2Fb");
    assert!(owner.get(&package).await.expect_status(200).json()["annotations"].is_null());
    let annotations = json!({ "team": "web", "Größe": "\u{0}\"'" });
    let masked = format!("{package}?updateMask=annotations");
    let changed = owner
        .patch(&masked, &annotations_body(annotations.clone()))
        .await
        .expect_status(200)
        .json();
    assert_eq!(changed["annotations"], annotations);
    assert_eq!(owner.get(&package).await.expect_status(200).json(), changed);
    assert_eq!(list_all(owner, &api_path("packages"), "packages").await.0, [changed]);
    // An update replaces all annotations, also without a mask.
    let changed = owner
        .patch(&package, &annotations_body(json!({ "team": "api" })))
        .await
        .expect_status(200)
        .json();
    assert_eq!(changed["annotations"], json!({ "team": "api" }));
    let cleared = owner.patch(&masked, &json!({})).await.expect_status(200).json();
    assert!(cleared["annotations"].is_null(), "{cleared}");
}

async fn lists_are_filtered_by_annotations(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    for (image, team) in [("a", "web"), ("b", "api"), ("c", "")] {
        let image_of = Image::new(1);
        push_image(owner, image, "v1", &image_of).await;
        let annotations = if team.is_empty() { json!({}) } else { json!({ "team": team }) };
        let version = format!("packages/{image}/versions/{}", image_of.digest());
        for rest in [format!("packages/{image}"), version] {
            owner
                .patch(&api_path(&rest), &annotations_body(annotations.clone()))
                .await
                .expect_status(200);
        }
    }
    for (filter, expected) in [
        ("annotations:*", vec!["a", "b"]),
        ("annotations.team:web", vec!["a"]),
        ("annotations.team:*", vec!["a", "b"]),
        ("annotations.`team`:`*i`", vec!["b"]),
        ("annotations.other", vec![]),
    ] {
        for more in ["", "&pageSize=1", "&orderBy=create_time"] {
            let list = api_path(&format!("packages?filter={}{more}", percent_encode(filter)));
            assert_eq!(
                list_names(owner, &list, ("packages", "name")).await,
                expected,
                "{filter}{more}"
            );
        }
        let versions = api_path(&format!("packages/a/versions?filter={}", percent_encode(filter)));
        let found = list_all(owner, &versions, "versions").await.0.len();
        assert_eq!(found, usize::from(expected.contains(&"a")), "{filter}");
    }
    let odd = api_path(&format!("packages?filter={}", percent_encode("annotations.team:")));
    owner.get(&odd).await.expect_google_error("400 INVALID_ARGUMENT");
}

async fn annotations_of_a_version_replace_those_of_its_manifest(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let digest = push_annotated(owner, "a", ("org.example", "pushed")).await;
    let version = api_path(&format!("packages/a/versions/{digest}"));
    let shown = owner.get(&version).await.expect_status(200).json();
    assert_eq!(shown["annotations"], json!({ "org.example": "pushed" }));
    let changed = owner
        .patch(&version, &annotations_body(json!({ "checked": "yes" })))
        .await
        .expect_status(200)
        .json();
    assert_eq!(changed["annotations"], json!({ "checked": "yes" }));
    assert_eq!(changed["relatedTags"], shown["relatedTags"]);
    assert_eq!(owner.get(&version).await.expect_status(200).json(), changed);
    let listed = list_all(owner, &api_path("packages/a/versions?view=FULL"), "versions").await.0;
    assert_eq!(listed, [changed]);
    // The manifest does not change, and pushing it again does not change the annotations.
    let pulled = owner
        .client
        .get(&format!("/v2/{}/manifests/v1", image_path("a")))
        .await
        .expect_status(200)
        .json();
    assert_eq!(pulled["annotations"], json!({ "org.example": "pushed" }));
    push_annotated(owner, "a", ("org.example", "pushed")).await;
    assert_eq!(owner.get(&version).await.json()["annotations"], json!({ "checked": "yes" }));
    // Very long annotations are in the manifest only.
    let long = push_annotated(owner, "b", ("long", &"x".repeat(9_000))).await;
    let long = owner
        .get(&api_path(&format!("packages/b/versions/{long}")))
        .await
        .expect_status(200)
        .json();
    assert!(long["annotations"].is_null(), "{long}");
}

async fn invalid_annotations_are_refused(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a", "v1", &image).await;
    let version = format!("packages/a/versions/{}", image.digest());
    let many: Value =
        (0..65).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for (rest, field) in
        [("packages/a", "package.annotations"), (version.as_str(), "version.annotations")]
    {
        for odd in [
            json!({ "": "x" }),
            json!({ "a\nb": "x" }),
            json!({ "k": "v".repeat(4_096) }),
            many.clone(),
        ] {
            let refused = owner
                .patch(&api_path(rest), &annotations_body(odd))
                .await
                .expect_google_error("400 INVALID_ARGUMENT");
            assert!(refused.text().contains(&format!("'{field}'")), "{}", refused.text());
        }
        for mask in ["name", "displayName", "metadata"] {
            let masked = api_path(&format!("{rest}?updateMask={mask}"));
            owner
                .patch(&masked, &annotations_body(json!({})))
                .await
                .expect_google_error("400 INVALID_ARGUMENT");
        }
        owner
            .patch(&api_path(rest), &annotations_body(json!({ "k": "v".repeat(4_000) })))
            .await
            .expect_status(200);
    }
    for rest in ["packages/none", "packages/none/versions/x", "packages/a/versions/sha256:00"] {
        owner
            .patch(&api_path(rest), &annotations_body(json!({})))
            .await
            .expect_google_error("404 NOT_FOUND");
    }
    let writer = accounts
        .create_actor_with(
            "writer",
            ("roles/artifactregistry.writer", &repository_name(PROJECT, R1)),
        )
        .await;
    writer.patch(&api_path("packages/a"), &annotations_body(json!({}))).await.expect_status(200);
    writer
        .patch(&api_path(&version), &annotations_body(json!({})))
        .await
        .expect_google_error("403 PERMISSION_DENIED");
}

/// A process of the last release does not know the column by which a repository's images are listed.
async fn versions_of_the_last_release_are_listed_after_a_collection(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    for seed in 0..3 {
        push_image(owner, "a", &format!("v{seed}"), &Image::new(seed)).await;
    }
    let meta = accounts.server.open_meta().await;
    meta.write(|tx| tx.execute("UPDATE versions SET repository_id = NULL", params![]))
        .await
        .expect("writable");
    let listed = async || list_all(owner, &api_path("dockerImages"), "dockerImages").await.0.len();
    assert_eq!(listed().await, 0);
    collect_garbage(&accounts.server).await;
    assert_eq!(listed().await, 3);
}
