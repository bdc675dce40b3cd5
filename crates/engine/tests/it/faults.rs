//! A failing store: requests fail, and no acknowledged data is lost. And a stop during a collection.

use std::ops::ControlFlow;

use berth_engine::{CheckCounts, EngineError, GcMode, Pull, Push, UploadBody};
use blob::faulty::FaultStep;
use blob::{BlobError, DiskSpace};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use model::digest::{Digest, DigestAlgorithm};

use crate::registry::{TestRegistry, body_of, start_with_bytes};

#[tokio::test]
async fn a_failed_put_can_be_repeated() {
    for step in [FaultStep::Finish, FaultStep::AfterFinish] {
        let registry = TestRegistry::new().await;
        let access = registry.open_access::<Push>().await;
        let upload = start_with_bytes(&access, b"content").await;
        let digest = Digest::of(b"content");
        registry.faults.add(step, 0, failed_to_write);
        let failed = access.finish_upload(&upload, &digest, body_of(b"").into()).await;
        assert!(matches!(failed, Err(EngineError::Internal(_))), "{step:?}: {failed:?}");
        let unknown = registry.open_access::<Pull>().await.open_blob(&digest).await;
        assert!(matches!(unknown, Err(EngineError::BlobUnknown(_))), "nothing was answered yet");
        let again = access.finish_upload(&upload, &digest, body_of(b"").into()).await;
        again.expect("the bytes are still there");
        assert_eq!(registry.read_blob(&digest).await, b"content");
    }
}

#[tokio::test]
async fn a_failed_chunk_keeps_acknowledged_bytes() {
    for step in [FaultStep::Write, FaultStep::Checkpoint] {
        let registry = TestRegistry::new().await;
        let access = registry.open_access::<Push>().await;
        let upload = start_with_bytes(&access, b"answered").await;
        registry.faults.add(step, 0, failed_to_write);
        let failed = access.append(&upload, body_of(b" and lost").into()).await;
        assert!(matches!(failed, Err(EngineError::Internal(_))), "{step:?}: {failed:?}");
        assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 8);
        access.append(&upload, body_of(b" and more").into()).await.expect("it goes on");
        let digest = Digest::of(b"answered and more");
        access.finish_upload(&upload, &digest, body_of(b"").into()).await.expect("complete");
        assert_eq!(registry.read_blob(&digest).await, b"answered and more");
    }
}

fn failed_to_write() -> BlobError {
    BlobError::Io(std::io::Error::other("a fault of the disk"))
}

/// An upload that finds no room is deleted.
#[tokio::test]
async fn a_full_disk_ends_the_session_and_frees_its_bytes() {
    for step in [FaultStep::Write, FaultStep::Checkpoint, FaultStep::Finish] {
        let registry = TestRegistry::new().await;
        let access = registry.open_access::<Push>().await;
        let upload = start_with_bytes(&access, b"answered").await;
        registry.faults.add(step, 0, || BlobError::Full);
        let failed = match step {
            FaultStep::Finish => {
                let whole = Digest::of(b"answered and more");
                access.finish_upload(&upload, &whole, body_of(b" and more").into()).await
            }
            _ => access.append(&upload, body_of(b" and more").into()).await.map(|_| ()),
        };
        assert!(matches!(failed, Err(EngineError::StorageFull)), "{step:?}: {failed:?}");
        let gone = access.upload_progress(&upload).await;
        assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{step:?}: {gone:?}");
        assert_eq!(registry.faults.count_reached(FaultStep::Delete), 1, "{step:?}: at once");
    }
}

