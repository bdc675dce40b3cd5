//! The values that a transaction holds until its outcome is known, and the changes of others that it must see.

use std::sync::{Arc, mpsc};

use super::{NOW, TestDatabase, ensure_image, on_each};
use crate::gc_queue::{GcReview, ReviewKind};
use crate::uploads::{Upload, UploadKey};
use crate::{Id, MetaError, Tx, blobs, epochs, gc_queue, uploads};

on_each! {
    /// The values of a closure are dropped before its caller gets the answer.
    async fn what_a_closure_owns_ends_between_commit_and_answer(db: &TestDatabase) {
        let owned = Arc::new(());
        for number in 0..50 {
            let held = owned.clone();
            let written = db.meta.write(move |tx| {
                let _held = &held;
                if number % 2 == 0 { epochs::bump(tx, "a") } else { tx.execute("no SQL", params![]).map(|_| ()) }
            });
            assert_eq!(written.await.is_ok(), number % 2 == 0);
            assert_eq!(Arc::strong_count(&owned), 1, "{number}");
        }
    }
}

/// A process that has ended may leave a commit in progress. A caller that is about to change the stored bytes waits for
/// that commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_found_when_its_last_commit_is_decided() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (repository, upload) = db
        .write(|tx| {
            let repository = ensure_image(tx, "r", "i")?.repository;
            let copy = Id::new();
            blobs::insert_copy(tx, &copy, NOW)?;
            let upload = Upload {
                id: Id::random(),
                copy_id: Some(copy),
                algorithm: "sha256".into(),
                size: 0,
                checkpoint: None,
                digest: None,
                expires_at: NOW,
            };
            uploads::insert(tx, owner(&repository), &upload, NOW)?;
            Ok((repository, upload))
        })
        .await;
    let (wrote, mut has_written) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (meta, found) = (db.meta.clone(), upload.clone());
    let last = tokio::spawn(async move {
        meta.write(move |tx| {
            uploads::advance(tx, &found, 5, b"state", NOW)?;
            let _ = wrote.send(());
            let _ = may_go_on.recv();
            Ok::<_, MetaError>(())
        })
        .await
    });
    has_written.recv().await.unwrap();
    let meta = db.meta.clone();
    let asked = tokio::spawn(async move {
        meta.read_by_key(move |tx| uploads::wait_and_find(tx, owner(&repository), &upload.id)).await
    });
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    let waits = |tx: &mut Tx<'_>| tx.query_first(waiting, params![], |row| row.int(0));
    while !asked.is_finished() && db.read(waits).await == Some(0) {
        tokio::task::yield_now().await;
    }
    drop(go_on);
    last.await.unwrap().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().expect("started").size, 5);
    db.delete().await;
}

fn owner(repository: &Id) -> UploadKey<'_> {
    UploadKey { repository, image: "i", principal: "user:a" }
}

/// A review begins, and then another transaction asks for the same review at the same time. If that transaction did not
/// write the row, the review would delete the row without having seen the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_is_asked_for_again_looks_again() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let ask = |tx: &mut Tx<'_>| gc_queue::enqueue(tx, ReviewKind::Link, &["x".into()], 10);
    db.write(ask).await;
    let (began, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let meta = db.meta.clone();
    let review = tokio::spawn(async move {
        let waiting = GcReview { kind: ReviewKind::Link, id: "x".into(), review_after: 10 };
        meta.write(move |tx| {
            let seen = epochs::get(tx, "a")?;
            let _ = began.send(());
            // The second run does not wait, because the sender was dropped.
            let _ = may_go_on.recv();
            gc_queue::finish(tx, &waiting)?;
            Ok::<_, MetaError>(seen)
        })
        .await
    });
    has_begun.recv().await.unwrap();
    db.write(move |tx| {
        epochs::bump(tx, "a")?;
        ask(tx)
    })
    .await;
    drop(go_on);
    assert_eq!(review.await.unwrap().unwrap(), 1);
    db.delete().await;
}
