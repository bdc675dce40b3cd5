//! Attachments: what was pushed as referring to an image.

use std::collections::BTreeSet;

use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};

use super::{R1, all, at, begin, encoded, name, path, push, tag, texts};
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Image, digest_of, on_both};

const SPDX: &str = "application/spdx+json";

fn id(content: &Image) -> String {
    content.digest().replace(':', "-")
}

fn attachment(content: &Image) -> String {
    at(&format!("attachments/{}", id(content)))
}

fn filtered(field: &str, rest: &str) -> String {
    at(&format!(
        "attachments?pageSize=1&filter={}",
        encoded(&format!("{field}=\"{}\"", name(rest)))
    ))
}

/// What refers to an image and names a blob of its own.
fn about(image: &Image, number: u64) -> Image {
    let mut about = Image::new(100 + number);
    let mut manifest: Value = serde_json::from_str(&about.manifest).expect("JSON");
    manifest["artifactType"] = json!(SPDX);
    manifest["subject"] = image.descriptor();
    manifest["annotations"] = json!({ "number": number.to_string() });
    about.manifest = manifest.to_string();
    about
}

/// What the blobs of one image say of another.
fn wanted(package: &str, image: &Image, files: &Image) -> Value {
    let files: Vec<_> =
        files.blobs.iter().map(|blob| name(&format!("files/{}", digest_of(blob)))).collect();
    json!({
        "target": name(&format!("packages/{package}/versions/{}", image.digest())),
        "type": SPDX,
        "attachmentNamespace": "scanner.example.com",
        "annotations": { "about": "it" },
        "files": files,
    })
}

on_both![
    what_refers_to_an_image_is_attached_to_it,
    an_attachment_is_deleted_and_nothing_else_by_its_name,
    files_are_attached_to_an_image_by_the_api,
    nothing_is_attached_that_is_not_there_or_not_allowed
];

async fn what_refers_to_an_image_is_attached_to_it(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (image, other) = (Image::new(1), Image::new(2));
    push(owner, "a/b", "v1", &image).await;
    push(owner, "a/b", "v2", &other).await;
    let those: Vec<Image> = (0..5).map(|number| about(&image, number)).collect();
    for content in &those {
        push(owner, "a/b", &content.digest(), content).await;
    }
    let bare = Image::referring_to(&other.descriptor(), SPDX);
    push(owner, "a/b", &bare.digest(), &bare).await;

    let shown = owner.get(&attachment(&those[0])).await.expect(200).json();
    assert_eq!(shown["name"], name(&format!("attachments/{}", id(&those[0]))));
    assert_eq!(shown["target"], name(&format!("packages/a%2Fb/versions/{}", image.digest())));
    assert_eq!(
        shown["ociVersionName"],
        name(&format!("packages/a%2Fb/versions/{}", those[0].digest()))
    );
    assert_eq!((&shown["type"], &shown["annotations"]), (&json!(SPDX), &json!({ "number": "0" })));
    assert!(
        shown["createTime"].is_string() && shown["createTime"] == shown["updateTime"],
        "{shown}"
    );
    let files: BTreeSet<_> =
        those[0].blobs.iter().map(|blob| name(&format!("files/{}", digest_of(blob)))).collect();
    assert_eq!(shown["files"], json!(files));
    for file in files {
        owner.get(&format!("/v1/{file}:download?alt=media")).await.expect(200);
    }
    // What a manifest without content has to name is none.
    assert!(owner.get(&attachment(&bare)).await.expect(200).json()["files"].is_null());

    let mut expected: Vec<_> = those.iter().chain([&bare]).map(id).collect();
    expected.sort();
    for size in [1, 2, 5, 6, 100] {
        let (found, pages) =
            all(owner, &at(&format!("attachments?pageSize={size}")), "attachments").await;
        assert_eq!((found.len(), pages), (6, 6_usize.div_ceil(size)), "by {size}");
        assert!(found.contains(&shown));
    }
    let listed = ("attachments", "name");
    assert_eq!(texts(owner, &at("attachments?pageSize=4"), listed).await, expected);
    let target = format!("packages/a%2Fb/versions/{}", image.digest());
    expected.retain(|one| *one != id(&bare));
    assert_eq!(texts(owner, &filtered("target", &target), listed).await, expected);
    let own = format!("packages/a%2Fb/versions/{}", bare.digest());
    for field in ["oci_version_name", "ociVersionName"] {
        assert_eq!(texts(owner, &filtered(field, &own), listed).await, [id(&bare)]);
    }
    for nothing in ["x", &own, "packages/none/versions/x"] {
        assert_eq!(texts(owner, &filtered("target", nothing), listed).await, Vec::<String>::new());
    }
    assert_eq!(
        texts(owner, &filtered("oci_version_name", &target), listed).await,
        Vec::<String>::new()
    );
    assert_eq!(
        texts(owner, &filtered("oci_version_name", "x"), listed).await,
        Vec::<String>::new()
    );
    // The same in another image is the same attachment, and found by either name.
    push(owner, "c", "v1", &image).await;
    push(owner, "c", &those[0].digest(), &those[0]).await;
    for image in ["a%2Fb", "c"] {
        let own = format!("packages/{image}/versions/{}", those[0].digest());
        assert_eq!(
            texts(owner, &filtered("oci_version_name", &own), listed).await,
            [id(&those[0])],
            "{image}"
        );
    }
    assert_eq!(texts(owner, &at("attachments"), listed).await.len(), 6);
    owner.get(&at("attachments?filter=size%3D1")).await.expect_google("400 INVALID_ARGUMENT");
    let page = owner.get(&at("attachments?pageSize=1")).await.expect(200).json();
    let token = encoded(page["nextPageToken"].as_str().expect("there is more"));
    for foreign in [
        format!("files?pageToken={token}"),
        format!("attachments?filter=type%3Dx&pageToken={token}"),
    ] {
        owner.get(&at(&foreign)).await.expect_google("400 INVALID_ARGUMENT");
    }
}

