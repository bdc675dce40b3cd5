//! Attachments that the API creates.

use std::collections::BTreeSet;

use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use super::{SPDX, filter_path};
use crate::images::{
    R1, api_path, image_path, list_all, list_names, push_image, resource_name, set_up_repository,
};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, on_both};

/// The body that attaches the blobs of `files` to `image`.
fn attachment_body(package: &str, image: &Image, files: &Image) -> Value {
    let files: Vec<_> = files
        .blobs
        .iter()
        .map(|blob| resource_name(&format!("files/{}", digest_of(blob))))
        .collect();
    json!({
        "target": resource_name(&format!("packages/{package}/versions/{}", image.digest())),
        "type": SPDX,
        "attachmentNamespace": "scanner.example.com",
        "annotations": { "about": "it" },
        "files": files,
    })
}

on_both![files_are_attached_to_an_image_by_the_api, invalid_attachments_are_refused];

async fn files_are_attached_to_an_image_by_the_api(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (image, files) = (Image::new(1), Image::new(2));
    push_image(owner, "a/b", "v1", &image).await;
    push_image(owner, "files", "v1", &files).await;
    let here = repository_name(PROJECT, R1);
    let writer = accounts
        .create_actor_with("writer", ("roles/artifactregistry.attachmentWriter", &here))
        .await;
    let wanted = attachment_body("a%2Fb", &image, &files);
    let created = writer
        .post(&api_path("attachments?attachmentId=my-sbom"), &wanted)
        .await
        .expect_status(200)
        .json();
    assert_eq!(created["done"], true);
    assert_eq!(
        created["metadata"]["@type"],
        "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata"
    );
    let mut made = created["response"].clone();
    let kind = made.as_object_mut().expect("a message").remove("@type");
    assert_eq!(
        kind,
        Some(json!("type.googleapis.com/google.devtools.artifactregistry.v1.Attachment"))
    );
    assert_eq!(made["name"], resource_name("attachments/my-sbom"));
    for field in ["target", "type", "annotations", "attachmentNamespace"] {
        assert_eq!(made[field], wanted[field], "{field}");
    }
    let names: BTreeSet<_> = wanted["files"]
        .as_array()
        .expect("some")
        .iter()
        .map(|file| file.as_str().expect("text"))
        .collect();
    assert_eq!(made["files"], json!(names));
    let version = made["ociVersionName"].as_str().expect("text").to_owned();
    let digest = version.rsplit('/').next().expect("a digest");

    // The attachment is found by its name, by its digest, and in lists.
    let by_digest = api_path(&format!("attachments/{}", digest.replace(':', "-")));
    for path in [api_path("attachments/my-sbom"), by_digest.clone()] {
        assert_eq!(writer.get(&path).await.expect_status(200).json(), made, "{path}");
    }
    let listed = ("attachments", "name");
    for list in ["target", "name", "oci_version_name"].map(|field| {
        let field_of_json = if field == "oci_version_name" { "ociVersionName" } else { field };
        filter_path(field, &made[field_of_json].as_str().expect("text")[here.len() + 1..])
    }) {
        assert_eq!(list_names(owner, &list, listed).await, ["my-sbom"], "{list}");
    }
    assert_eq!(
        list_all(owner, &api_path("attachments"), "attachments").await,
        (vec![made.clone()], 1)
    );

    // The result is the same as that of a push, so that every client can read it.
    let referrers = owner
        .client
        .get(&format!("/v2/{}/referrers/{}", image_path("a/b"), image.digest()))
        .await
        .expect_status(200)
        .json();
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&referrers["manifests"][0]["digest"], &referrers["manifests"][0]["artifactType"]),
        (&json!(digest), &json!(SPDX))
    );
    let pulled = owner
        .client
        .get(&format!("/v2/{}/manifests/{digest}", image_path("a/b")))
        .await
        .expect_status(200);
    let manifest = pulled.json();
    assert_eq!(
        (&manifest["subject"], &manifest["artifactType"]),
        (&image.descriptor(), &json!(SPDX))
    );
    assert_eq!(
        (pulled.header("content-type"), &manifest["mediaType"]),
        (OCI_MANIFEST, &json!(OCI_MANIFEST))
    );
    for (layer, blob) in manifest["layers"].as_array().expect("some").iter().zip(&files.blobs) {
        assert_eq!(
            (&layer["digest"], &layer["size"]),
            (&json!(digest_of(blob)), &json!(blob.len()))
        );
    }
    for needed in manifest["layers"].as_array().expect("some").iter().chain([&manifest["config"]]) {
        let digest = needed["digest"].as_str().expect("text");
        owner
            .client
            .get(&format!("/v2/{}/blobs/{digest}", image_path("a/b")))
            .await
            .expect_status(200);
    }

    // A name is used once, and the same attachment is not made twice.
    let mut second = wanted.clone();
    let taken = writer
        .post(&api_path("attachments?attachmentId=other"), &wanted)
        .await
        .expect_google_error("409 ALREADY_EXISTS");
    assert!(taken.text().contains("attachments/my-sbom"), "{taken:#?}");
    second["type"] = json!("application/vnd.other");
    writer
        .post(&api_path("attachments?attachmentId=my-sbom"), &second)
        .await
        .expect_google_error("409 ALREADY_EXISTS");
    assert_eq!(list_names(owner, &api_path("attachments"), listed).await, ["my-sbom"]);
    let unnamed = writer.post(&api_path("attachments"), &second).await.expect_status(200).json();
    let own = unnamed["response"]["ociVersionName"]
        .as_str()
        .expect("text")
        .rsplit('/')
        .next()
        .expect("a digest")
        .replace(':', "-");
    assert_eq!(unnamed["response"]["name"], resource_name(&format!("attachments/{own}")));
    assert_eq!(unnamed["response"]["attachmentNamespace"], wanted["attachmentNamespace"]);

    // A deleted attachment frees its name, however it was deleted.
    writer.delete(&api_path("attachments/my-sbom")).await.expect_status(200);
    for gone in [api_path("attachments/my-sbom"), by_digest] {
        writer.get(&gone).await.expect_google_error("404 NOT_FOUND");
    }
    writer.delete(&api_path("attachments/my-sbom")).await.expect_google_error("404 NOT_FOUND");
    writer.post(&api_path("attachments?attachmentId=my-sbom"), &wanted).await.expect_status(200);
    owner.delete(&api_path("packages/a%2Fb")).await.expect_status(200);
    writer.get(&api_path("attachments/my-sbom")).await.expect_google_error("404 NOT_FOUND");
    push_image(owner, "a/b", "v1", &image).await;
    writer.post(&api_path("attachments?attachmentId=my-sbom"), &wanted).await.expect_status(200);
}

