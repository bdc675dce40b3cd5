//! The size of a repository equals a recount after pushes and deletes, also after concurrent ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::media_type::OCI_MANIFEST;
use serde_json::json;

use super::{api_path, image_path, list_all, repository_size, set_up_repository, version_body};
use crate::gc::collect_garbage;
use crate::util::accounts::sign_in;
use crate::util::numbers::RandomNumbers;
use crate::util::{AccountServer, GoogleClient, Image, digest_of, on_both};

const PACKAGES: [&str; 3] = ["a", "b", "c%2Fd"];

/// Eight images. Each two of them share their layers.
fn images_with_shared_layers() -> Vec<Image> {
    let pair = |seed: u64| {
        let (one, mut other) = (Image::new(seed), Image::new(seed));
        other.manifest =
            other.manifest.replacen('{', &format!("{{\"annotations\":{{\"of\":\"{seed}\"}},"), 1);
        [one, other]
    };
    (0..4).flat_map(pair).collect()
}

/// Makes one random change of the repository, which may fail.
async fn change_something(owner: &GoogleClient, images: &[Image], numbers: &mut RandomNumbers) {
    let package = *numbers.pick_one(&PACKAGES);
    let name = image_path(&package.replace("%2F", "/"));
    let image = numbers.pick_one(images);
    let tag = format!("t{}", numbers.next_below(4));
    match numbers.next_below(12) {
        0..=5 => {
            image.push_blobs(&owner.client, &name).await;
            let pushed =
                owner.client.push_manifest((&name, &tag), OCI_MANIFEST, image.manifest.clone());
            // Another writer may have deleted its blobs.
            let pushed = pushed.await;
            let is_missing =
                pushed.status == 400 && pushed.text().contains("MANIFEST_BLOB_UNKNOWN");
            assert!([201, 404].contains(&pushed.status.as_u16()) || is_missing, "{pushed:#?}");
        }
        6 => drop(owner.delete(&api_path(&format!("packages/{package}/tags/{tag}"))).await),
        7 => {
            let version =
                api_path(&format!("packages/{package}/versions/{}?force=true", image.digest()));
            drop(owner.delete(&version).await);
        }
        8 => drop(owner.client.delete(&format!("/v2/{name}/manifests/{}", image.digest())).await),
        9 => drop(owner.delete(&api_path(&format!("packages/{package}"))).await),
        10 => {
            let blob = digest_of(&image.blobs[1]);
            drop(owner.client.delete(&format!("/v2/{name}/blobs/{blob}")).await);
        }
        _ => {
            let tags = api_path(&format!("packages/{package}/tags?tagId={tag}"));
            drop(owner.post(&tags, &version_body(package, image)).await);
        }
    }
}

/// Counts the bytes by asking for each blob and manifest.
async fn recount_bytes(owner: &GoogleClient, images: &[Image]) -> u64 {
    let (mut bytes, mut blobs) = (0, BTreeMap::<String, Bytes>::new());
    for image in images {
        blobs.extend(image.blobs.iter().map(|blob| (digest_of(blob), blob.clone())));
    }
    for (digest, blob) in blobs {
        let found = owner.client.head(&format!("/v2/{}/blobs/{digest}", image_path("a"))).await;
        bytes += if found.status == 200 { blob.len() as u64 } else { 0 };
    }
    for package in PACKAGES {
        let list = owner.get(&api_path(&format!("packages/{package}"))).await;
        if list.status == 200 {
            let (versions, _) =
                list_all(owner, &api_path(&format!("packages/{package}/versions")), "versions")
                    .await;
            for version in versions {
                let digest = version["name"].as_str().and_then(|name| name.rsplit('/').next());
                let image = images.iter().find(|image| Some(image.digest().as_str()) == digest);
                bytes += image.expect("one of ours").manifest.len() as u64;
            }
        }
    }
    bytes
}

/// Asserts that every tag names a version that can be pulled.
async fn check_tags(owner: &GoogleClient) {
    for package in PACKAGES {
        if owner.get(&api_path(&format!("packages/{package}"))).await.status == 200 {
            let (tags, _) =
                list_all(owner, &api_path(&format!("packages/{package}/tags")), "tags").await;
            for tag in tags {
                let version = tag["version"].as_str().expect("text");
                owner.get(&format!("/v1/{version}")).await.expect_status(200);
                let name =
                    tag["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("text");
                let name =
                    format!("/v2/{}/manifests/{name}", image_path(&package.replace("%2F", "/")));
                let pulled = owner.client.get(&name).await.expect_status(200);
                for layer in pulled.json()["layers"].as_array().expect("a list") {
                    let blob = format!(
                        "/v2/{}/blobs/{}",
                        image_path("a"),
                        layer["digest"].as_str().expect("text")
                    );
                    owner.client.head(&blob).await.expect_status(200);
                }
            }
        }
    }
}

on_both![
    the_size_equals_a_recount_after_each_change,
    the_size_equals_a_recount_after_concurrent_changes
];

async fn the_size_equals_a_recount_after_each_change(accounts: AccountServer) {
    set_up_repository(&accounts).await;
    let (images, mut numbers) = (images_with_shared_layers(), RandomNumbers(1));
    for round in 0..6 {
        let owner = sign_in(&accounts.server, &accounts.owner_key).await;
        for _ in 0..25 {
            change_something(&owner, &images, &mut numbers).await;
        }
        check_tags(&owner).await;
        // The blobs of a deleted image are counted until a collection, at once or after the grace.
        collect_garbage(&accounts.server).await;
        assert_eq!(
            repository_size(&owner).await,
            recount_bytes(&owner, &images).await,
            "round {round}"
        );
        accounts.server.clock.advance_hours(25);
    }
}

async fn the_size_equals_a_recount_after_concurrent_changes(accounts: AccountServer) {
    set_up_repository(&accounts).await;
    let images = images_with_shared_layers();
    for round in 0..6 {
        let owner = sign_in(&accounts.server, &accounts.owner_key).await;
        let writers = (0..4).map(|writer| {
            let (owner, images) = (owner.clone(), &images);
            async move {
                let mut numbers = RandomNumbers(100 * round + writer);
                for _ in 0..8 {
                    change_something(&owner, images, &mut numbers).await;
                }
            }
        });
        futures_util::future::join(futures_util::future::join_all(writers), async {
            for _ in 0..3 {
                collect_garbage(&accounts.server).await;
            }
        })
        .await;
        check_tags(&owner).await;
        collect_garbage(&accounts.server).await;
        assert_eq!(
            repository_size(&owner).await,
            recount_bytes(&owner, &images).await,
            "round {round}"
        );
        accounts.server.clock.advance_hours(25);
    }
    // At the end everything can be deleted.
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    for package in PACKAGES {
        drop(owner.delete(&api_path(&format!("packages/{package}"))).await);
    }
    for _ in 0..4 {
        collect_garbage(&accounts.server).await;
        accounts.server.clock.advance_hours(25);
    }
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    assert_eq!((repository_size(&owner).await, accounts.server.count_blob_files()), (0, 0));
    assert_eq!(owner.get(&api_path("packages")).await.expect_status(200).json(), json!({}));
}
