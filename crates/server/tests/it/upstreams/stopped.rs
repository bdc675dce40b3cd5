//! Upstreams that are gone. What was pulled before goes on being served.

use futures_util::{StreamExt, stream};

use super::image_in;
use super::remote::{RemoteTest, expect_manifest, expect_problem};
use crate::util::scripted_upstream::REGISTRY_PATH;
use crate::util::{Backend, Image, UpstreamAnswer, blob_path, digest_of, manifest_path, on_both};

on_both![
    a_hundred_images_are_served_while_connections_are_refused,
    a_hundred_images_are_served_while_the_upstream_is_silent
];

const IMAGES: u64 = 100;

/// An image that was pulled before, under a tag of its own.
struct PulledImage {
    name: String,
    tag: String,
    image: Image,
}

impl PulledImage {
    fn new(number: u64) -> Self {
        let (name, tag) = (format!("app{}", number % 10), number.to_string());
        Self { name, tag, image: Image::with_layers(number, 1) }
    }

    fn path(&self, reference: &str) -> String {
        manifest_path(&image_in("remote", &self.name), reference)
    }

    async fn expect_blobs(&self, test: &RemoteTest) {
        for blob in &self.image.blobs {
            let path = blob_path(&image_in("remote", &self.name), digest_of(blob));
            assert_eq!(test.get(&path).await.expect_status(200).body, *blob);
        }
    }
}

/// Pulls the images through the remote repository, and waits until their tags are no longer fresh.
async fn pull_images(backend: Backend) -> (RemoteTest, Vec<PulledImage>) {
    let mut test = RemoteTest::start(backend).await;
    let images: Vec<_> = (0..IMAGES).map(PulledImage::new).collect();
    let pulls = stream::iter(&images).for_each_concurrent(8, async |pulled| {
        test.upstream.serve(&pulled.image, (&pulled.name, &pulled.tag));
        expect_manifest(test.get(&pulled.path(&pulled.tag)).await, &pulled.image);
        pulled.expect_blobs(&test).await;
    });
    pulls.await;
    test.advance_seconds(3_700);
    test.sign_in_again().await;
    (test, images)
}

/// Pulls each image by its tag, which is stale, and by its digest, which nobody has to confirm.
async fn expect_all_served(test: &RemoteTest, images: &[PulledImage]) {
    for pulled in images {
        let by_tag = expect_manifest(test.get(&pulled.path(&pulled.tag)).await, &pulled.image);
        assert!(by_tag.header("warning").starts_with("110 "), "{by_tag:#?}");
        let age: u64 = by_tag.header("age").parse().expect("seconds");
        assert!((3_700..4_000).contains(&age), "{age}");
        let digest = pulled.image.digest();
        let by_digest = expect_manifest(test.get(&pulled.path(&digest)).await, &pulled.image);
        assert_eq!((by_digest.header("warning"), by_digest.header("age")), ("", ""));
        pulled.expect_blobs(test).await;
    }
}

async fn a_hundred_images_are_served_while_connections_are_refused(backend: Backend) {
    let (mut test, images) = pull_images(backend).await;
    test.upstream.stop().await;
    expect_all_served(&test, &images).await;
    // One pull found out, and all others cost nothing.
    let host = test.upstream.address;
    let refused = format!("berth_upstream_errors_total{{host=\"{host}\",kind=\"unreachable\"}} 1");
    test.accounts.server.wait_for_metrics(&refused).await;
    let missing = test.pull_manifest("1").await;
    expect_problem(missing, "502 UNAVAILABLE", "gave no answer: it cannot be reached");
}

async fn a_hundred_images_are_served_while_the_upstream_is_silent(backend: Backend) {
    let (test, images) = pull_images(backend).await;
    test.upstream.set_all(&UpstreamAnswer::Hang);
    test.upstream.set(REGISTRY_PATH, UpstreamAnswer::Hang);
    let asked = test.upstream.asked().len();
    expect_all_served(&test, &images).await;
    let since = test.upstream.asked().split_off(asked);
    let lines: Vec<_> = since.iter().map(|asked| asked.line.as_str()).collect();
    let first = &images[0];
    assert_eq!(lines, [format!("HEAD {}", manifest_path(&first.name, &first.tag))]);
}