/// The reserve is checked with every batch. When there is room again, uploads work without a restart.
#[tokio::test]
async fn an_upload_that_reaches_the_reserve_ends_and_frees_its_bytes() {
    const MIB: u64 = 1 << 20;
    let space = |free| DiskSpace { size: 1000 * MIB, free: free * MIB, free_files: None };
    let registry = TestRegistry::new().await;
    registry.faults.set_disk_space(space(105));
    let access = registry.open_access::<Push>().await;
    let kept = registry.push_blob(b"kept").await;
    let upload = start_with_bytes(&access, b"answered").await;
    let faults = registry.faults.clone();
    let frames = stream::iter([2 * MIB, 4 * MIB]).map(move |length| {
        // Another program writes to the disk meanwhile.
        faults.set_disk_space(space(if length == 4 * MIB { 100 } else { 105 }));
        Ok(Bytes::from(vec![0; length as usize]))
    });
    let frames: UploadBody<'_> = Box::pin(frames);
    let refused = access.append(&upload, frames.into()).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "{refused:?}");
    let gone = access.upload_progress(&upload).await;
    assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{gone:?}");
    assert_eq!(registry.faults.count_reached(FaultStep::Delete), 1, "at once");
    let refused = access.start_upload(DigestAlgorithm::Sha256).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "{refused:?}");
    assert_eq!(registry.read_blob(&kept).await, b"kept");
    registry.faults.set_disk_space(DiskSpace { free_files: Some(63), ..space(900) });
    let refused = access.start_upload(DigestAlgorithm::Sha256).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "no file can be made");
    registry.faults.set_disk_space(space(105));
    registry.push_blob(b"after").await;
}

/// Another program truncated or deleted the file. The upload is unknown from then on.
#[tokio::test]
async fn missing_bytes_end_the_session() {
    for lost in [|| BlobError::Lost, || BlobError::NotAFile] {
        let registry = TestRegistry::new().await;
        let access = registry.open_access::<Push>().await;
        let upload = start_with_bytes(&access, b"content").await;
        registry.faults.add(FaultStep::Claim, 0, lost);
        let failed = access.append(&upload, body_of(b"x").into()).await;
        assert!(matches!(failed, Err(EngineError::UploadUnknown)), "{failed:?}");
        let gone = access.upload_progress(&upload).await;
        assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{gone:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_deleted_is_deleted_later() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"content").await;
    access.cancel_upload(&upload).await.expect("a session");
    registry.faults.add(FaultStep::Delete, 0, || BlobError::Unhealthy);
    assert_eq!(registry.collect_garbage().await, 0);
    assert_eq!(registry.collect_garbage().await, 1);
    assert_eq!(registry.collect_garbage().await, 0);
}

/// Data of a failed sync is lost, so that the upload cannot go on.
#[tokio::test]
async fn a_failed_sync_ends_the_session() {
    for step in [FaultStep::Checkpoint, FaultStep::Finish] {
        let registry = TestRegistry::new().await;
        let access = registry.open_access::<Push>().await;
        let upload = start_with_bytes(&access, b"answered").await;
        registry.faults.add(step, 0, || BlobError::Unhealthy);
        let failed = match step {
            FaultStep::Checkpoint => {
                access.append(&upload, body_of(b" and lost").into()).await.map(|_| ())
            }
            _ => {
                let whole = Digest::of(b"answered and lost");
                access.finish_upload(&upload, &whole, body_of(b" and lost").into()).await
            }
        };
        assert!(matches!(failed, Err(EngineError::Unavailable(_))), "{step:?}: {failed:?}");
        let gone = access.upload_progress(&upload).await;
        assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{step:?}: {gone:?}");
        assert_eq!(registry.collect_garbage().await, 1);
    }
}

/// A store that takes no writes does not end an upload that it did not touch.
#[tokio::test]
async fn a_store_that_takes_no_writes_ends_no_session() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"answered").await;
    registry.faults.add(FaultStep::Claim, 0, || BlobError::Unhealthy);
    let failed = access.append(&upload, body_of(b" and more").into()).await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))), "{failed:?}");
    assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 8);
}

