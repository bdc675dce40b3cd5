//! Attachments that were pushed as referrers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{SPDX, filter_path};
use crate::images::{
    R1, api_path, image_path, list_all, list_names, percent_encode, push_image, put_tag,
    resource_name, set_up_repository,
};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, Image, digest_of, on_both};

fn attachment_id(content: &Image) -> String {
    content.digest().replace(':', "-")
}

fn attachment_path(content: &Image) -> String {
    api_path(&format!("attachments/{}", attachment_id(content)))
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

on_both![a_referrer_is_an_attachment_of_its_image, only_an_attachment_is_deleted_by_its_name];

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
