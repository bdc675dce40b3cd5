//! Remote repositories that keep only so much of what they have fetched, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use berth_server::config::DurationSetting;
use bytes::Bytes;
use futures_util::future::join_all;
use model::media_type::OCI_INDEX;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::remote::{RemoteTest, expect_manifest, remote_body};
use super::{VIRTUAL, api_path, create_from_body, image_in, policy, virtual_body};
use crate::util::client::OpenReply;
use crate::util::{
    Backend, Image, UpstreamAnswer, blob_path, digest_of, index_of, manifest_path, on_both,
    random_bytes, with_deadline,
};

on_both![
    what_was_pulled_least_recently_is_evicted,
    an_index_keeps_its_manifests,
    what_is_not_needed_goes_first,
    a_pull_that_runs_keeps_its_image,
    a_repository_can_keep_nothing,
    evicted_referrers_are_listed_again,
];

/// More than the time for which a repository with a limit keeps what was used, and less than a token lives.
const PAST_MARGIN: i64 = 700;
/// The same for a repository that keeps nothing.
const PAST_SHORT_MARGIN: i64 = 41;

/// The repository that [`EvictionTest::wait_for_run`] uses.
const LAST: &str = "last";

/// A remote repository from which a server evicts very often.
struct EvictionTest {
    remote: RemoteTest,
    /// The number of images that were pulled through [`LAST`].
    runs: u64,
}

impl EvictionTest {
    async fn start(backend: Backend) -> Self {
        let remote = RemoteTest::start_with(backend, |config| {
            config.cache.interval = DurationSetting::seconds(0);
        });
        let remote = remote.await;
        // It is created last, and so it is the last one from which a run evicts.
        let mut body = remote_body(&remote.upstream.url());
        body["remoteRepositoryConfig"]["noCache"] = json!(true);
        create_from_body(&remote.accounts, LAST, &body).await.expect_status(200);
        Self { remote, runs: 0 }
    }

    /// Pulls an image with its layers.
    async fn pull(&self, repository: &str, image: &Image, reference: &str) {
        let name = image_in(repository, "app");
        expect_manifest(self.remote.get(&manifest_path(&name, reference)).await, image);
        for blob in &image.blobs {
            let pulled = self.remote.get(&blob_path(&name, digest_of(blob))).await;
            assert_eq!(pulled.expect_status(200).body, *blob);
        }
    }

    /// Has the upstream serve an image, and pulls it some seconds after what was pulled before.
    async fn fetch(&self, seed: u64) -> Image {
        let image = Image::new(seed);
        let tag = seed.to_string();
        self.remote.upstream.serve(&image, ("app", &tag));
        self.remote.advance_seconds(5);
        self.pull("remote", &image, &tag).await;
        image
    }

    /// The digests of the manifests that a repository has.
    async fn versions(&self, repository: &str) -> BTreeSet<String> {
        let path = api_path(repository, "/packages/app/versions");
        let listed = self.remote.accounts.owner.get(&path).await.expect_status(200).json();
        let versions = listed["versions"].as_array().cloned().unwrap_or_default();
        let digest = |version: &Value| {
            let name = version["name"].as_str().expect("text");
            name.rsplit('/').next().expect("a digest").to_owned()
        };
        versions.iter().map(digest).collect()
    }

    /// Waits until a repository has these manifests and no others.
    async fn wait_for_versions(&self, repository: &str, expected: &[&Image]) {
        let expected: BTreeSet<_> = expected.iter().map(|image| image.digest()).collect();
        let seen = async {
            while self.versions(repository).await != expected {
                sleep(Duration::from_millis(20)).await;
            }
        };
        with_deadline(seen).await;
    }

    /// Waits until eviction has run once from its beginning to its end. Moves the clock by some seconds.
    async fn wait_for_run(&mut self) {
        // The first of these may have been evicted by a run that was past the other repositories already.
        for _ in 0..2 {
            self.runs += 1;
            let (image, tag) = (Image::new(1_000 + self.runs), format!("run{}", self.runs));
            self.remote.upstream.serve(&image, ("app", &tag));
            self.pull(LAST, &image, &tag).await;
            self.remote.advance_seconds(PAST_SHORT_MARGIN);
            self.wait_for_versions(LAST, &[]).await;
        }
    }

