//! Indexes of blobs in the lists of the API: their sizes and their files.

use std::collections::BTreeSet;

use model::media_type::OCI_INDEX;
use serde_json::json;

use super::{
    R1, api_path, image_path, list_all, percent_encode, push_image, resource_name,
    set_up_repository,
};
use crate::gc::collect_garbage;
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::google::repository_name;
use crate::util::{
    AccountServer, Image, descriptor_of, digest_of, index_of, on_both, random_bytes,
};

on_both![an_index_of_blobs_is_listed_with_its_blobs];

async fn an_index_of_blobs_is_listed_with_its_blobs(accounts: AccountServer) {
    let owner = set_up_repository(&accounts).await;
    let image = Image::new(1);
    push_image(owner, "cache", "image", &image).await;
    let layers = [random_bytes(300, 1), random_bytes(500, 2)];
    let mut entries = vec![image.descriptor()];
    for layer in &layers {
        owner.client.push_blob(&image_path("cache"), layer.clone()).await;
        let layer = descriptor_of("application/vnd.oci.image.layer.v1.tar+gzip", layer);
        entries.extend([layer.clone(), layer]);
    }
    let index = index_of(&entries);
    owner
        .client
        .push_manifest((&image_path("cache"), "v1"), OCI_INDEX, index.clone())
        .await
        .expect_status(201);
    let shown = owner
        .get(&api_path(&format!("dockerImages/cache@{}", digest_of(&index))))
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        shown["imageSizeBytes"],
        (800 + index.len()).to_string(),
        "each blob once, and the index"
    );
    let manifests = shown["imageManifests"].as_array().expect("a list");
    let manifests: Vec<_> = manifests.iter().map(|manifest| &manifest["digest"]).collect();
    assert_eq!(manifests, [&json!(image.digest())]);
    // The files of an index are the blobs and the index.
    let version = format!("packages/cache/versions/{}", digest_of(&index));
    let files = api_path(&format!(
        "files?filter={}",
        percent_encode(&format!("owner=\"{}\"", resource_name(&version)))
    ));
    let (listed, _) = list_all(owner, &files, "files").await;
    let listed: BTreeSet<_> =
        listed.iter().map(|file| file["name"].as_str().expect("text").to_owned()).collect();
    let digests = layers.iter().map(digest_of).chain([digest_of(&index)]);
    assert_eq!(listed, digests.map(|digest| resource_name(&format!("files/{digest}"))).collect());
    // A file that the index names is not deleted and outlives collections. The repository's size includes it.
    let file = api_path(&format!("files/{}", digest_of(&layers[0])));
    owner.delete(&file).await.expect_status(400);
    accounts.server.clock.advance_hours(25);
    collect_garbage(&accounts.server).await;
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    owner.get(&format!("{file}:download?alt=media")).await.expect_status(200);
    let blobs: usize = image.blobs.iter().map(|blob| blob.len()).sum();
    let size = blobs + image.manifest.len() + 800 + index.len();
    let here = format!("/v1/{}", repository_name(PROJECT, R1));
    assert_eq!(owner.get(&here).await.expect_status(200).json()["sizeBytes"], size.to_string());
    owner.delete(&format!("{}?force=true", api_path(&version))).await.expect_status(200);
    owner.delete(&file).await.expect_status(200);
}