async fn an_attachment_is_deleted_and_nothing_else_by_its_name(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let image = Image::new(1);
    push(owner, "a", "v1", &image).await;
    let (one, two) = (about(&image, 1), about(&image, 2));
    push(owner, "a", &one.digest(), &one).await;
    push(owner, "a", "sbom", &two).await;
    let here = repository(PROJECT, R1);
    let reader =
        accounts.actor_with("reader", ("roles/artifactregistry.attachmentReader", &here)).await;
    let writer =
        accounts.actor_with("writer", ("roles/artifactregistry.attachmentWriter", &here)).await;
    let stranger = accounts.actor("stranger").await;
    for path in [at("attachments"), attachment(&one), attachment(&image)] {
        stranger.get(&path).await.expect_google("403 PERMISSION_DENIED");
        accounts.anonymous().get(&path).await.expect_google("401 UNAUTHENTICATED");
    }
    reader.get(&attachment(&one)).await.expect(200);
    reader.delete(&attachment(&one)).await.expect_google("403 PERMISSION_DENIED");
    // An image that refers to nothing is no attachment, and nobody's to delete by that word.
    reader.get(&attachment(&image)).await.expect_google("404 NOT_FOUND");
    owner.delete(&at("packages/a/tags/v1")).await.expect(200);
    writer.delete(&attachment(&image)).await.expect_google("404 NOT_FOUND");
    tag(owner, "a", "v1", &image).await.expect(201);
    // A tag keeps what it names.
    writer.delete(&attachment(&two)).await.expect_google("400 FAILED_PRECONDITION");
    let gone = writer.delete(&attachment(&one)).await.expect(200).json();
    assert_eq!(gone["done"], true);
    writer.get(&attachment(&one)).await.expect_google("404 NOT_FOUND");
    writer.delete(&attachment(&one)).await.expect_google("404 NOT_FOUND");
    let referrers = owner
        .client
        .get(&format!("/v2/{}/referrers/{}", path("a"), image.digest()))
        .await
        .expect(200)
        .json();
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(referrers["manifests"][0]["digest"], two.digest());
    // In another repository a name of the same digest opens nothing.
    owner.create_repository(PROJECT, "r2").await.expect(200);
    let elsewhere = attachment(&two).replace("/repositories/r1/", "/repositories/r2/");
    owner.get(&elsewhere).await.expect_google("404 NOT_FOUND");
    owner.delete(&elsewhere).await.expect_google("404 NOT_FOUND");
}

