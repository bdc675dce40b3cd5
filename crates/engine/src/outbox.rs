//! What changes say to webhooks: written down in the transaction of the change, for each webhook that wants to know,
//! and kept until its receiver has taken it.
//!
//! How it travels is not known here. One process at a time works for a webhook, by a lease.

use std::time::Duration;

use identity::micros;
use meta::deletion::DeletedArtifact;
use meta::outbox::{self, WebhookAction, WebhookChange, WebhookMessage as Notification};
use meta::{Id, MetaError, Tx, packages, repositories, tags, versions};
use model::digest::Digest;
use model::name::RepositoryName;

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::webhook::names_of_wanting;

/// How long a process keeps a webhook to itself without a sign of life. One message takes less.
const LEASE: Duration = Duration::from_secs(15);

/// How long a message waits for its receiver, as in Pub/Sub.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many messages are read at once.
const BATCH: i64 = 50;

/// How many are forgotten at once.
const FORGOTTEN: i64 = 500;

/// More of those that wait are not counted.
const MAX_COUNTED: i64 = 1_000;

/// What a webhook's messages are to become.
#[derive(Debug, Default)]
pub struct DeliveryOutcome {
    /// Those that its receiver took.
    pub taken: Vec<Id>,
    /// Those that let others go before them, and for how long.
    pub put_off: Vec<(Id, Duration)>,
}

impl Engine {
    /// How many messages wait for a webhook, up to a thousand, and whether one is due.
    pub async fn waiting_notifications(&self, webhook: &str) -> Result<(i64, bool), EngineError> {
        let (webhook, now) = (webhook.to_owned(), self.clock.now());
        self.meta
            .read_by_key(move |tx| {
                let (count, first) = outbox::count_waiting(tx, &webhook, MAX_COUNTED)?;
                Ok((count, first.is_some_and(|due_at| due_at <= now)))
            })
            .await
    }

    /// What a webhook is to be told next. Nothing, where another process is at it.
    pub async fn due_notifications(&self, webhook: &str) -> Result<Vec<Notification>, EngineError> {
        if !self.hold_lease(&lease(webhook), LEASE).await? {
            return Ok(Vec::new());
        }
        let (webhook, now) = (webhook.to_owned(), self.clock.now());
        // Only what the one before has left: read after the lease was taken, and not in its transaction, which
        // would get in the way of pushes.
        self.meta.read(move |tx| Ok(outbox::list_due(tx, &webhook, now, BATCH)?)).await
    }

    /// Writes down what became of messages.
    pub async fn settle_notifications(&self, settled: DeliveryOutcome) -> Result<(), EngineError> {
        let now = self.clock.now();
        self.meta
            .write(move |tx| {
                for id in &settled.taken {
                    outbox::delete(tx, id)?;
                }
                for (id, wait) in &settled.put_off {
                    outbox::put_behind(tx, id, now + micros(*wait))?;
                }
                Ok(())
            })
            .await
    }

    /// Leaves a webhook to whoever comes next.
    pub async fn release_notifications(&self, webhook: &str) -> Result<(), EngineError> {
        self.release_lease(&lease(webhook)).await
    }

    /// Forgets messages that waited too long, also for webhooks that nobody knows any more. Answers whom they were for.
    pub async fn forget_notifications(&self) -> Result<Vec<String>, EngineError> {
        let before = self.clock.now() - micros(KEPT_FOR);
        self.meta.write(move |tx| Ok(outbox::delete_old(tx, before, FORGOTTEN)?)).await
    }
}

impl Engine {
    /// How much of something large goes at once, if each piece is told to every webhook.
    pub(crate) fn batch_size(&self, pieces: i64) -> i64 {
        (pieces / (1 + self.settings.webhooks.len() as i64)).max(8)
    }

    /// Tells those who want to know what a whole image or repository took along, as far as it is not there again.
    pub(crate) fn enqueue_deletions(
        &self,
        tx: &mut Tx<'_>,
        (repository, now): (&Id, i64),
        gone: &[DeletedArtifact],
    ) -> Result<(), MetaError> {
        if gone.is_empty() || self.settings.webhooks.is_empty() {
            return Ok(());
        }
        let Some(name) = repositories::find_name(tx, repository)? else { return Ok(()) };
        let (webhooks, mut changes) =
            (names_of_wanting(&self.settings.webhooks, &name), Vec::new());
        for gone in gone {
            if !webhooks.is_empty() && !is_there(tx, &name, gone)? {
                let DeletedArtifact { image, tag, digest } = gone;
                let (tag, digest) = (tag.as_deref(), digest.as_ref());
                changes.push(WebhookChange { action: WebhookAction::Delete, image, tag, digest });
            }
        }
        outbox::insert(tx, &webhooks, &name, now, &changes)
    }
}

/// Whether it came back under its name meanwhile, or nobody knows its name.
fn is_there(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    gone: &DeletedArtifact,
) -> Result<bool, MetaError> {
    if gone.image.is_empty() {
        return Ok(true);
    }
    let Some(repository) = repositories::find(tx, name)? else { return Ok(false) };
    let Some(package) = packages::find(tx, &repository.id, &gone.image)? else { return Ok(false) };
    Ok(match (&gone.tag, &gone.digest) {
        (Some(tag), _) => tags::find(tx, &package, tag)?.is_some(),
        (None, Some(digest)) => versions::find_in_package(tx, &package, digest)?.is_some(),
        (None, None) => false,
    })
}

fn lease(webhook: &str) -> String {
    format!("webhook {webhook}")
}

impl ImageContext {
    /// Tells those who want to know that the image has something new.
    pub(crate) fn enqueue_insert(
        &self,
        tx: &mut Tx<'_>,
        (digest, tags, now): (&Digest, &[Option<&str>], i64),
    ) -> Result<(), MetaError> {
        let (action, image) = (WebhookAction::Insert, self.image_name());
        let changes: Vec<_> = tags
            .iter()
            .map(|tag| WebhookChange { action, image, tag: *tag, digest: Some(digest) })
            .collect();
        let webhooks = names_of_wanting(&self.webhooks, &self.repository_name);
        outbox::insert(tx, &webhooks, &self.repository_name, now, &changes)
    }

    /// Tells those who want to know that a tag, or a version, is gone.
    pub(crate) fn enqueue_delete(
        &self,
        tx: &mut Tx<'_>,
        (tag, digest, now): (Option<&str>, Option<&Digest>, i64),
    ) -> Result<(), MetaError> {
        let change =
            WebhookChange { action: WebhookAction::Delete, image: self.image_name(), tag, digest };
        let webhooks = names_of_wanting(&self.webhooks, &self.repository_name);
        outbox::insert(tx, &webhooks, &self.repository_name, now, &[change])
    }
}
