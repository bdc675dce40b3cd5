//! Deletes of versions and of whole images.

use serde_json::json;

use http::Method;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};

use super::{
    R1, api_path, image_path, list_all, list_names, push_image, put_tag, repository_size,
    resource_name, set_up_repository, version_body,
};
use crate::gc::collect_garbage;
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Image, PendingRequest, digest_of, index_of, on_both, random_bytes,
};

on_both![
    a_tagged_version_is_deleted_only_by_force,
    a_batch_deletes_an_index_before_its_images,
    an_image_is_gone_at_once_and_its_rows_later,
    an_image_is_deleted_while_an_old_repository_is_being_deleted,
    a_push_to_a_repository_deleted_meanwhile_is_refused
];

async fn a_tagged_version_is_deleted_only_by_force(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    push_image(owner, "a", "v1", &tagged).await;
    put_tag(owner, "a", "v2", &tagged).await.expect_status(201);
    push_image(owner, "a", &untagged.digest(), &untagged).await;
    let version = |image: &Image| api_path(&format!("packages/a/versions/{}", image.digest()));
    let gone = owner.delete(&version(&untagged)).await.expect_status(200).json();
    assert_eq!(
        (&gone["done"], &gone["response"]),
        (&json!(true), &json!({ "@type": "type.googleapis.com/google.protobuf.Empty" }))
    );
    let again = owner
        .get(&format!("/v1/{}", gone["name"].as_str().expect("text")))
        .await
        .expect_status(200);
    assert_eq!(again.json(), gone);
    let refused =
        owner.delete(&version(&tagged)).await.expect_google_error("400 FAILED_PRECONDITION");
    assert!(refused.text().contains("tagged"), "{refused:#?}");
    assert_eq!(
        list_names(owner, &api_path("packages/a/versions"), ("versions", "name")).await,
        [tagged.digest()]
    );
    owner.delete(&format!("{}?force=true", version(&tagged))).await.expect_status(200);
    owner.get(&version(&tagged)).await.expect_google_error("404 NOT_FOUND");
    owner.delete(&version(&tagged)).await.expect_google_error("404 NOT_FOUND");
    owner
        .client
        .get(&format!("/v2/{}/manifests/v1", image_path("a")))
        .await
        .expect_oci_error("404 MANIFEST_UNKNOWN");
}

async fn a_batch_deletes_an_index_before_its_images(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let images: Vec<Image> = (0..3).map(Image::new).collect();
    for image in &images {
        push_image(owner, "a", &image.digest(), image).await;
    }
    put_tag(owner, "a", "v2", &images[2]).await.expect_status(201);
    let index = index_of(&[images[0].descriptor()]);
    owner
        .client
        .push_manifest((&image_path("a"), &digest_of(&index)), OCI_INDEX, index.clone())
        .await
        .expect_status(201);
    let batch = api_path("packages/a/versions:batchDelete");
    let version = |image: &Image| version_body("a", image)["version"].clone();
    let of_index = resource_name(&format!("packages/a/versions/{}", digest_of(&index)));
    let names = json!([version(&images[0]), of_index, version(&images[1]), version(&images[2])]);

    let validated = owner
        .post(&batch, &json!({ "names": names, "validateOnly": true }))
        .await
        .expect_status(200)
        .json();
    assert_eq!(validated["metadata"]["failedVersions"], json!([version(&images[2])]));
    assert_eq!(
        list_all(owner, &api_path("packages/a/versions"), "versions").await.0.len(),
        4,
        "nothing was done"
    );
    // An image whose index is not in the batch cannot be deleted.
    let alone = json!({ "names": [version(&images[0])], "validateOnly": true });
    let alone = owner.post(&batch, &alone).await.expect_status(200).json();
    assert_eq!(alone["metadata"]["failedVersions"], json!([version(&images[0])]));

    let done = owner.post(&batch, &json!({ "names": names })).await.expect_status(200).json();
    assert_eq!(
        done["metadata"]["@type"],
        "type.googleapis.com/google.devtools.artifactregistry.v1.BatchDeleteVersionsMetadata"
    );
    assert_eq!(done["metadata"]["failedVersions"], json!([version(&images[2])]));
    assert!(
        done["error"]["message"].as_str().expect("text").starts_with("1 of 4 versions"),
        "{done}"
    );
    assert_eq!(
        list_names(owner, &api_path("packages/a/versions"), ("versions", "name")).await,
        [images[2].digest()]
    );

    // A version that is named twice is deleted once.
    let once = Image::new(9);
    push_image(owner, "a", &once.digest(), &once).await;
    let twice = json!({ "names": [version(&once), version(&once)] });
    let done = owner.post(&batch, &twice).await.expect_status(200).json();
    assert!(done["error"].is_null() && done["metadata"]["failedVersions"].is_null(), "{done}");

    // A version that is not there is an error in the words of this API.
    let gone = json!({ "names": [version(&once)] });
    for body in [gone.clone(), json!({ "names": gone["names"], "validateOnly": true })] {
        let done = owner.post(&batch, &body).await.expect_status(200).json();
        let said = format!("Version \"{}\" of package \"a\" was not found", once.digest());
        assert_eq!(done["error"]["code"], 5, "{done}");
        assert!(done["error"]["message"].as_str().expect("text").ends_with(&said), "{done}");
    }

    let elsewhere =
        json!({ "names": [resource_name(&format!("packages/b/versions/{}", images[2].digest()))] });
    for refused in [elsewhere, json!({ "names": [] }), json!({ "names": ["x"] }), json!({})] {
        owner.post(&batch, &refused).await.expect_google_error("400 INVALID_ARGUMENT");
    }
}

