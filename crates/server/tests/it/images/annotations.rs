//! Annotations of images and of versions: set, shown, and what they may be.

use meta::params;
use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use super::{R1, all, at, begin, encoded, path, push, texts};
use crate::gc::collect;
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Google, Image, digest_of, on_both};

fn set(annotations: Value) -> Value {
    json!({ "annotations": annotations })
}

/// Pushes an image whose manifest has annotations; answers its digest.
async fn push_annotated(owner: &Google, image: &str, (key, value): (&str, &str)) -> String {
    let content = Image::new(7);
    content.push_blobs(&owner.client, &path(image)).await;
    let mut manifest: Value = serde_json::from_str(&content.manifest).expect("JSON");
    manifest["annotations"] = json!({ key: value });
    let manifest = manifest.to_string();
    let digest = digest_of(&manifest);
    owner.client.push_manifest((&path(image), "v1"), OCI_MANIFEST, manifest).await.expect(201);
    digest
}

on_both![
    annotations_are_set_and_shown,
    lists_are_filtered_by_annotations,
    those_of_a_version_stand_in_place_of_its_manifests,
    what_annotations_cannot_be,
    what_the_last_release_pushed_is_listed_after_a_collection
];

async fn annotations_are_set_and_shown(accounts: Accounts) {
    let owner = begin(&accounts).await;
    push(owner, "a/b", "v1", &Image::new(1)).await;
    let package = at("packages/a%2Fb");
    assert!(owner.get(&package).await.expect(200).json()["annotations"].is_null());
    let annotations = json!({ "team": "web", "Größe": "\u{0}\"'" });
    let masked = format!("{package}?updateMask=annotations");
    let changed = owner.patch(&masked, &set(annotations.clone())).await.expect(200).json();
    assert_eq!(changed["annotations"], annotations);
    assert_eq!(owner.get(&package).await.expect(200).json(), changed);
    assert_eq!(all(owner, &at("packages"), "packages").await.0, [changed]);
    // They are replaced, and without a mask as well.
    let changed = owner.patch(&package, &set(json!({ "team": "api" }))).await.expect(200).json();
    assert_eq!(changed["annotations"], json!({ "team": "api" }));
    let cleared = owner.patch(&masked, &json!({})).await.expect(200).json();
    assert!(cleared["annotations"].is_null(), "{cleared}");
}

async fn lists_are_filtered_by_annotations(accounts: Accounts) {
    let owner = begin(&accounts).await;
    for (image, team) in [("a", "web"), ("b", "api"), ("c", "")] {
        let image_of = Image::new(1);
        push(owner, image, "v1", &image_of).await;
        let annotations = if team.is_empty() { json!({}) } else { json!({ "team": team }) };
        let version = format!("packages/{image}/versions/{}", image_of.digest());
        for rest in [format!("packages/{image}"), version] {
            owner.patch(&at(&rest), &set(annotations.clone())).await.expect(200);
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
            let list = at(&format!("packages?filter={}{more}", encoded(filter)));
            assert_eq!(texts(owner, &list, ("packages", "name")).await, expected, "{filter}{more}");
        }
        let versions = at(&format!("packages/a/versions?filter={}", encoded(filter)));
        let found = all(owner, &versions, "versions").await.0.len();
        assert_eq!(found, usize::from(expected.contains(&"a")), "{filter}");
    }
    let odd = at(&format!("packages?filter={}", encoded("annotations.team:")));
    owner.get(&odd).await.expect_google("400 INVALID_ARGUMENT");
}

async fn those_of_a_version_stand_in_place_of_its_manifests(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let digest = push_annotated(owner, "a", ("org.example", "pushed")).await;
    let version = at(&format!("packages/a/versions/{digest}"));
    let shown = owner.get(&version).await.expect(200).json();
    assert_eq!(shown["annotations"], json!({ "org.example": "pushed" }));
    let changed = owner.patch(&version, &set(json!({ "checked": "yes" }))).await.expect(200).json();
    assert_eq!(changed["annotations"], json!({ "checked": "yes" }));
    assert_eq!(changed["relatedTags"], shown["relatedTags"]);
    assert_eq!(owner.get(&version).await.expect(200).json(), changed);
    let listed = all(owner, &at("packages/a/versions?view=FULL"), "versions").await.0;
    assert_eq!(listed, [changed]);
    // The manifest is what it was, and pushed again it changes nothing.
    let pulled =
        owner.client.get(&format!("/v2/{}/manifests/v1", path("a"))).await.expect(200).json();
    assert_eq!(pulled["annotations"], json!({ "org.example": "pushed" }));
    push_annotated(owner, "a", ("org.example", "pushed")).await;
    assert_eq!(owner.get(&version).await.json()["annotations"], json!({ "checked": "yes" }));
    // Very long ones are in the manifest, and on no list.
    let long = push_annotated(owner, "b", ("long", &"x".repeat(9_000))).await;
    let long = owner.get(&at(&format!("packages/b/versions/{long}"))).await.expect(200).json();
    assert!(long["annotations"].is_null(), "{long}");
}

async fn what_annotations_cannot_be(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let image = Image::new(1);
    push(owner, "a", "v1", &image).await;
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
            let refused =
                owner.patch(&at(rest), &set(odd)).await.expect_google("400 INVALID_ARGUMENT");
            assert!(refused.text().contains(&format!("'{field}'")), "{}", refused.text());
        }
        for mask in ["name", "displayName", "metadata"] {
            let masked = at(&format!("{rest}?updateMask={mask}"));
            owner.patch(&masked, &set(json!({}))).await.expect_google("400 INVALID_ARGUMENT");
        }
        owner.patch(&at(rest), &set(json!({ "k": "v".repeat(4_000) }))).await.expect(200);
    }
    for rest in ["packages/none", "packages/none/versions/x", "packages/a/versions/sha256:00"] {
        owner.patch(&at(rest), &set(json!({}))).await.expect_google("404 NOT_FOUND");
    }
    let writer = accounts
        .actor_with("writer", ("roles/artifactregistry.writer", &repository(PROJECT, R1)))
        .await;
    writer.patch(&at("packages/a"), &set(json!({}))).await.expect(200);
    writer.patch(&at(&version), &set(json!({}))).await.expect_google("403 PERMISSION_DENIED");
}

/// A process of the last release does not know the column by which a repository's images are listed.
async fn what_the_last_release_pushed_is_listed_after_a_collection(accounts: Accounts) {
    let owner = begin(&accounts).await;
    for seed in 0..3 {
        push(owner, "a", &format!("v{seed}"), &Image::new(seed)).await;
    }
    let meta = accounts.server.meta().await;
    meta.write(|tx| tx.exec("UPDATE versions SET repository_id = NULL", params![]))
        .await
        .expect("writable");
    let listed = async || all(owner, &at("dockerImages"), "dockerImages").await.0.len();
    assert_eq!(listed().await, 0);
    collect(&accounts.server).await;
    assert_eq!(listed().await, 3);
}