async fn invalid_attachments_are_refused(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (image, files, foreign) = (Image::new(1), Image::new(2), Image::new(3));
    push_image(owner, "a", "v1", &image).await;
    push_image(owner, "a", "v2", &files).await;
    owner.create_repository(PROJECT, "r2").await.expect_status(200);
    foreign.push(&owner.client, (&format!("{PROJECT}/r2/a"), "v1")).await;
    let good = attachment_body("a", &image, &files);
    let file = |content: &Image| resource_name(&format!("files/{}", digest_of(&content.blobs[1])));
    let version =
        |content: &Image| resource_name(&format!("packages/a/versions/{}", content.digest()));
    let elsewhere = |name: String| name.replace("/repositories/r1/", "/repositories/r2/");
    for (field, value, outcome) in [
        ("target", json!(""), "400 INVALID_ARGUMENT"),
        ("target", json!(resource_name("packages/a")), "400 INVALID_ARGUMENT"),
        ("target", json!(elsewhere(version(&foreign))), "400 INVALID_ARGUMENT"),
        ("target", json!(version(&foreign)), "404 NOT_FOUND"),
        (
            "target",
            json!(resource_name(&format!("packages/b/versions/{}", image.digest()))),
            "404 NOT_FOUND",
        ),
        ("type", json!(""), "400 INVALID_ARGUMENT"),
        ("type", json!("a\u{0}"), "400 INVALID_ARGUMENT"),
        ("type", json!("a".repeat(256)), "400 INVALID_ARGUMENT"),
        ("files", json!([]), "400 INVALID_ARGUMENT"),
        ("files", json!([file(&files), "x"]), "400 INVALID_ARGUMENT"),
        ("files", json!(vec![file(&files); 101]), "400 INVALID_ARGUMENT"),
        // A digest opens nothing that only another repository has.
        ("files", json!([elsewhere(file(&foreign))]), "400 INVALID_ARGUMENT"),
        ("files", json!([file(&files), file(&foreign)]), "404 NOT_FOUND"),
        // A manifest is a file but no blob.
        ("files", json!([resource_name(&format!("files/{}", image.digest()))]), "404 NOT_FOUND"),
        ("attachmentNamespace", json!("a\u{0}"), "400 INVALID_ARGUMENT"),
        ("attachmentNamespace", json!("a".repeat(256)), "400 INVALID_ARGUMENT"),
    ] {
        let mut wanted = good.clone();
        wanted[field] = value;
        let refused = owner
            .post(&api_path("attachments?attachmentId=x"), &wanted)
            .await
            .expect_google_error(outcome);
        let named = if field == "attachmentNamespace" { "attachment_namespace" } else { field };
        assert!(refused.text().contains(&format!("attachment.{named}")), "{refused:#?}");
    }
    for id in ["A", "1", "a-", "a%2Fb", &"a".repeat(64), &image.digest().replace(':', "-")] {
        let refused = owner
            .post(&api_path(&format!("attachments?attachmentId={id}")), &good)
            .await
            .expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("attachment_id"), "{refused:#?}");
    }
    owner
        .post(&api_path("attachments"), &json!({}))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    let here = repository_name(PROJECT, R1);
    let reader = accounts
        .create_actor_with("reader", ("roles/artifactregistry.attachmentReader", &here))
        .await;
    reader.post(&api_path("attachments"), &good).await.expect_google_error("403 PERMISSION_DENIED");
    let nowhere = |text: String| text.replace("/repositories/r1/", "/repositories/none/");
    let lost: Value = serde_json::from_str(&nowhere(good.to_string())).expect("JSON");
    owner.post(&nowhere(api_path("attachments")), &lost).await.expect_google_error("404 NOT_FOUND");
    assert_eq!(
        list_names(owner, &api_path("attachments"), ("attachments", "name")).await,
        Vec::<String>::new()
    );
    owner.get(&api_path("packages/b")).await.expect_google_error("404 NOT_FOUND");
}
