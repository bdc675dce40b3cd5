//! Attachments: manifests whose subject is an image.

use std::collections::BTreeSet;

use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use super::{
    R1, api_path, image_path, list_all, list_names, percent_encode, push_image, put_tag,
    resource_name, set_up_repository,
};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, on_both};

const SPDX: &str = "application/spdx+json";

fn attachment_id(content: &Image) -> String {
    content.digest().replace(':', "-")
}

fn attachment_path(content: &Image) -> String {
    api_path(&format!("attachments/{}", attachment_id(content)))
}

fn filter_path(field: &str, rest: &str) -> String {
    api_path(&format!(
        "attachments?pageSize=1&filter={}",
        percent_encode(&format!("{field}=\"{}\"", resource_name(rest)))
    ))
}

/// An artifact with blobs of its own whose subject is this image.
fn attached_image(image: &Image, number: u64) -> Image {
    let mut about = Image::new(100 + number);
    let mut manifest: Value = serde_json::from_str(&about.manifest).expect("JSON");
    manifest["artifactType"] = json!(SPDX);
    manifest["subject"] = image.descriptor();
    manifest["annotations"] = json!({ "number": number.to_string() });
    about.manifest = manifest.to_string();
    about
}

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

on_both![
    a_referrer_is_an_attachment_of_its_image,
    only_an_attachment_is_deleted_by_its_name,
    files_are_attached_to_an_image_by_the_api,
    invalid_attachments_are_refused
];

async fn a_referrer_is_an_attachment_of_its_image(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (image, other) = (Image::new(1), Image::new(2));
    push_image(owner, "a/b", "v1", &image).await;
    push_image(owner, "a/b", "v2", &other).await;
    let those: Vec<Image> = (0..5).map(|number| attached_image(&image, number)).collect();
    for content in &those {
        push_image(owner, "a/b", &content.digest(), content).await;
    }
    let bare = Image::referring_to(&other.descriptor(), SPDX);
    push_image(owner, "a/b", &bare.digest(), &bare).await;

    let shown = owner.get(&attachment_path(&those[0])).await.expect_status(200).json();
    assert_eq!(shown["name"], resource_name(&format!("attachments/{}", attachment_id(&those[0]))));
    assert_eq!(
        shown["target"],
        resource_name(&format!("packages/a%2Fb/versions/{}", image.digest()))
    );
    assert_eq!(
        shown["ociVersionName"],
        resource_name(&format!("packages/a%2Fb/versions/{}", those[0].digest()))
    );
    assert_eq!((&shown["type"], &shown["annotations"]), (&json!(SPDX), &json!({ "number": "0" })));
    assert!(
        shown["createTime"].is_string() && shown["createTime"] == shown["updateTime"],
        "{shown}"
    );
    let files: BTreeSet<_> = those[0]
        .blobs
        .iter()
        .map(|blob| resource_name(&format!("files/{}", digest_of(blob))))
        .collect();
    assert_eq!(shown["files"], json!(files));
    for file in files {
        owner.get(&format!("/v1/{file}:download?alt=media")).await.expect_status(200);
    }
    // The empty blob of a manifest without content is not listed as a file.
    assert!(owner.get(&attachment_path(&bare)).await.expect_status(200).json()["files"].is_null());

    let mut expected: Vec<_> = those.iter().chain([&bare]).map(attachment_id).collect();
    expected.sort();
    for size in [1, 2, 5, 6, 100] {
        let (found, pages) =
            list_all(owner, &api_path(&format!("attachments?pageSize={size}")), "attachments")
                .await;
        assert_eq!((found.len(), pages), (6, 6_usize.div_ceil(size)), "by {size}");
        assert!(found.contains(&shown));
    }
    let listed = ("attachments", "name");
    assert_eq!(list_names(owner, &api_path("attachments?pageSize=4"), listed).await, expected);
    let target = format!("packages/a%2Fb/versions/{}", image.digest());
    expected.retain(|one| *one != attachment_id(&bare));
    assert_eq!(list_names(owner, &filter_path("target", &target), listed).await, expected);
    let own = format!("packages/a%2Fb/versions/{}", bare.digest());
    for field in ["oci_version_name", "ociVersionName"] {
        assert_eq!(
            list_names(owner, &filter_path(field, &own), listed).await,
            [attachment_id(&bare)]
        );
    }
    for nothing in ["x", &own, "packages/none/versions/x"] {
        assert_eq!(
            list_names(owner, &filter_path("target", nothing), listed).await,
            Vec::<String>::new()
        );
    }
    assert_eq!(
        list_names(owner, &filter_path("oci_version_name", &target), listed).await,
        Vec::<String>::new()
    );
    assert_eq!(
        list_names(owner, &filter_path("oci_version_name", "x"), listed).await,
        Vec::<String>::new()
    );
    // The same manifest in another image is the same attachment, and is found by either version.
    push_image(owner, "c", "v1", &image).await;
    push_image(owner, "c", &those[0].digest(), &those[0]).await;
    for image in ["a%2Fb", "c"] {
        let own = format!("packages/{image}/versions/{}", those[0].digest());
        assert_eq!(
            list_names(owner, &filter_path("oci_version_name", &own), listed).await,
            [attachment_id(&those[0])],
            "{image}"
        );
    }
    assert_eq!(list_names(owner, &api_path("attachments"), listed).await.len(), 6);
    owner
        .get(&api_path("attachments?filter=size%3D1"))
        .await
        .expect_google_error("400 INVALID_ARGUMENT");
    let page = owner.get(&api_path("attachments?pageSize=1")).await.expect_status(200).json();
    let token = percent_encode(page["nextPageToken"].as_str().expect("there is more"));
    for foreign in [
        format!("files?pageToken={token}"),
        format!("attachments?filter=type%3Dx&pageToken={token}"),
    ] {
        owner.get(&api_path(&foreign)).await.expect_google_error("400 INVALID_ARGUMENT");
    }
}

