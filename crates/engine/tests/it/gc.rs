//! Copies that went bad, and reviews that cross with requests.

use std::time::Duration;

use blob::BlobError;
use blob::faulty::Step;
use engine::{EngineError, Pull};
use meta::blobs;
use model::digest::Digest;

use crate::registry::{Registry, begin};

#[tokio::test]
async fn a_bad_copy_goes_when_a_sound_one_replaces_it() {
    let registry = Registry::new().await;
    let digest = registry.push_blob(b"content").await;
    registry.faults.add(Step::Open, 0, || BlobError::NotFound);
    let bad = registry.open::<Pull>().await.blob(&digest).await;
    assert!(matches!(bad.err(), Some(EngineError::BlobUnknown(_))));
    assert_eq!(registry.collect().await, 0, "it is all there is of the blob");
    registry.push_blob(b"content").await;
    assert_eq!(registry.collect().await, 1);
    assert_eq!(registry.read(&digest).await, b"content");
}

#[tokio::test]
async fn a_bad_copy_goes_with_its_blob() {
    let registry = Registry::with(|settings| settings.gc_grace = Duration::ZERO).await;
    let digest = registry.push_blob(b"content").await;
    registry.faults.add(Step::Open, 0, || BlobError::NotFound);
    registry.open::<Pull>().await.blob(&digest).await.err().expect("quarantined");
    assert_eq!(registry.collect().await, 1);
}

/// Who is told that a blob is there may leave it out of a push: so it must still be there afterwards.
#[tokio::test]
async fn a_blob_that_goes_meanwhile_is_not_there() {
    let registry = Registry::new().await;
    let digest = registry.push_blob(b"content").await;
    // Its review has to be put off, which waits for the database.
    registry.clock.advance(120);
    let (repository, access) = (registry.repository().await, registry.open::<Pull>().await);
    let held = registry.hold_database().await;
    let gone = Digest::of(b"content");
    let unlink = registry.meta.write(move |tx| Ok(blobs::unlink(tx, &repository, &gone)?));
    let unlink = begin(unlink).await;
    let stat = begin(access.stat_blob(&digest)).await;
    drop(held);
    assert_eq!(unlink.await.expect("it was first"), Some(7));
    let stat = stat.await;
    assert!(matches!(stat, Err(EngineError::BlobUnknown(_))), "{stat:?}");
}
