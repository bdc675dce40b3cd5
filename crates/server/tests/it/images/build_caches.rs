//! Indexes of blobs in the lists of the API: what they take, and whose their files are.

use std::collections::BTreeSet;

use model::media_type::OCI_INDEX;
use serde_json::json;

use super::{R1, all, at, begin, encoded, name, path, push};
use crate::gc::collect;
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::google::repository;
use crate::util::{Accounts, Image, digest_of, on_both, random_bytes};

on_both![an_index_of_blobs_is_listed_with_them];

async fn an_index_of_blobs_is_listed_with_them(accounts: Accounts) {
    let owner = begin(&accounts).await;
    let image = Image::new(1);
    push(owner, "cache", "image", &image).await;
    let layers = [random_bytes(300, 1), random_bytes(500, 2)];
    let mut entries = vec![image.descriptor()];
    for layer in &layers {
        owner.client.push_blob(&path("cache"), layer.clone()).await;
        let layer = json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(layer), "size": layer.len() });
        entries.extend([layer.clone(), layer]);
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string();
    owner.client.push_manifest((&path("cache"), "v1"), OCI_INDEX, index.clone()).await.expect(201);
    let shown = owner
        .get(&at(&format!("dockerImages/cache@{}", digest_of(&index))))
        .await
        .expect(200)
        .json();
    assert_eq!(
        shown["imageSizeBytes"],
        (800 + index.len()).to_string(),
        "each blob once, and the index"
    );
    let manifests = shown["imageManifests"].as_array().expect("a list");
    let manifests: Vec<_> = manifests.iter().map(|manifest| &manifest["digest"]).collect();
    assert_eq!(manifests, [&json!(image.digest())]);
    // Its files are the blobs and itself.
    let version = format!("packages/cache/versions/{}", digest_of(&index));
    let files = at(&format!("files?filter={}", encoded(&format!("owner=\"{}\"", name(&version)))));
    let (listed, _) = all(owner, &files, "files").await;
    let listed: BTreeSet<_> =
        listed.iter().map(|file| file["name"].as_str().expect("text").to_owned()).collect();
    let digests = layers.iter().map(digest_of).chain([digest_of(&index)]);
    assert_eq!(listed, digests.map(|digest| name(&format!("files/{digest}"))).collect());
    // A file that the index names is not deleted, and outlives collections; the repository's size knows it.
    let file = at(&format!("files/{}", digest_of(&layers[0])));
    owner.delete(&file).await.expect(400);
    accounts.server.clock.advance_hours(25);
    collect(&accounts.server).await;
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    owner.get(&format!("{file}:download?alt=media")).await.expect(200);
    let blobs: usize = image.blobs.iter().map(|blob| blob.len()).sum();
    let size = blobs + image.manifest.len() + 800 + index.len();
    let here = format!("/v1/{}", repository(PROJECT, R1));
    assert_eq!(owner.get(&here).await.expect(200).json()["sizeBytes"], size.to_string());
    owner.delete(&format!("{}?force=true", at(&version))).await.expect(200);
    owner.delete(&file).await.expect(200);
}