    async fn size(&self, repository: &str) -> usize {
        let described = self.remote.accounts.owner.get(&api_path(repository, "")).await;
        let described = described.expect_status(200).json();
        described["sizeBytes"].as_str().map_or(0, |size| size.parse().expect("a number"))
    }

    async fn set_limit(&self, bytes: usize) {
        self.remote.set_rules(json!({ "maxCacheBytes": bytes.to_string() })).await;
    }

    fn count_blob_fetches(&self, blob: &Bytes) -> usize {
        self.remote.upstream.count(&format!("GET {}", blob_path("app", digest_of(blob))))
    }
}

/// The bytes of some images, which share nothing.
fn bytes_of(images: &[&Image]) -> usize {
    let bytes = |image: &&Image| {
        image.manifest.len() + image.blobs.iter().map(|blob| blob.len()).sum::<usize>()
    };
    images.iter().map(bytes).sum()
}

/// Reads the beginning of an answer. Returns how much.
async fn read_beginning(reply: &mut OpenReply, bytes: &[u8]) -> usize {
    let mut read = 0;
    while read < 1 << 20 {
        let frame = reply.next().await.expect("the beginning");
        assert!(bytes[read..].starts_with(&frame));
        read += frame.len();
    }
    read
}

async fn what_was_pulled_least_recently_is_evicted(backend: Backend) {
    let mut test = EvictionTest::start(backend).await;
    let (one, two, three) = (test.fetch(1).await, test.fetch(2).await, test.fetch(3).await);
    let all = [&one, &two, &three];
    assert_eq!(test.size("remote").await, bytes_of(&all));
    test.remote.advance_seconds(5);
    test.pull("remote", &one, "1").await;
    test.remote.advance_seconds(PAST_MARGIN);
    // What fits stays.
    test.set_limit(bytes_of(&all)).await;
    test.wait_for_run().await;
    test.wait_for_versions("remote", &all).await;
    test.set_limit(bytes_of(&all) - 1).await;
    test.wait_for_versions("remote", &[&one, &three]).await;
    test.wait_for_run().await;
    assert_eq!(test.versions("remote").await.len(), 2, "it fits again");
    assert_eq!(test.size("remote").await, bytes_of(&[&one, &three]));
    // What is pulled again is fetched again, and makes room for itself. What was just pulled stays.
    test.pull("remote", &two, "2").await;
    assert_eq!(test.count_blob_fetches(&two.blobs[1]), 2);
    test.wait_for_versions("remote", &[&one, &two]).await;
    test.set_limit(1).await;
    test.wait_for_versions("remote", &[&two]).await;
    test.wait_for_run().await;
    test.wait_for_versions("remote", &[&two]).await;
    test.pull("remote", &two, "2").await;
    assert_eq!(test.count_blob_fetches(&two.blobs[1]), 2);
    test.remote.advance_seconds(PAST_MARGIN);
    test.wait_for_versions("remote", &[]).await;
    assert_eq!(test.size("remote").await, 0);
    // A reader of the same layers under another name keeps nothing of this one.
    test.pull("remote", &one, "1").await;
    test.remote.upstream.serve(&one, ("other", "1"));
    test.remote.advance_seconds(PAST_MARGIN);
    let other = image_in("remote", "other");
    expect_manifest(test.remote.get(&manifest_path(&other, "1")).await, &one);
    test.remote.get(&blob_path(&other, digest_of(&one.blobs[1]))).await.expect_status(200);
    test.wait_for_versions("remote", &[]).await;
    assert_eq!(test.size("remote").await, bytes_of(&[&one]));
    let evicted = format!("berth_cache_evicted_versions_total {}", 5 + test.runs);
    test.remote.accounts.server.wait_for_metrics(&evicted).await;
}