async fn only_an_attachment_is_deleted_by_its_name(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "a", "v1", &image).await;
    let (one, two) = (attached_image(&image, 1), attached_image(&image, 2));
    push_image(owner, "a", &one.digest(), &one).await;
    push_image(owner, "a", "sbom", &two).await;
    let here = repository_name(PROJECT, R1);
    let reader = accounts
        .create_actor_with("reader", ("roles/artifactregistry.attachmentReader", &here))
        .await;
    let writer = accounts
        .create_actor_with("writer", ("roles/artifactregistry.attachmentWriter", &here))
        .await;
    let stranger = accounts.create_actor("stranger").await;
    for path in [api_path("attachments"), attachment_path(&one), attachment_path(&image)] {
        stranger.get(&path).await.expect_google_error("403 PERMISSION_DENIED");
        accounts.anonymous().get(&path).await.expect_google_error("401 UNAUTHENTICATED");
    }
    reader.get(&attachment_path(&one)).await.expect_status(200);
    reader.delete(&attachment_path(&one)).await.expect_google_error("403 PERMISSION_DENIED");
    // An image without a subject is no attachment, and is not deleted as one.
    reader.get(&attachment_path(&image)).await.expect_google_error("404 NOT_FOUND");
    owner.delete(&api_path("packages/a/tags/v1")).await.expect_status(200);
    writer.delete(&attachment_path(&image)).await.expect_google_error("404 NOT_FOUND");
    put_tag(owner, "a", "v1", &image).await.expect_status(201);
    // A tagged attachment stays.
    writer.delete(&attachment_path(&two)).await.expect_google_error("400 FAILED_PRECONDITION");
    let gone = writer.delete(&attachment_path(&one)).await.expect_status(200).json();
    assert_eq!(gone["done"], true);
    writer.get(&attachment_path(&one)).await.expect_google_error("404 NOT_FOUND");
    writer.delete(&attachment_path(&one)).await.expect_google_error("404 NOT_FOUND");
    let referrers = owner
        .client
        .get(&format!("/v2/{}/referrers/{}", image_path("a"), image.digest()))
        .await
        .expect_status(200)
        .json();
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(referrers["manifests"][0]["digest"], two.digest());
    // The same name in another repository finds nothing.
    owner.create_repository(PROJECT, "r2").await.expect_status(200);
    let elsewhere = attachment_path(&two).replace("/repositories/r1/", "/repositories/r2/");
    owner.get(&elsewhere).await.expect_google_error("404 NOT_FOUND");
    owner.delete(&elsewhere).await.expect_google_error("404 NOT_FOUND");
}

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
