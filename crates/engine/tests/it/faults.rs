//! What a failing store leads to: an error, and nothing lost that was answered. And what a stop leads to.

use std::ops::ControlFlow;

use blob::faulty::Step;
use blob::{BlobError, DiskSpace};
use bytes::Bytes;
use engine::{Body, CheckCounts, EngineError, GcMode, Pull, Push};
use futures_util::{StreamExt, stream};
use model::digest::{Algorithm, Digest};

use crate::registry::{TestRegistry, body_of, start_with_bytes};

#[tokio::test]
async fn a_put_that_failed_can_be_repeated() {
    for step in [Step::Finish, Step::AfterFinish] {
        let registry = TestRegistry::new().await;
        let access = registry.open::<Push>().await;
        let upload = start_with_bytes(&access, b"content").await;
        let digest = Digest::of(b"content");
        registry.faults.add(step, 0, failed_to_write);
        let failed = access.finish_upload(&upload, &digest, body_of(b"").into()).await;
        assert!(matches!(failed, Err(EngineError::Internal(_))), "{step:?}: {failed:?}");
        let unknown = registry.open::<Pull>().await.blob(&digest).await;
        assert!(matches!(unknown, Err(EngineError::BlobUnknown(_))), "nothing was answered yet");
        let again = access.finish_upload(&upload, &digest, body_of(b"").into()).await;
        again.expect("the bytes are still there");
        assert_eq!(registry.read_blob(&digest).await, b"content");
    }
}

#[tokio::test]
async fn a_chunk_that_failed_leaves_what_was_answered() {
    for step in [Step::Write, Step::Checkpoint] {
        let registry = TestRegistry::new().await;
        let access = registry.open::<Push>().await;
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

/// An upload for which there is no room keeps none.
#[tokio::test]
async fn a_full_disk_ends_the_session_and_frees_its_bytes() {
    for step in [Step::Write, Step::Checkpoint, Step::Finish] {
        let registry = TestRegistry::new().await;
        let access = registry.open::<Push>().await;
        let upload = start_with_bytes(&access, b"answered").await;
        registry.faults.add(step, 0, || BlobError::Full);
        let failed = match step {
            Step::Finish => {
                let whole = Digest::of(b"answered and more");
                access.finish_upload(&upload, &whole, body_of(b" and more").into()).await
            }
            _ => access.append(&upload, body_of(b" and more").into()).await.map(|_| ()),
        };
        assert!(matches!(failed, Err(EngineError::StorageFull)), "{step:?}: {failed:?}");
        let gone = access.upload_progress(&upload).await;
        assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{step:?}: {gone:?}");
        assert_eq!(registry.faults.reached(Step::Delete), 1, "{step:?}: at once");
    }
}

/// What is kept of the disk is looked at with every batch, and no restart is needed when there is room again.
#[tokio::test]
async fn an_upload_that_reaches_the_reserve_ends_and_frees_its_bytes() {
    const MIB: u64 = 1 << 20;
    let space = |free| DiskSpace { size: 1000 * MIB, free: free * MIB, free_files: None };
    let registry = TestRegistry::new().await;
    registry.faults.set_disk_space(space(105));
    let access = registry.open::<Push>().await;
    let kept = registry.push_blob(b"kept").await;
    let upload = start_with_bytes(&access, b"answered").await;
    let faults = registry.faults.clone();
    let frames = stream::iter([2 * MIB, 4 * MIB]).map(move |length| {
        // Somebody else writes to the disk meanwhile.
        faults.set_disk_space(space(if length == 4 * MIB { 100 } else { 105 }));
        Ok(Bytes::from(vec![0; length as usize]))
    });
    let frames: Body<'_> = Box::pin(frames);
    let refused = access.append(&upload, frames.into()).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "{refused:?}");
    let gone = access.upload_progress(&upload).await;
    assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{gone:?}");
    assert_eq!(registry.faults.reached(Step::Delete), 1, "at once");
    let refused = access.start_upload(Algorithm::Sha256).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "{refused:?}");
    assert_eq!(registry.read_blob(&kept).await, b"kept");
    registry.faults.set_disk_space(DiskSpace { free_files: Some(63), ..space(900) });
    let refused = access.start_upload(Algorithm::Sha256).await;
    assert!(matches!(refused, Err(EngineError::DiskNearlyFull(_))), "no file can be made");
    registry.faults.set_disk_space(space(105));
    registry.push_blob(b"after").await;
}

