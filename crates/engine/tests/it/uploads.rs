//! Concurrent requests to one upload, and clients that leave.
//!
//! The database is held while a request has all of its bytes on disk and waits for its row to be written. Another
//! request at that time must harm neither.

use std::ops::ControlFlow;
use std::time::Duration;

use berth_engine::{EngineError, GcMode, Push, RepoAccess, UploadBody, UploadChunk};
use blob::faulty::FaultStep;
use bytes::Bytes;
use model::byte_range::ContentRange;
use model::digest::Digest;

use crate::registry::{
    TestRegistry, body_of, broken_body, poll_once, start_session, start_with_bytes,
};

/// A chunk with a range.
fn chunk_at((start, end): (u64, u64), body: UploadBody<'static>) -> UploadChunk<'static> {
    UploadChunk { range: Some(ContentRange { start, end }), ..body.into() }
}

/// Spawns a PUT that runs beside the test.
fn spawn_finish(
    access: &RepoAccess<Push>,
    (upload, digest): (&str, &Digest),
    body: UploadBody<'static>,
) -> tokio::task::JoinHandle<Result<(), EngineError>> {
    let (access, upload, digest) = (access.clone(), upload.to_owned(), digest.clone());
    tokio::spawn(async move { access.finish_upload(&upload, &digest, body.into()).await })
}

/// When the row is written at last, it counts the bytes that the client was about to be told of.
#[tokio::test]
async fn a_chunk_blocks_others_until_its_row_is_written() {
    for registry in TestRegistry::on_each_store().await {
        let access = registry.open_access::<Push>().await;
        let upload = start_session(&access).await;
        let held = registry.hold_database().await;
        let chunk = tokio::spawn({
            let (access, upload) = (access.clone(), upload.clone());
            async move { access.append(&upload, body_of(b"these").into()).await }
        });
        registry.wait_for_step(FaultStep::AfterCheckpoint, 1).await;
        // The client and its request are gone, and the transaction goes on.
        chunk.abort();
        assert!(chunk.await.is_err_and(|error| error.is_cancelled()));
        // The chunk has one byte more than its range says. The row would not count that byte, but the file would have
        // it.
        let crossing = access.append(&upload, chunk_at((0, 4), body_of(b"others"))).await;
        assert!(matches!(crossing, Err(EngineError::UploadBusy)), "{crossing:?}");
        drop(held);
        let digest = Digest::of(b"these");
        access.finish_upload(&upload, &digest, body_of(b"").into()).await.expect("all bytes came");
        assert_eq!(registry.read_blob(&digest).await, b"these");
    }
}

#[tokio::test]
async fn a_finished_copy_blocks_others_until_it_is_live() {
    for registry in TestRegistry::on_each_store().await {
        let access = registry.open_access::<Push>().await;
        let upload = start_session(&access).await;
        let digest = Digest::of(b"content");
        let held = registry.hold_database().await;
        let put = spawn_finish(&access, (&upload, &digest), body_of(b"content"));
        registry.wait_for_step(FaultStep::AfterFinish, 1).await;
        let crossing = access.append(&upload, chunk_at((0, 0), body_of(b"xx"))).await;
        assert!(matches!(crossing, Err(EngineError::UploadBusy)), "{crossing:?}");
        drop(held);
        put.await.expect("no panic").expect("nobody was in the way");
        assert_eq!(registry.read_blob(&digest).await, b"content");
    }
}

#[tokio::test]
async fn a_put_can_be_repeated_while_the_first_one_ends() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_session(&access).await;
    let digest = Digest::of(b"content");
    let held = registry.hold_database().await;
    let first = spawn_finish(&access, (&upload, &digest), body_of(b"content"));
    registry.wait_for_step(FaultStep::AfterFinish, 1).await;
    let second = spawn_finish(&access, (&upload, &digest), body_of(b"content"));
    registry.wait_for_step(FaultStep::Claim, 2).await;
    drop(held);
    for put in [first, second] {
        put.await.expect("no panic").expect("it is the same blob");
    }
    assert_eq!(registry.read_blob(&digest).await, b"content");
}