async fn an_index_keeps_its_manifests(backend: Backend) {
    let mut test = EvictionTest::start(backend).await;
    let children = [test.fetch(1).await, test.fetch(2).await];
    let other = test.fetch(3).await;
    test.remote.advance_seconds(5);
    let index = index_of(&[children[0].descriptor(), children[1].descriptor()]);
    let answer = UpstreamAnswer::Content {
        bytes: index.clone().into(),
        media_type: OCI_INDEX,
        digest: Some(digest_of(&index)),
    };
    test.remote.upstream.set(&manifest_path("app", "index"), answer);
    // A HEAD fetches the index, and counts as no pull of what it names.
    let path = manifest_path(&image_in("remote", "app"), "index");
    test.remote.accounts.owner.client.head(&path).await.expect_status(200);
    test.remote.advance_seconds(PAST_MARGIN);
    let kept = bytes_of(&[&children[0], &children[1]]) + index.len();
    test.set_limit(kept).await;
    let expected: BTreeSet<_> =
        [children[0].digest(), children[1].digest(), digest_of(&index)].into();
    let evicted = async {
        while test.versions("remote").await != expected {
            assert!(test.versions("remote").await.is_superset(&expected));
            sleep(Duration::from_millis(20)).await;
        }
    };
    with_deadline(evicted).await;
    assert_eq!(test.size("remote").await, kept);
    // The index goes before its manifests, and these before what was pulled later.
    test.pull("remote", &other, "3").await;
    test.remote.advance_seconds(PAST_MARGIN);
    test.set_limit(bytes_of(&[&other])).await;
    test.wait_for_versions("remote", &[&other]).await;
    test.wait_for_run().await;
    test.wait_for_versions("remote", &[&other]).await;
}

/// Layers of a manifest that somebody deleted count until they are collected, and evict nothing else.
async fn what_is_not_needed_goes_first(backend: Backend) {
    let mut test = EvictionTest::start(backend).await;
    let (old, deleted, package) = (test.fetch(1).await, test.fetch(2).await, Image::new(3));
    test.remote.upstream.serve(&package, ("other", "1"));
    let other = image_in("remote", "other");
    expect_manifest(test.remote.get(&manifest_path(&other, "1")).await, &package);
    let version = format!("/packages/app/versions/{}?force=true", deleted.digest());
    let owner = test.remote.accounts.owner.clone();
    owner.delete(&api_path("remote", &version)).await.expect_status(200);
    owner.delete(&api_path("remote", "/packages/other")).await.expect_status(200);
    let size = test.size("remote").await;
    assert!(size > bytes_of(&[&old]), "{size}");
    test.remote.advance_seconds(PAST_MARGIN);
    test.set_limit(bytes_of(&[&old])).await;
    // Nothing is evicted before the rows of the deleted image are gone.
    test.wait_for_run().await;
    assert_eq!(test.size("remote").await, size);
    crate::gc::collect_garbage(&test.remote.accounts.server).await;
    test.wait_for_run().await;
    assert_eq!(test.size("remote").await, bytes_of(&[&old]));
    test.wait_for_versions("remote", &[&old]).await;
    test.pull("remote", &old, "1").await;
    assert_eq!(test.count_blob_fetches(&old.blobs[1]), 1);
}

async fn a_pull_that_runs_keeps_its_image(backend: Backend) {
    let mut test = EvictionTest::start(backend).await;
    let body = virtual_body(&[policy("remote", 1)], json!({}));
    create_from_body(&test.remote.accounts, VIRTUAL, &body).await.expect_status(200);
    let cases = [
        (json!({ "maxCacheBytes": "1" }), "remote"),
        (json!({ "maxCacheBytes": null, "noCache": true }), VIRTUAL),
    ];
    for (rules, repository) in cases {
        test.remote.sign_in_again().await;
        test.remote.set_rules(rules).await;
        // More than the connection holds of an answer that is not read.
        let (length, half) = (24 << 20, 2 << 20);
        let layer = random_bytes(length, repository.len() as u64);
        let image = Image::of_layer(layer.clone());
        test.remote.upstream.serve(&image, ("app", "1"));
        let (gate, at) = (Arc::new(Semaphore::new(0)), blob_path("app", digest_of(&layer)));
        let gated = UpstreamAnswer::Gated { bytes: layer.clone(), first: half, gate: gate.clone() };
        test.remote.upstream.set(&at, gated);
        let name = image_in(repository, "app");
        expect_manifest(test.remote.get(&manifest_path(&name, "1")).await, &image);
        let path = blob_path(&name, digest_of(&layer));
        let client = test.remote.accounts.owner.client.clone();
        // A cold layer, and the same layer when it is stored.
        for is_cold in [true, false] {
            let mut reply = client.open(&path).await;
            let begun = read_beginning(&mut reply, &layer).await;
            test.remote.advance_seconds(PAST_MARGIN);
            test.wait_for_run().await;
            test.wait_for_versions("remote", &[&image]).await;
            if is_cold {
                gate.add_permits(1);
            }
            assert_eq!(reply.expect_bytes(&layer[begun..]).await, length - begun);
            // The next layer may be asked for a moment later.
            test.pull("remote", &image, &image.digest()).await;
            assert_eq!(test.remote.upstream.count(&format!("GET {at}")), 1);
        }
        test.remote.advance_seconds(PAST_MARGIN);
        test.wait_for_versions("remote", &[]).await;
        assert_eq!(test.size("remote").await, 0);
    }
}