/// Somebody else cut the file or took it away: there is no such upload any more, whoever asks how often.
#[tokio::test]
async fn bytes_that_are_gone_end_the_session() {
    for lost in [|| BlobError::Lost, || BlobError::NotAFile] {
        let registry = TestRegistry::new().await;
        let access = registry.open::<Push>().await;
        let upload = start_with_bytes(&access, b"content").await;
        registry.faults.add(Step::Claim, 0, lost);
        let failed = access.append(&upload, body_of(b"x").into()).await;
        assert!(matches!(failed, Err(EngineError::UploadUnknown)), "{failed:?}");
        let gone = access.upload_progress(&upload).await;
        assert!(matches!(gone, Err(EngineError::UploadUnknown)), "{gone:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_removed_later() {
    let registry = TestRegistry::new().await;
    let access = registry.open::<Push>().await;
    let upload = start_with_bytes(&access, b"content").await;
    access.cancel_upload(&upload).await.expect("a session");
    registry.faults.add(Step::Delete, 0, || BlobError::Unhealthy);
    assert_eq!(registry.collect_garbage().await, 0);
    assert_eq!(registry.collect_garbage().await, 1);
    assert_eq!(registry.collect_garbage().await, 0);
}

/// What a sync lost cannot be gone on from, and is not asked for again.
#[tokio::test]
async fn a_failed_sync_ends_the_session() {
    for step in [Step::Checkpoint, Step::Finish] {
        let registry = TestRegistry::new().await;
        let access = registry.open::<Push>().await;
        let upload = start_with_bytes(&access, b"answered").await;
        registry.faults.add(step, 0, || BlobError::Unhealthy);
        let failed = match step {
            Step::Checkpoint => {
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

/// A store that takes no writes is no fault of an upload that it did not touch.
#[tokio::test]
async fn a_store_that_takes_no_writes_ends_no_session() {
    let registry = TestRegistry::new().await;
    let access = registry.open::<Push>().await;
    let upload = start_with_bytes(&access, b"answered").await;
    registry.faults.add(Step::Claim, 0, || BlobError::Unhealthy);
    let failed = access.append(&upload, body_of(b" and more").into()).await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))), "{failed:?}");
    assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 8);
}

/// A bad sector is the copy's fault: it is out of service until it can be read, or is pushed again.
#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_comes_back() {
    for step in [Step::Open, Step::Read] {
        let registry = TestRegistry::new().await;
        let digest = registry.push_blob(b"content").await;
        let fail = |times: usize| {
            let eio = || BlobError::Io(std::io::Error::from_raw_os_error(5));
            (0..times).for_each(|_| registry.faults.add(step, 0, eio));
        };
        // What opens is looked for once more.
        fail(if step == Step::Open { 2 } else { 1 });
        let access = registry.open::<Pull>().await;
        match access.blob(&digest).await {
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

        fail(if step == Step::Open { 2 } else { 1 });
        if let Ok(blob) = access.blob(&digest).await {
            drop(blob.whole().collect::<Vec<_>>().await);
        }
        registry.push_blob(b"content").await;
        assert_eq!(registry.read_blob(&digest).await, b"content");
        assert_eq!(registry.collect_garbage().await, 1, "the one that could not be read");
    }
}

/// A process that has run out of descriptors knows nothing of any copy.
#[tokio::test]
async fn what_the_machine_could_not_do_is_no_fault_of_the_copy() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    let emfile = || BlobError::Io(std::io::Error::from_raw_os_error(24));
    registry.faults.add(Step::Open, 0, emfile);
    let failed = registry.open::<Pull>().await.blob(&digest).await.err();
    assert!(matches!(failed, Some(EngineError::Internal(_))), "{failed:?}");
    assert_eq!(registry.read_blob(&digest).await, b"content");
    assert_eq!(registry.engine.check_counts(), CheckCounts::default());
}

/// Where the store is not itself, what it does not have may be where it was.
#[tokio::test]
async fn what_a_store_that_is_away_does_not_have_is_not_set_aside() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    registry.faults.add(Step::Open, 0, || BlobError::NotFound);
    registry.faults.add(Step::CheckPlace, 0, || BlobError::Away("elsewhere".to_owned()));
    let access = registry.open::<Pull>().await;
    let failed = access.stat_blob(&digest).await;
    assert!(matches!(failed, Err(EngineError::StoreAway(_))), "{failed:?}");
    // What is missing is looked for twice.
    registry.faults.add(Step::Open, 0, || BlobError::NotFound);
    access.stat_blob(&digest).await.expect("it is there");
    assert_eq!(registry.engine.check_counts().missing, 0);
}

#[tokio::test]
async fn a_collection_that_is_stopped_leaves_the_rest_for_the_next() {
    const FILES: u64 = 250;
    let registry = TestRegistry::new().await;
    let access = registry.open::<Push>().await;
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