#[tokio::test]
async fn a_late_cancel_deletes_nothing() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"content").await;
    let digest = Digest::of(b"content");
    let held = registry.hold_database().await;
    let put = spawn_finish(&access, (&upload, &digest), body_of(b""));
    registry.wait_for_step(FaultStep::AfterFinish, 1).await;
    // The cancel finds an unfinished upload.
    let cancel = poll_once(access.cancel_upload(&upload)).await;
    drop(held);
    put.await.expect("no panic").expect("it was first");
    let cancelled = cancel.await;
    assert!(matches!(cancelled, Err(EngineError::UploadUnknown)), "{cancelled:?}");
    assert_eq!(registry.collect_garbage().await, 0);
    assert_eq!(registry.read_blob(&digest).await, b"content");
}

#[tokio::test]
async fn a_late_put_finds_no_session() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"content").await;
    let digest = Digest::of(b"content");
    let held = registry.hold_database().await;
    let cancel = poll_once(access.cancel_upload(&upload)).await;
    let put = spawn_finish(&access, (&upload, &digest), body_of(b""));
    registry.wait_for_step(FaultStep::AfterFinish, 1).await;
    drop(held);
    cancel.await.expect("it was first");
    assert!(matches!(put.await, Ok(Err(EngineError::UploadUnknown))));
    assert_eq!(registry.collect_garbage().await, 1);
}

/// A client that names no range sends all bytes again.
#[tokio::test]
async fn a_put_can_be_repeated_after_its_body_broke() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"some ").await;
    let digest = Digest::of(b"some content");
    let failed = access.finish_upload(&upload, &digest, broken_body(b"con").into()).await;
    assert!(matches!(failed, Err(EngineError::Body(_))), "{failed:?}");
    assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 5);
    // A client that names a range goes on behind the stored bytes.
    let failed =
        access.finish_upload(&upload, &digest, chunk_at((5, 11), broken_body(b"con"))).await;
    assert!(matches!(failed, Err(EngineError::Body(_))), "{failed:?}");
    assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 8);
    let rest = chunk_at((8, 11), body_of(b"tent"));
    access.finish_upload(&upload, &digest, rest).await.expect("it goes on");
    assert_eq!(registry.read_blob(&digest).await, b"some content");

    let whole = start_session(&access).await;
    access.finish_upload(&whole, &digest, broken_body(b"some con").into()).await.unwrap_err();
    let again = access.finish_upload(&whole, &digest, body_of(b"some content").into()).await;
    again.expect("the same request, once more");
}

/// The upload expires while a body is coming.
#[tokio::test]
async fn a_running_request_outlives_the_expiry() {
    let registry = TestRegistry::new().await;
    let access = registry.open_access::<Push>().await;
    let upload = start_with_bytes(&access, b"some ").await;
    registry.clock.advance_minutes(23 * 60 + 50);
    let (engine, clock) = (registry.engine.clone(), registry.clock.clone());
    let slow = Box::pin(futures_util::stream::once(async move {
        clock.advance_minutes(20);
        let report = engine
            .collect(GcMode::Collect, |_| ControlFlow::Continue(()))
            .await
            .expect("it goes on");
        assert_eq!(report.uploads, 0);
        Ok(Bytes::from_static(b"content"))
    }));
    access.append(&upload, (slow as UploadBody<'_>).into()).await.expect("it had begun");
    assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 12);
}

#[tokio::test]
async fn an_upload_may_expire_at_once() {
    let registry =
        TestRegistry::with_settings(|settings| settings.upload_expiry = Duration::ZERO).await;
    let access = registry.open_access::<Push>().await;
    start_with_bytes(&access, b"content").await;
}