async fn a_repository_can_keep_nothing(backend: Backend) {
    let mut test = EvictionTest::start(backend).await;
    test.remote.set_rules(json!({ "noCache": true })).await;
    let image = Image::of_layer(random_bytes(1 << 20, 1));
    test.remote.upstream.serve(&image, ("app", "1"));
    let (manifest, layer) = (manifest_path("app", "1"), &image.blobs[1]);
    let tag = manifest_path(&image_in("remote", "app"), "1");
    for round in 1..3 {
        join_all((0..50).map(|_| test.pull("remote", &image, "1"))).await;
        assert_eq!(test.count_blob_fetches(layer), round);
        assert_eq!(test.remote.upstream.count(&format!("GET {manifest}")), round);
        // A tag is asked for each time, as long as somebody pulls it.
        let asked = test.remote.upstream.asked().len();
        for more in 1..3 {
            expect_manifest(test.remote.get(&tag).await, &image);
            assert_eq!(test.remote.upstream.asked().len(), asked + more);
        }
        test.remote.advance_seconds(PAST_SHORT_MARGIN);
        test.wait_for_versions("remote", &[]).await;
        assert_eq!(test.size("remote").await, 0);
        let tags = test.remote.accounts.owner.get(&api_path("remote", "/packages/app/tags")).await;
        assert_eq!(tags.expect_status(200).json()["tags"], Value::Null);
    }
    // A tag that has moved is the new one at once.
    let moved = Image::new(2);
    expect_manifest(test.remote.get(&tag).await, &image);
    test.remote.upstream.serve(&moved, ("app", "1"));
    expect_manifest(test.remote.get(&tag).await, &moved);
    // The file goes by collection.
    test.wait_for_run().await;
    test.wait_for_versions("remote", &[]).await;
    let server = &test.remote.accounts.server;
    crate::gc::collect_garbage(server).await;
    server.clock.advance_hours(2);
    crate::gc::collect_garbage(server).await;
    assert_eq!(server.count_blob_files(), 0);
}

async fn evicted_referrers_are_listed_again(backend: Backend) {
    let test = EvictionTest::start(backend).await;
    let image = Image::new(1);
    let signature = Image::referring_to(&image.descriptor(), "application/x-signature");
    test.remote.upstream.serve(&image, ("app", "1"));
    test.remote.upstream.serve(&signature, ("app", "unlisted"));
    let at = format!("/v2/app/referrers/{}", image.digest());
    let list = index_of(&[signature.descriptor()]);
    test.remote.upstream.set(&at, UpstreamAnswer::blob(list));
    let path = format!("/v2/{}/referrers/{}", image_in("remote", "app"), image.digest());
    test.set_limit(1).await;
    for round in 1..3 {
        let listed = test.remote.get(&path).await.expect_status(200).json();
        assert_eq!(listed["manifests"][0]["digest"], signature.digest(), "{listed}");
        assert_eq!(test.remote.upstream.count(&format!("GET {at}")), round);
        test.remote.advance_seconds(PAST_MARGIN);
        test.wait_for_versions("remote", &[]).await;
    }
}
