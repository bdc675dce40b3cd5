//! Notifications of changes for webhooks. The transaction of a change writes one message for each webhook that wants
//! it, and the message is kept until its receiver has taken it.
//!
//! The delivery itself is not known here. A lease lets one process at a time work for a webhook.

use std::time::Duration;

use identity::micros;
use meta::deletion::DeletedArtifact;
use meta::outbox::{self, WebhookAction, WebhookChange, WebhookMessage};
use meta::{Id, MetaError, Tx, packages, repositories, tags, versions};
use model::digest::Digest;
use model::name::RepositoryName;

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::webhook::list_interested_webhooks;

/// The time after which a process that shows no sign of life loses a webhook. The delivery of one message takes less.
const WEBHOOK_LEASE: Duration = Duration::from_secs(15);

/// The time for which a message waits for its receiver. It is that of Pub/Sub.
const MAX_MESSAGE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The largest number of messages that are read at once.
const MAX_MESSAGES_READ: i64 = 50;

/// The largest number of old messages that are deleted at once.
const MAX_MESSAGES_DELETED: i64 = 500;

/// The largest number of waiting messages that are counted.
const MAX_COUNTED: i64 = 1_000;

/// The outcome of a batch of deliveries to one webhook.
#[derive(Debug, Default)]
pub struct DeliveryOutcome {
    /// The messages that the receiver has taken.
    pub delivered: Vec<Id>,
    /// The messages that are put behind others, each with the time that it waits.
    pub postponed: Vec<(Id, Duration)>,
}

impl Engine {
    /// Returns the number of messages that wait for a webhook, up to a thousand, and whether one of them is due.
    pub async fn count_waiting_notifications(
        &self,
        webhook: &str,
    ) -> Result<(i64, bool), EngineError> {
        let (webhook, now) = (webhook.to_owned(), self.clock.now());
        self.read_by_key(move |tx| {
            let (count, first) = outbox::count_waiting(tx, &webhook, MAX_COUNTED)?;
            Ok((count, first.is_some_and(|due_at| due_at <= now)))
        })
        .await
    }

    /// Returns the messages that are due for a webhook. There are none if another process works for the webhook.
    pub async fn list_due_notifications(
        &self,
        webhook: &str,
    ) -> Result<Vec<WebhookMessage>, EngineError> {
        if !self.hold_lease(&lease_name(webhook), WEBHOOK_LEASE).await? {
            return Ok(Vec::new());
        }
        let (webhook, now) = (webhook.to_owned(), self.clock.now());
        // The read comes after the lease, so that it sees what the last process has left. It is not in the
        // transaction of the lease, where it would make pushes wait.
        self.read(move |tx| Ok(outbox::list_due(tx, &webhook, now, MAX_MESSAGES_READ)?)).await
    }

    /// Deletes the messages that were taken, and puts the others behind.
    pub async fn record_deliveries(&self, outcome: DeliveryOutcome) -> Result<(), EngineError> {
        let now = self.clock.now();
        self.write(move |tx| {
            for id in &outcome.delivered {
                outbox::delete(tx, id)?;
            }
            for (id, wait) in &outcome.postponed {
                outbox::put_behind(tx, id, now + micros(*wait))?;
            }
            Ok(())
        })
        .await
    }

    /// Gives up the lease of a webhook, so that another process can take it at once.
    pub async fn release_webhook(&self, webhook: &str) -> Result<(), EngineError> {
        self.release_lease(&lease_name(webhook)).await
    }

    /// Deletes messages that waited too long, also for webhooks that are no longer configured. Returns the name of
    /// the webhook of each of them.
    pub async fn delete_old_notifications(&self) -> Result<Vec<String>, EngineError> {
        let before = self.clock.now() - micros(MAX_MESSAGE_AGE);
        self.write(move |tx| Ok(outbox::delete_old(tx, before, MAX_MESSAGES_DELETED)?)).await
    }
}

impl Engine {
    /// Returns how many rows one transaction takes of a large deletion, where each row becomes a message for every
    /// webhook.
    pub(crate) fn batch_size(&self, pieces: i64) -> i64 {
        (pieces / (1 + self.settings.webhooks.len() as i64)).max(8)
    }

    /// Tells webhooks what the deletion of a whole image or repository has deleted, except for what exists again by
    /// now.
    pub(crate) fn enqueue_deletions(
        &self,
        tx: &mut Tx<'_>,
        repository: &Id,
        deleted: &[DeletedArtifact],
        now: i64,
    ) -> Result<(), MetaError> {
        if deleted.is_empty() || self.settings.webhooks.is_empty() {
            return Ok(());
        }
        let Some(name) = repositories::find_name(tx, repository)? else { return Ok(()) };
        let (webhooks, mut changes) =
            (list_interested_webhooks(&self.settings.webhooks, &name), Vec::new());
        for artifact in deleted {
            if !webhooks.is_empty() && !exists_again(tx, &name, artifact)? {
                let DeletedArtifact { image, tag, digest } = artifact;
                let (tag, digest) = (tag.as_deref(), digest.as_ref());
                changes.push(WebhookChange { action: WebhookAction::Delete, image, tag, digest });
            }
        }
        outbox::insert(tx, &webhooks, &name, now, &changes)
    }
}

/// Returns `true` if the artifact exists again under its name, or if its image has no name any more.
fn exists_again(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    artifact: &DeletedArtifact,
) -> Result<bool, MetaError> {
    if artifact.image.is_empty() {
        return Ok(true);
    }
    let Some(repository) = repositories::find(tx, name)? else { return Ok(false) };
    let Some(package) = packages::find(tx, &repository.id, &artifact.image)? else {
        return Ok(false);
    };
    Ok(match (&artifact.tag, &artifact.digest) {
        (Some(tag), _) => tags::find(tx, &package, tag)?.is_some(),
        (None, Some(digest)) => versions::find_in_package(tx, &package, digest)?.is_some(),
        (None, None) => false,
    })
}

fn lease_name(webhook: &str) -> String {
    format!("webhook {webhook}")
}

impl ImageContext {
    /// Tells webhooks that the image has a new version, or new tags for one.
    pub(crate) fn enqueue_insert(
        &self,
        tx: &mut Tx<'_>,
        digest: &Digest,
        tags: &[Option<&str>],
        now: i64,
    ) -> Result<(), MetaError> {
        let (action, image) = (WebhookAction::Insert, self.image_name());
        let changes: Vec<_> = tags
            .iter()
            .map(|tag| WebhookChange { action, image, tag: *tag, digest: Some(digest) })
            .collect();
        let webhooks = list_interested_webhooks(&self.webhooks, &self.repository_name);
        outbox::insert(tx, &webhooks, &self.repository_name, now, &changes)
    }

    /// Tells webhooks that a tag or a version was deleted.
    pub(crate) fn enqueue_delete(
        &self,
        tx: &mut Tx<'_>,
        tag: Option<&str>,
        digest: Option<&Digest>,
        now: i64,
    ) -> Result<(), MetaError> {
        let change =
            WebhookChange { action: WebhookAction::Delete, image: self.image_name(), tag, digest };
        let webhooks = list_interested_webhooks(&self.webhooks, &self.repository_name);
        outbox::insert(tx, &webhooks, &self.repository_name, now, &[change])
    }
}
