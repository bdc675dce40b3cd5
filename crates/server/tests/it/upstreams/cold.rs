//! Blobs of remote repositories that are read while they are fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::image_in;
use super::remote::{RemoteTest, expect_manifest};
use crate::util::client::OpenReply;
use crate::util::{
    Backend, Image, UpstreamAnswer, blob_path, digest_of, manifest_path, on_both, random_bytes,
};

/// The bytes at the end of a blob that wait for its digest.
pub(super) const HELD_BACK: usize = 64 << 10;

on_both![
    bytes_are_read_before_the_upstream_has_sent_all,
    a_fetch_goes_on_when_the_client_that_began_it_leaves,
    an_upstream_that_breaks_off_is_asked_for_the_rest,
    attack_46_a_large_lie_ends_before_its_last_bytes,
    attack_52_very_many_readers_of_a_cold_blob_cause_one_fetch,
];

/// An image of one large layer, whose manifest was pulled from a remote repository.
pub(super) struct ColdLayer<'a> {
    test: &'a RemoteTest,
    pub(super) layer: Bytes,
    /// The path of the layer at the upstream.
    pub(super) at_upstream: String,
    /// The path of the layer in the repository.
    path: String,
}

impl<'a> ColdLayer<'a> {
    /// The length is also the seed of the bytes.
    pub(super) async fn add(test: &'a RemoteTest, length: usize) -> Self {
        let image = Image::of_layer(random_bytes(length, length as u64));
        let name = format!("app{length}");
        test.upstream.serve(&image, (&name, "1"));
        let manifest = manifest_path(&image_in("remote", &name), "1");
        expect_manifest(test.get(&manifest).await, &image);
        let layer = image.blobs[1].clone();
        let digest = digest_of(&layer);
        let at_upstream = blob_path(&name, &digest);
        let path = blob_path(&image_in("remote", &name), &digest);
        Self { test, layer, at_upstream, path }
    }

    /// Lets the upstream send the first bytes, and the rest when the gate opens.
    fn gate(&self, first: usize) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        let (bytes, open) = (self.layer.clone(), gate.clone());
        self.test
            .upstream
            .set(&self.at_upstream, UpstreamAnswer::Gated { bytes, first, gate: open });
        gate
    }

    pub(super) async fn open(&self) -> OpenReply {
        let reply = self.test.accounts.owner.client.open(&self.path).await;
        assert_eq!(reply.status, 200);
        reply
    }

    pub(super) async fn open_range(&self, range: &str) -> OpenReply {
        let client = self.test.accounts.owner.client.clone().with_header("range", range);
        let reply = client.open(&self.path).await;
        assert_eq!(reply.status, 206);
        reply
    }

    /// Reads the layer in whole, from whatever place it has now.
    pub(super) async fn expect_whole(&self) {
        let mut reply = self.open().await;
        assert_eq!(reply.expect_bytes(&self.layer).await, self.layer.len());
    }

    pub(super) fn count_fetches(&self) -> usize {
        self.test.upstream.count(&format!("GET {}", self.at_upstream))
    }
}

async fn bytes_are_read_before_the_upstream_has_sent_all(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let cold = ColdLayer::add(&test, 3 << 20).await;
    let (layer, first) = (&cold.layer, 2 << 20);
    let gate = cold.gate(first);
    let mut whole = cold.open().await;
    assert_eq!(whole.headers["content-length"], layer.len().to_string());
    assert_eq!(whole.expect_bytes(&layer[..first]).await, first);
    // A part that has come is answered, and one that has not waits.
    let mut early = cold.open_range("bytes=1000-1999").await;
    assert_eq!(early.expect_bytes(&layer[1000..2000]).await, 1000);
    let mut late = cold.open_range("bytes=2500000-").await;
    let seen = cold.test.accounts.owner.client.head(&cold.path).await.expect_status(200);
    assert_eq!(seen.header("content-length"), layer.len().to_string());
    gate.add_permits(1);
    assert_eq!(whole.expect_bytes(&layer[first..]).await, layer.len() - first);
    assert_eq!(late.expect_bytes(&layer[2_500_000..]).await, layer.len() - 2_500_000);
    cold.expect_whole().await;
    assert_eq!(cold.count_fetches(), 1);
}

