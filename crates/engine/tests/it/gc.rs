//! Copies that went bad, and reviews that cross with requests.

use std::time::Duration;

use blob::BlobError;
use blob::faulty::Step;
use engine::{EngineError, Pull};

use crate::registry::Registry;

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
