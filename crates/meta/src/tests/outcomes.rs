//! What a transaction holds until it is decided, and what it must see of others.

use std::sync::{Arc, mpsc};

use super::{TestDatabase, on_each};
use crate::gc_queue::Review;
use crate::{MetaError, Tx, epochs, gc_queue};

on_each! {
    /// Whoever is told of a commit finds free what its closure held, and not before.
    async fn what_a_closure_owns_ends_between_commit_and_answer(db: &TestDatabase) {
        let owned = Arc::new(());
        for number in 0..50 {
            let held = owned.clone();
            let written = db.meta.write(move |tx| {
                let _held = &held;
                if number % 2 == 0 { epochs::bump(tx, "a") } else { tx.exec("no SQL", params![]).map(|_| ()) }
            });
            assert_eq!(written.await.is_ok(), number % 2 == 0);
            assert_eq!(Arc::strong_count(&owned), 1, "{number}");
        }
    }
}

/// A review that began before a transaction that asks for it again, at the time that it has already: were the
/// row not written, the review would end it without having seen why.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_is_asked_for_again_looks_again() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let ask = |tx: &mut Tx<'_>| gc_queue::enqueue(tx, "link", &["x".into()], 10);
    db.write(ask).await;
    let (began, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let meta = db.meta.clone();
    let review = tokio::spawn(async move {
        let waiting = Review { kind: "link".into(), id: "x".into(), review_after: 10 };
        meta.write(move |tx| {
            let seen = epochs::get(tx, "a")?;
            let _ = began.send(());
            // The second run finds nobody there to wait for.
            let _ = may_go_on.recv();
            gc_queue::take(tx, &waiting)?;
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
    db.remove().await;
}