async fn an_image_is_gone_at_once_and_its_rows_later(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let (kept, shared) = (Image::new(1), Image::new(2));
    push_image(owner, "kept", "v1", &kept).await;
    push_image(owner, "kept", "v2", &shared).await;
    let before = repository_size(owner).await;
    let images: Vec<Image> = (10..40).map(Image::new).collect();
    for (number, image) in images.iter().enumerate() {
        push_image(owner, "gone/deep", &format!("v{number}"), image).await;
    }
    push_image(owner, "gone/deep", "shared", &shared).await;
    let descriptors: Vec<_> = images.iter().map(Image::descriptor).collect();
    let index = index_of(&descriptors);
    owner
        .client
        .push_manifest((&image_path("gone/deep"), "all"), OCI_INDEX, index)
        .await
        .expect_status(201);
    owner.delete(&api_path("packages/gone%2Fdeep")).await.expect_status(200);

    // No API shows the image any more.
    owner.get(&api_path("packages/gone%2Fdeep")).await.expect_google_error("404 NOT_FOUND");
    owner.delete(&api_path("packages/gone%2Fdeep")).await.expect_google_error("404 NOT_FOUND");
    owner
        .get(&api_path("packages/gone%2Fdeep/versions"))
        .await
        .expect_google_error("404 NOT_FOUND");
    owner.get(&api_path("packages/gone%2Fdeep/tags")).await.expect_google_error("404 NOT_FOUND");
    for order in ["packages", "packages?orderBy=name%20desc"] {
        assert_eq!(list_names(owner, &api_path(order), ("packages", "name")).await, ["kept"]);
    }
    let (shown, _) = list_all(owner, &api_path("dockerImages?pageSize=1"), "dockerImages").await;
    assert_eq!(shown.len(), 2);
    owner
        .client
        .get(&format!("/v2/{}/manifests/all", image_path("gone/deep")))
        .await
        .expect_oci_error("404 MANIFEST_UNKNOWN");
    let catalog = owner.client.get("/v2/_catalog").await.expect_status(200).json();
    assert_eq!(catalog["repositories"], json!([image_path("kept")]));
    let listed =
        owner.client.get(&format!("/v2/{PROJECT}/{R1}/tags/list")).await.expect_status(200).json();
    assert_eq!(listed["child"], json!(["kept"]));
    // The name can be used again.
    push_image(owner, "gone/deep", "new", &kept).await;
    assert_eq!(
        list_names(owner, &api_path("packages/gone%2Fdeep/tags"), ("tags", "name")).await,
        ["new"]
    );

    for _ in 0..3 {
        collect_garbage(&accounts.server).await;
        accounts.server.clock.advance_hours(25);
    }
    let owner = &crate::util::accounts::sign_in(&accounts.server, &accounts.owner_key).await;
    assert_eq!(
        repository_size(owner).await,
        before + kept.manifest.len() as u64,
        "what went is not counted any more"
    );
    for image in [&kept, &shared] {
        for blob in &image.blobs {
            owner
                .client
                .get(&format!("/v2/{}/blobs/{}", image_path("kept"), digest_of(blob)))
                .await
                .expect_status(200);
        }
    }
    let blob = digest_of(&images[5].blobs[1]);
    owner
        .client
        .get(&format!("/v2/{}/blobs/{blob}", image_path("kept")))
        .await
        .expect_oci_error("404 BLOB_UNKNOWN");
}

async fn an_image_is_deleted_while_an_old_repository_is_being_deleted(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    for _ in 0..2 {
        push_image(owner, "a", "v1", &Image::new(1)).await;
        owner.delete(&format!("/v1/{}", repository_name(PROJECT, R1))).await.expect_status(200);
        owner.create_repository(PROJECT, R1).await.expect_status(200);
        for _ in 0..2 {
            push_image(owner, "a", "v1", &Image::new(1)).await;
            owner.delete(&api_path("packages/a")).await.expect_status(200);
        }
    }
    assert_eq!(
        list_names(owner, &api_path("packages"), ("packages", "name")).await,
        Vec::<String>::new()
    );
}

async fn a_push_to_a_repository_deleted_meanwhile_is_refused(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let client = &owner.client;
    let image = Image::new(1);
    image.push_blobs(client, &image_path("a")).await;
    let bytes = random_bytes(100_000, 7);
    let upload = client.start_upload(&image_path("a")).await;
    let last = format!("{upload}?digest={}", digest_of(&bytes));
    let blob = PendingRequest::new(client, (Method::PUT, &last), bytes.len()).await;
    let tag = format!("/v2/{}/manifests/v1", image_path("a"));
    let manifest = client.clone().with_header("content-type", OCI_MANIFEST);
    let manifest = PendingRequest::new(&manifest, (Method::PUT, &tag), image.manifest.len()).await;
    owner.delete(&format!("/v1/{}", repository_name(PROJECT, R1))).await.expect_status(200);
    // The name can be used at once. Uploads to the old repository do not reach the new one.
    owner.create_repository(PROJECT, R1).await.expect_status(200);
    manifest.finish(image.manifest.clone()).await.expect_oci_error("404 NAME_UNKNOWN");
    blob.finish(bytes.clone()).await.expect_oci_error("404 NAME_UNKNOWN");
    assert_eq!(
        list_names(owner, &api_path("packages"), ("packages", "name")).await,
        Vec::<String>::new()
    );
    client
        .get(&format!("/v2/{}/blobs/{}", image_path("a"), digest_of(&bytes)))
        .await
        .expect_oci_error("404 BLOB_UNKNOWN");
    for _ in 0..4 {
        collect_garbage(&accounts.server).await;
        accounts.server.clock.advance_hours(25);
    }
    assert_eq!(accounts.server.count_blob_files(), 0, "nothing is left of it");
}
