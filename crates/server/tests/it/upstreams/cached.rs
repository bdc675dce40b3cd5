//! What remote repositories have fetched, as other parts of the registry treat it: cleanup policies and sizes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::remote::{RemoteTest, expect_manifest};
use super::{api_path, image_in};
use crate::gc::run_command_lines;
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{Backend, Image, manifest_path, on_both};

on_both![cleanup_policies_delete_what_was_fetched, what_was_fetched_counts_as_the_size];

const DAY: i64 = 24 * 3_600;

impl RemoteTest {
    /// Pulls an image with its blobs.
    async fn pull_all(&self, image: &Image, tag: &str) {
        expect_manifest(self.pull_manifest(tag).await, image);
        for blob in &image.blobs {
            assert_eq!(self.pull_blob(blob).await.expect_status(200).body, *blob);
        }
    }

    /// Runs a cleanup of the remote repository. Returns the digests that it deletes or would delete.
    async fn clean(&self, dry_run: bool) -> BTreeSet<String> {
        let name = repository_name(PROJECT, "remote");
        let command = json!({ "command": "cleanup", "repository": name, "dry_run": dry_run });
        let lines = run_command_lines(&self.accounts.server, command).await;
        let said = |line: &Value| {
            let said = if line["done"].is_null() { &line["progress"] } else { &line["done"] };
            said["cleaned"].as_array().unwrap_or_else(|| panic!("{line}")).clone()
        };
        let cleaned = lines.iter().flat_map(said);
        cleaned.map(|one| one["digest"].as_str().expect("text").to_owned()).collect()
    }

    async fn size(&self) -> usize {
        let described = self.accounts.owner.get(&api_path("remote", "")).await;
        let described = described.expect_status(200).json();
        described["sizeBytes"].as_str().map_or(0, |size| size.parse().expect("a number"))
    }
}

async fn cleanup_policies_delete_what_was_fetched(backend: Backend) {
    let mut test = RemoteTest::start(backend).await;
    let images = [Image::new(1), Image::new(2), Image::new(3)];
    for (image, tag) in images.iter().zip(["1", "2", "3"]) {
        test.upstream.serve(image, ("app", tag));
        test.pull_all(image, tag).await;
        test.advance_seconds(1);
    }
    test.advance_seconds(2 * DAY);
    test.sign_in_again().await;
    let fresh = Image::new(4);
    test.upstream.serve(&fresh, ("app", "4"));
    test.pull_all(&fresh, "4").await;
    let policies = json!({ "cleanupPolicyDryRun": true, "cleanupPolicies": {
        "old": { "id": "old", "action": "DELETE", "condition": { "olderThan": "86400s" } },
        "recent": { "id": "recent", "action": "KEEP", "mostRecentVersions": { "keepCount": 2 } },
    } });
    let path = api_path("remote", "?updateMask=cleanupPolicies,cleanupPolicyDryRun");
    test.accounts.owner.patch(&path, &policies).await.expect_status(200);
    // The third one is old, and one of the two that were fetched last.
    let old: BTreeSet<_> = [images[0].digest(), images[1].digest()].into();
    assert_eq!(test.clean(true).await, old);
    assert_eq!(test.clean(false).await, old, "the policies are a dry run themselves");
    let asked = test.upstream.asked().len();
    expect_manifest(test.pull_manifest(&images[0].digest()).await, &images[0]);
    assert_eq!(test.upstream.asked().len(), asked, "nothing was deleted");
    let real = json!({ "cleanupPolicyDryRun": false });
    let path = api_path("remote", "?updateMask=cleanupPolicyDryRun");
    test.accounts.owner.patch(&path, &real).await.expect_status(200);
    // The server may clean it first, because its policies were set.
    test.clean(false).await;
    let versions = test.accounts.owner.get(&api_path("remote", "/packages/app/versions")).await;
    let versions = versions.expect_status(200).json();
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2), "{versions}");
    for (image, tag) in [(&images[2], "3"), (&fresh, "4")] {
        expect_manifest(test.pull_manifest(&image.digest()).await, image);
        assert_eq!(test.upstream.count(&format!("GET {}", manifest_path("app", tag))), 1);
    }
    // What was deleted is fetched again.
    test.pull_all(&images[0], "1").await;
    assert_eq!(test.upstream.count(&format!("GET {}", manifest_path("app", "1"))), 2);
    let tags = test.accounts.owner.get(&api_path("remote", "/packages/app/tags/1")).await;
    tags.expect_status(200);
}

async fn what_was_fetched_counts_as_the_size(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    assert_eq!(test.size().await, 0);
    let (one, two) = (Image::with_layers(1, 2), Image::with_layers(2, 3));
    let mut expected = 0;
    for (image, tag) in [(&one, "1"), (&two, "2")] {
        test.upstream.serve(image, ("app", tag));
        expect_manifest(test.pull_manifest(tag).await, image);
        // The config is fetched with the manifest, for what lists show.
        expected += image.manifest.len() + image.blobs[0].len();
        assert_eq!(test.size().await, expected);
        for layer in &image.blobs[1..] {
            test.pull_blob(layer).await.expect_status(200);
            expected += layer.len();
            assert_eq!(test.size().await, expected);
        }
    }
    // The same content under another name counts once, but for its manifest.
    test.upstream.serve(&one, ("again", "1"));
    let path = manifest_path(&image_in("remote", "again"), "1");
    expect_manifest(test.get(&path).await, &one);
    assert_eq!(test.size().await, expected + one.manifest.len());
}