async fn files_are_attached_to_an_image_by_the_api(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (image, files) = (Image::new(1), Image::new(2));
    push(owner, "a/b", "v1", &image).await;
    push(owner, "files", "v1", &files).await;
    let here = repository(PROJECT, R1);
    let writer =
        accounts.actor_with("writer", ("roles/artifactregistry.attachmentWriter", &here)).await;
    let wanted = wanted("a%2Fb", &image, &files);
    let created =
        writer.post(&at("attachments?attachmentId=my-sbom"), &wanted).await.expect(200).json();
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
    assert_eq!(made["name"], name("attachments/my-sbom"));
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

    // By the name that was chosen, by its digest, and in lists.
    let by_digest = at(&format!("attachments/{}", digest.replace(':', "-")));
    for path in [at("attachments/my-sbom"), by_digest.clone()] {
        assert_eq!(writer.get(&path).await.expect(200).json(), made, "{path}");
    }
    let listed = ("attachments", "name");
    for list in ["target", "name", "oci_version_name"].map(|field| {
        let field_of_json = if field == "oci_version_name" { "ociVersionName" } else { field };
        filtered(field, &made[field_of_json].as_str().expect("text")[here.len() + 1..])
    }) {
        assert_eq!(texts(owner, &list, listed).await, ["my-sbom"], "{list}");
    }
    assert_eq!(all(owner, &at("attachments"), "attachments").await, (vec![made.clone()], 1));

    // It is what a push would have left, and what every client reads.
    let referrers = owner
        .client
        .get(&format!("/v2/{}/referrers/{}", path("a/b"), image.digest()))
        .await
        .expect(200)
        .json();
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&referrers["manifests"][0]["digest"], &referrers["manifests"][0]["artifactType"]),
        (&json!(digest), &json!(SPDX))
    );
    let pulled =
        owner.client.get(&format!("/v2/{}/manifests/{digest}", path("a/b"))).await.expect(200);
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
        owner.client.get(&format!("/v2/{}/blobs/{digest}", path("a/b"))).await.expect(200);
    }

    // A name is taken once, and the same is not made twice.
    let mut second = wanted.clone();
    let taken = writer
        .post(&at("attachments?attachmentId=other"), &wanted)
        .await
        .expect_google("409 ALREADY_EXISTS");
    assert!(taken.text().contains("attachments/my-sbom"), "{taken:#?}");
    second["type"] = json!("application/vnd.other");
    writer
        .post(&at("attachments?attachmentId=my-sbom"), &second)
        .await
        .expect_google("409 ALREADY_EXISTS");
    assert_eq!(texts(owner, &at("attachments"), listed).await, ["my-sbom"]);
    let unnamed = writer.post(&at("attachments"), &second).await.expect(200).json();
    let own = unnamed["response"]["ociVersionName"]
        .as_str()
        .expect("text")
        .rsplit('/')
        .next()
        .expect("a digest")
        .replace(':', "-");
    assert_eq!(unnamed["response"]["name"], name(&format!("attachments/{own}")));
    assert_eq!(unnamed["response"]["attachmentNamespace"], wanted["attachmentNamespace"]);

    // What is gone leaves its name, however it went.
    writer.delete(&at("attachments/my-sbom")).await.expect(200);
    for gone in [at("attachments/my-sbom"), by_digest] {
        writer.get(&gone).await.expect_google("404 NOT_FOUND");
    }
    writer.delete(&at("attachments/my-sbom")).await.expect_google("404 NOT_FOUND");
    writer.post(&at("attachments?attachmentId=my-sbom"), &wanted).await.expect(200);
    owner.delete(&at("packages/a%2Fb")).await.expect(200);
    writer.get(&at("attachments/my-sbom")).await.expect_google("404 NOT_FOUND");
    push(owner, "a/b", "v1", &image).await;
    writer.post(&at("attachments?attachmentId=my-sbom"), &wanted).await.expect(200);
}

