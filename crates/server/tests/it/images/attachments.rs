//! Attachments: what was pushed as referring to an image.

use std::collections::BTreeSet;

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

on_both! {
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
        assert_eq!(shown["ociVersionName"], name(&format!("packages/a%2Fb/versions/{}", those[0].digest())));
        assert_eq!((&shown["type"], &shown["annotations"]), (&json!(SPDX), &json!({ "number": "0" })));
        assert!(shown["createTime"].is_string() && shown["createTime"] == shown["updateTime"], "{shown}");
        let files: BTreeSet<_> = those[0].blobs.iter().map(|blob| name(&format!("files/{}", digest_of(blob)))).collect();
        assert_eq!(shown["files"], json!(files));
        for file in files {
            owner.get(&format!("/v1/{file}:download?alt=media")).await.expect(200);
        }
        // What a manifest without content has to name is none.
        assert!(owner.get(&attachment(&bare)).await.expect(200).json()["files"].is_null());

        let mut expected: Vec<_> = those.iter().chain([&bare]).map(id).collect();
        expected.sort();
        for size in [1, 2, 5, 6, 100] {
            let (found, pages) = all(owner, &at(&format!("attachments?pageSize={size}")), "attachments").await;
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
        assert_eq!(texts(owner, &filtered("oci_version_name", &target), listed).await, Vec::<String>::new());
        assert_eq!(texts(owner, &filtered("oci_version_name", "x"), listed).await, Vec::<String>::new());
        // The same in another image is the same attachment, and found by either name.
        push(owner, "c", "v1", &image).await;
        push(owner, "c", &those[0].digest(), &those[0]).await;
        for image in ["a%2Fb", "c"] {
            let own = format!("packages/{image}/versions/{}", those[0].digest());
            assert_eq!(texts(owner, &filtered("oci_version_name", &own), listed).await, [id(&those[0])], "{image}");
        }
        assert_eq!(texts(owner, &at("attachments"), listed).await.len(), 6);
        owner.get(&at("attachments?filter=size%3D1")).await.expect_google("400 INVALID_ARGUMENT");
        let page = owner.get(&at("attachments?pageSize=1")).await.expect(200).json();
        let token = encoded(page["nextPageToken"].as_str().expect("there is more"));
        for foreign in [format!("files?pageToken={token}"), format!("attachments?filter=type%3Dx&pageToken={token}")] {
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
        let reader = accounts.actor_with("reader", ("roles/artifactregistry.attachmentReader", &here)).await;
        let writer = accounts.actor_with("writer", ("roles/artifactregistry.attachmentWriter", &here)).await;
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
        let referrers = owner.client.get(&format!("/v2/{}/referrers/{}", path("a"), image.digest())).await.expect(200).json();
        assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1));
        assert_eq!(referrers["manifests"][0]["digest"], two.digest());
        // In another repository a name of the same digest opens nothing.
        owner.create_repository(PROJECT, "r2").await.expect(200);
        let elsewhere = attachment(&two).replace("/repositories/r1/", "/repositories/r2/");
        owner.get(&elsewhere).await.expect_google("404 NOT_FOUND");
        owner.delete(&elsewhere).await.expect_google("404 NOT_FOUND");
    }
}
