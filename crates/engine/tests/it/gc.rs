//! Bad copies, and reviews that run beside requests.

use std::ops::ControlFlow;
use std::time::Duration;

use blob::BlobError;
use blob::faulty::FaultStep;
use berth_engine::{EngineError, GcMode, Pull, Push};
use meta::blobs;
use meta::gc_queue::{self, ReviewKind};
use model::digest::Digest;

use crate::registry::{TestRegistry, poll_once, start_with_bytes};

/// Makes the next copy that is opened missing, however often it is looked for.
fn lose_next_copy(registry: &TestRegistry) {
    const LOOKS: u32 = 3;
    (0..LOOKS).for_each(|_| registry.faults.add(FaultStep::Open, 0, || BlobError::NotFound));
}

#[tokio::test]
async fn a_bad_copy_is_deleted_when_a_good_one_replaces_it() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    lose_next_copy(&registry);
    let bad = registry.open_access::<Pull>().await.blob(&digest).await;
    assert!(matches!(bad.err(), Some(EngineError::BlobUnknown(_))));
    assert_eq!(registry.collect_garbage().await, 0, "it is all there is of the blob");
    registry.push_blob(b"content").await;
    assert_eq!(registry.collect_garbage().await, 1);
    assert_eq!(registry.read_blob(&digest).await, b"content");
}

#[tokio::test]
async fn a_bad_copy_is_deleted_with_its_blob() {
    let registry = TestRegistry::with_settings(|settings| settings.gc_grace = Duration::ZERO).await;
    let digest = registry.push_blob(b"content").await;
    lose_next_copy(&registry);
    registry.open_access::<Pull>().await.blob(&digest).await.err().expect("quarantined");
    assert_eq!(registry.collect_garbage().await, 1);
}

/// A client that learns that a blob is there may leave it out of a push, so that the blob must stay.
#[tokio::test]
async fn a_blob_that_is_unlinked_meanwhile_is_unknown() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    // The blob's review has to be put off, which waits for the database.
    registry.clock.advance_minutes(120);
    let (repository, access) =
        (registry.repository_id().await, registry.open_access::<Pull>().await);
    let held = registry.hold_database().await;
    let gone = Digest::of(b"content");
    let unlink = registry.meta.write(move |tx| Ok(blobs::unlink(tx, &repository, &gone)?));
    let unlink = poll_once(unlink).await;
    let stat = poll_once(access.stat_blob(&digest)).await;
    drop(held);
    assert_eq!(unlink.await.expect("it was first"), Some(7));
    let stat = stat.await;
    assert!(matches!(stat, Err(EngineError::BlobUnknown(_))), "{stat:?}");
}

/// Expired uploads are deleted many at a time. An unreadable entry does not stop the others.
#[tokio::test]
async fn expired_uploads_are_deleted_together() {
    const UPLOADS: u64 = 230;
    for registry in TestRegistry::on_each_store().await {
        let access = registry.open_access::<Push>().await;
        for _ in 0..UPLOADS {
            start_with_bytes(&access, b"content").await;
        }
        let unreadable = |tx: &mut meta::Tx<'_>| {
            gc_queue::enqueue(tx, ReviewKind::Upload, &["no id".to_owned()], 0)?;
            gc_queue::enqueue(tx, ReviewKind::Copy, &["no id".to_owned()], 0)
        };
        registry.meta.write(unreadable).await.expect("it is written");
        registry.clock.advance_minutes(25 * 3600);
        let report = registry.engine.collect(GcMode::Collect, |_| ControlFlow::Continue(())).await;
        let report = report.expect("it works");
        assert_eq!((report.uploads, report.files), (UPLOADS, UPLOADS));
        let left = registry.meta.read_by_key(|tx| {
            tx.query_first("SELECT count(*) FROM uploads, copies", &[], |row| row.int(0))
        });
        assert_eq!(left.await.expect("readable"), Some(0));
        assert_eq!(registry.collect_garbage().await, 0);
    }
}