async fn nothing_is_attached_that_is_not_there_or_not_allowed(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let (image, files, foreign) = (Image::new(1), Image::new(2), Image::new(3));
    push(owner, "a", "v1", &image).await;
    push(owner, "a", "v2", &files).await;
    owner.create_repository(PROJECT, "r2").await.expect(200);
    foreign.push(&owner.client, (&format!("{PROJECT}/r2/a"), "v1")).await;
    let good = wanted("a", &image, &files);
    let file = |content: &Image| name(&format!("files/{}", digest_of(&content.blobs[1])));
    let version = |content: &Image| name(&format!("packages/a/versions/{}", content.digest()));
    let elsewhere = |name: String| name.replace("/repositories/r1/", "/repositories/r2/");
    for (field, value, outcome) in [
        ("target", json!(""), "400 INVALID_ARGUMENT"),
        ("target", json!(name("packages/a")), "400 INVALID_ARGUMENT"),
        ("target", json!(elsewhere(version(&foreign))), "400 INVALID_ARGUMENT"),
        ("target", json!(version(&foreign)), "404 NOT_FOUND"),
        (
            "target",
            json!(name(&format!("packages/b/versions/{}", image.digest()))),
            "404 NOT_FOUND",
        ),
        ("type", json!(""), "400 INVALID_ARGUMENT"),
        ("type", json!("a\u{0}"), "400 INVALID_ARGUMENT"),
        ("type", json!("a".repeat(256)), "400 INVALID_ARGUMENT"),
        ("files", json!([]), "400 INVALID_ARGUMENT"),
        ("files", json!([file(&files), "x"]), "400 INVALID_ARGUMENT"),
        ("files", json!(vec![file(&files); 101]), "400 INVALID_ARGUMENT"),
        // By its digest nothing is opened that another repository has.
        ("files", json!([elsewhere(file(&foreign))]), "400 INVALID_ARGUMENT"),
        ("files", json!([file(&files), file(&foreign)]), "404 NOT_FOUND"),
        // A manifest is a file, and no blob.
        ("files", json!([name(&format!("files/{}", image.digest()))]), "404 NOT_FOUND"),
        ("attachmentNamespace", json!("a\u{0}"), "400 INVALID_ARGUMENT"),
        ("attachmentNamespace", json!("a".repeat(256)), "400 INVALID_ARGUMENT"),
    ] {
        let mut wanted = good.clone();
        wanted[field] = value;
        let refused =
            owner.post(&at("attachments?attachmentId=x"), &wanted).await.expect_google(outcome);
        let named = if field == "attachmentNamespace" { "attachment_namespace" } else { field };
        assert!(refused.text().contains(&format!("attachment.{named}")), "{refused:#?}");
    }
    for id in ["A", "1", "a-", "a%2Fb", &"a".repeat(64), &image.digest().replace(':', "-")] {
        let refused = owner
            .post(&at(&format!("attachments?attachmentId={id}")), &good)
            .await
            .expect_google("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("attachment_id"), "{refused:#?}");
    }
    owner.post(&at("attachments"), &json!({})).await.expect_google("400 INVALID_ARGUMENT");
    let here = repository(PROJECT, R1);
    let reader =
        accounts.actor_with("reader", ("roles/artifactregistry.attachmentReader", &here)).await;
    reader.post(&at("attachments"), &good).await.expect_google("403 PERMISSION_DENIED");
    let nowhere = |text: String| text.replace("/repositories/r1/", "/repositories/none/");
    let lost: Value = serde_json::from_str(&nowhere(good.to_string())).expect("JSON");
    owner.post(&nowhere(at("attachments")), &lost).await.expect_google("404 NOT_FOUND");
    assert_eq!(
        texts(owner, &at("attachments"), ("attachments", "name")).await,
        Vec::<String>::new()
    );
    owner.get(&at("packages/b")).await.expect_google("404 NOT_FOUND");
}