async fn a_fetch_goes_on_when_the_client_that_began_it_leaves(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let cold = ColdLayer::add(&test, 3 << 20).await;
    let gate = cold.gate(1 << 20);
    let mut leader = cold.open().await;
    leader.next().await.expect("the beginning");
    drop(leader);
    let mut follower = cold.open().await;
    gate.add_permits(1);
    assert_eq!(follower.expect_bytes(&cold.layer).await, cold.layer.len());
    cold.expect_whole().await;
    assert_eq!(cold.count_fetches(), 1);
}

async fn an_upstream_that_breaks_off_is_asked_for_the_rest(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let cases = [(10, true), (50, true), (99, true), (50, false), (99, false)];
    for (case, (percent, ranges)) in cases.into_iter().enumerate() {
        let cold = ColdLayer::add(&test, (2 << 20) + case).await;
        let (bytes, size) = (cold.layer.clone(), cold.layer.len());
        let after = (size * percent).div_ceil(100);
        let breaking = UpstreamAnswer::Breaking { bytes, after, ranges };
        cold.test.upstream.set(&cold.at_upstream, breaking);
        let mut reply = cold.open().await;
        let read = reply.expect_bytes(&cold.layer).await;
        let asked = cold.test.upstream.asked();
        let asked = asked.iter().filter(|asked| asked.line.ends_with(&cold.at_upstream));
        let resumed = asked.filter(|asked| asked.headers.contains_key("range")).count();
        if ranges && percent >= 50 {
            assert_eq!((read, resumed), (size, 1), "{percent} %");
            cold.expect_whole().await;
        } else {
            // Ten parts are more than an upstream is asked for, and one without parts brings nothing new.
            assert!(read < size && resumed > 1, "{percent} %, {ranges}: {read}, {resumed}");
        }
        // What has come is kept, and the next pull goes on from there.
        cold.test.upstream.set(&cold.at_upstream, UpstreamAnswer::blob(cold.layer.clone()));
        cold.expect_whole().await;
    }
}

async fn attack_46_a_large_lie_ends_before_its_last_bytes(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let cold = ColdLayer::add(&test, 1 << 20).await;
    let (layer, size) = (&cold.layer, cold.layer.len());
    let mut flipped = layer.to_vec();
    flipped[size - 1] ^= 1;
    let longer = [&layer[..], b"x"].concat();
    let announced = size;
    for (lie, most) in [
        (UpstreamAnswer::blob(flipped), size - HELD_BACK),
        (UpstreamAnswer::blob(longer), size - HELD_BACK),
        (UpstreamAnswer::blob(layer.slice(..size - 1)), size - 1 - HELD_BACK),
        (UpstreamAnswer::Cut { bytes: layer.slice(..size - 1), announced }, size - HELD_BACK),
    ] {
        cold.test.upstream.set(&cold.at_upstream, lie);
        let mut reply = cold.open().await;
        let read = reply.expect_bytes(layer).await;
        assert!(read <= most, "{read} of {size}");
        assert!(reply.next().await.is_none());
    }
    cold.test.upstream.set(&cold.at_upstream, UpstreamAnswer::blob(layer.clone()));
    cold.expect_whole().await;
}

async fn attack_52_very_many_readers_of_a_cold_blob_cause_one_fetch(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    for (readers, length) in [(500, 4 << 20), (50, 64 << 20)] {
        let cold = ColdLayer::add(&test, length).await;
        let gate = cold.gate(length / 2);
        let (cold, begun) = (&cold, &AtomicUsize::new(0));
        // Each reads at once: the server ends connections that leave their answers unread while memory is short.
        let reading = (0..readers).map(|_| async {
            let mut reply = cold.open().await;
            if begun.fetch_add(1, Ordering::Relaxed) + 1 == readers {
                gate.add_permits(1);
            }
            assert_eq!(reply.expect_bytes(&cold.layer).await, cold.layer.len());
        });
        join_all(reading).await;
        assert_eq!(cold.count_fetches(), 1);
        cold.expect_whole().await;
        assert_eq!(cold.count_fetches(), 1);
    }
}
