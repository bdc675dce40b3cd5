//! What a transaction holds until it is decided, and what it must see of others.

use std::sync::mpsc;

use super::TestDatabase;
use crate::gc_queue::Review;
use crate::{MetaError, Tx, epochs, gc_queue};

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
