//! The messages to webhooks wait for each webhook separately, in the order of the changes.

use model::digest::Digest;
use model::name::RepositoryName;

use super::{NOW, TestDatabase, on_each};
use crate::outbox::{self, WebhookAction, WebhookChange, WebhookMessage};
use crate::{MetaError, Tx};

fn repository() -> RepositoryName {
    "projects/p/locations/us-west1/repositories/r".parse().expect("a name")
}

fn write(tx: &mut Tx<'_>, webhooks: &[&str], tags: &[&str], now: i64) -> Result<(), MetaError> {
    let digest = Digest::of(b"m");
    let change = |tag| WebhookChange {
        action: WebhookAction::Insert,
        image: "a/b",
        tag,
        digest: Some(&digest),
    };
    let changes: Vec<_> = tags.iter().map(|tag| change(Some(*tag))).collect();
    outbox::insert(tx, webhooks, &repository(), now, &changes)
}

fn tags(messages: &[WebhookMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.tag.as_deref().expect("each has one")).collect()
}

on_each! {
    async fn each_webhook_is_told_everything_in_order(db: &TestDatabase) {
        db.write(|tx| {
            write(tx, &["a", "b"], &["1", "2"], NOW)?;
            write(tx, &["a"], &["3"], NOW - 1)?;
            write(tx, &[], &["4"], NOW)?;
            write(tx, &["a", "b"], &[], NOW)?;
            let due = outbox::list_due(tx, "a", NOW, 10)?;
            assert_eq!(tags(&due), ["1", "2", "3"]);
            let WebhookMessage { action, repository: name, image, digest, occurred_at, times_postponed, .. } = &due[0];
            assert_eq!((*action, name, image.as_str()), (WebhookAction::Insert, &repository(), "a/b"));
            assert_eq!((digest, *occurred_at, *times_postponed), (&Some(Digest::of(b"m")), NOW, 0));
            assert_eq!(tags(&outbox::list_due(tx, "a", NOW, 2)?), ["1", "2"]);
            assert_eq!(outbox::count_waiting(tx, "a", 2)?, (2, Some(0)));
            assert_eq!(outbox::count_waiting(tx, "c", 2)?, (0, None));
            outbox::delete(tx, &due[0].id)?;
            assert_eq!(tags(&outbox::list_due(tx, "a", NOW, 10)?), ["2", "3"]);
            assert_eq!(tags(&outbox::list_due(tx, "b", NOW, 10)?), ["1", "2"]);
            Ok(())
        }).await;
    }

    async fn what_is_put_off_comes_after_the_others(db: &TestDatabase) {
        db.write(|tx| {
            write(tx, &["a"], &["1", "2"], NOW)?;
            let first = outbox::list_due(tx, "a", NOW, 1)?.remove(0);
            outbox::put_behind(tx, &first.id, NOW + 5)?;
            assert_eq!(tags(&outbox::list_due(tx, "a", NOW, 10)?), ["2"]);
            let due = outbox::list_due(tx, "a", NOW + 5, 10)?;
            assert_eq!((tags(&due), due[1].times_postponed), (vec!["2", "1"], 1));
            outbox::delete(tx, &due[0].id)?;
            assert_eq!(outbox::count_waiting(tx, "a", 10)?, (1, Some(NOW + 5)));
            Ok(())
        }).await;
    }

    async fn the_oldest_is_forgotten_whomever_it_is_for(db: &TestDatabase) {
        db.write(|tx| {
            write(tx, &["b"], &["2"], NOW + 1)?;
            write(tx, &["a"], &["1"], NOW)?;
            write(tx, &["a"], &["3"], NOW + 2)?;
            assert_eq!(outbox::delete_old(tx, NOW + 2, 1)?, ["a"]);
            assert_eq!(outbox::delete_old(tx, NOW + 2, 10)?, ["b"]);
            assert!(outbox::delete_old(tx, NOW + 2, 10)?.is_empty());
            assert_eq!(tags(&outbox::list_due(tx, "a", NOW, 10)?), ["3"]);
            Ok(())
        }).await;
    }
}