/// A copy with a bad sector is set aside until it can be read or is pushed again.
#[tokio::test]
async fn an_unreadable_copy_is_set_aside_and_comes_back() {
    for step in [FaultStep::Open, FaultStep::Read] {
        let registry = TestRegistry::new().await;
        let digest = registry.push_blob(b"content").await;
        let fail = |times: usize| {
            let eio = || BlobError::Io(std::io::Error::from_raw_os_error(5));
            (0..times).for_each(|_| registry.faults.add(step, 0, eio));
        };
        // A failed open is tried once more.
        fail(if step == FaultStep::Open { 2 } else { 1 });
        let access = registry.open_access::<Pull>().await;
        match access.open_blob(&digest).await {
            Ok(blob) => {
                let frames: Vec<_> = blob.whole().collect().await;
                assert!(matches!(frames[..], [Err(BlobError::Io(_))]), "{frames:?}");
            }
            Err(error) => assert!(matches!(error, EngineError::BlobUnknown(_)), "{error:?}"),
        }
        fail(1);
        let unknown = access.stat_blob(&digest).await;
        assert!(matches!(unknown, Err(EngineError::BlobUnknown(_))), "{step:?}: {unknown:?}");
        access.stat_blob(&digest).await.expect("it can be read again");
        assert_eq!(registry.read_blob(&digest).await, b"content");
        let counts = registry.engine.check_counts();
        assert_eq!((counts.unreadable, counts.restored), (1, 1), "{step:?}");

        fail(if step == FaultStep::Open { 2 } else { 1 });
        if let Ok(blob) = access.open_blob(&digest).await {
            drop(blob.whole().collect::<Vec<_>>().await);
        }
        registry.push_blob(b"content").await;
        assert_eq!(registry.read_blob(&digest).await, b"content");
        assert_eq!(registry.collect_garbage().await, 1, "the one that could not be read");
    }
}

/// A process without free descriptors learns nothing about a copy.
#[tokio::test]
async fn running_out_of_descriptors_does_not_blame_a_copy() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    let emfile = || BlobError::Io(std::io::Error::from_raw_os_error(24));
    registry.faults.add(FaultStep::Open, 0, emfile);
    let failed = registry.open_access::<Pull>().await.open_blob(&digest).await.err();
    assert!(matches!(failed, Some(EngineError::Internal(_))), "{failed:?}");
    assert_eq!(registry.read_blob(&digest).await, b"content");
    assert_eq!(registry.engine.check_counts(), CheckCounts::default());
}

/// A store that is away may have its copies elsewhere.
#[tokio::test]
async fn a_missing_copy_is_not_set_aside_while_the_store_is_away() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    registry.faults.add(FaultStep::Open, 0, || BlobError::NotFound);
    registry
        .faults
        .add(FaultStep::CheckPlace, 0, || BlobError::StoreMissing("elsewhere".to_owned()));
    let access = registry.open_access::<Pull>().await;
    let failed = access.stat_blob(&digest).await;
    assert!(matches!(failed, Err(EngineError::StoreAway(_))), "{failed:?}");
    // A missing copy is looked for twice.
    registry.faults.add(FaultStep::Open, 0, || BlobError::NotFound);
    access.stat_blob(&digest).await.expect("it is there");
    assert_eq!(registry.engine.check_counts().missing, 0);
}

#[tokio::test]
async fn a_stopped_collection_leaves_the_rest_for_the_next_one() {
    const FILES: u64 = 250;
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    for _ in 0..FILES {
        let upload = start_with_bytes(&access, b"content").await;
        access.cancel_upload(&upload).await.expect("a session");
    }
    let stopped = registry.engine.collect(GcMode::Collect, |_| ControlFlow::Break(())).await;
    let stopped = stopped.expect("it works").files;
    assert!(stopped > 0 && stopped < FILES, "{stopped}");
    let rest = registry.engine.collect(GcMode::Collect, |_| ControlFlow::Continue(())).await;
    let rest = rest.expect("it works");
    assert!(!rest.busy, "nobody is at it any more");
    assert_eq!(rest.files, FILES - stopped);
}
