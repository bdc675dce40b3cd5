//! The messages to webhooks (table `outbox`), from the transaction of the change until the receiver has accepted them.
//!
//! Messages are deleted one by one. A cursor over their ids would miss some: of two transactions, the one with the
//! smaller ids may commit last.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::{Id, MetaError, SqlParam, Tx, opt_digest_at, params};

/// The kind of a change of which webhooks are notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookAction {
    /// A manifest was pushed, or a tag was set.
    Insert,
    /// A manifest or a tag was deleted.
    Delete,
}

impl WebhookAction {
    /// Returns the name of the action in messages and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Delete => "DELETE",
        }
    }

    /// Returns the action with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Insert, Self::Delete].into_iter().find(|action| action.as_str() == text)
    }
}

/// A message that waits for its webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// The id of the message, which is the same each time that the message is sent.
    pub id: Id,
    /// The kind of change.
    pub action: WebhookAction,
    /// The name of the repository.
    pub repository: RepositoryName,
    /// The name of the image.
    pub image: String,
    /// The tag, if the change set or deleted one.
    pub tag: Option<String>,
    /// The digest, if the change is about a manifest.
    pub digest: Option<Digest>,
    /// The time of the change.
    pub occurred_at: i64,
    /// The number of times that the message was put behind others, because its receiver refused it.
    pub times_postponed: i64,
}

/// A change of an image, of which webhooks are notified.
#[derive(Debug, Clone, Copy)]
pub struct WebhookChange<'a> {
    /// The kind of change.
    pub action: WebhookAction,
    /// The name of the image.
    pub image: &'a str,
    /// The tag, if the change set or deleted one.
    pub tag: Option<&'a str>,
    /// The digest, if the change is about a manifest.
    pub digest: Option<&'a Digest>,
}

/// Stores one message for each change and each webhook. Each webhook gets its messages in the order of `changes`.
pub fn insert(
    tx: &mut Tx<'_>,
    webhooks: &[&str],
    repository: &RepositoryName,
    now: i64,
    changes: &[WebhookChange<'_>],
) -> Result<(), MetaError> {
    let repository = repository.to_string();
    let ids: Vec<Id> = (0..changes.len() * webhooks.len()).map(|_| Id::new()).collect();
    let pairs =
        changes.iter().flat_map(|change| webhooks.iter().map(move |webhook| (change, webhook)));
    let rows: Vec<Vec<SqlParam<'_>>> = ids
        .iter()
        .zip(pairs)
        .map(|(id, (change, webhook))| {
            let (tag, digest) = (change.tag, change.digest.map(Digest::as_str));
            vec![
                SqlParam::from(id),
                SqlParam::from(*webhook),
                SqlParam::from(change.action.as_str()),
                SqlParam::from(repository.as_str()),
                SqlParam::from(change.image),
                SqlParam::from(tag),
                SqlParam::from(digest),
                SqlParam::from(now),
                SqlParam::from(0),
                SqlParam::from(0),
            ]
        })
        .collect();
    tx.execute_values(
        "INSERT INTO outbox
           (id, webhook, action, repository, image, tag, digest, occurred_at, due_at, put_off)",
        "",
        &rows,
    )?;
    Ok(())
}

/// The statement of [`list_due`]. A test checks its query plan.
pub(crate) const DUE_SQL: &str =
    "SELECT id, action, repository, image, tag, digest, occurred_at, put_off FROM outbox
     WHERE webhook = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3";

/// Returns the messages that are due for a webhook: first those that were never put off, in the order of the changes,
/// and then the others.
pub fn list_due(
    tx: &mut Tx<'_>,
    webhook: &str,
    now: i64,
    limit: i64,
) -> Result<Vec<WebhookMessage>, MetaError> {
    tx.query(DUE_SQL, params![webhook, now, limit], |row| {
        let action = WebhookAction::parse(&row.text(1)?);
        let repository = row.text(2)?.parse();
        Ok(WebhookMessage {
            id: row.id(0)?,
            action: action.ok_or_else(|| MetaError::corrupt("the action of a message"))?,
            repository: repository.map_err(|_| MetaError::corrupt("a repository's name"))?,
            image: row.text(3)?,
            tag: row.opt_text(4)?,
            digest: opt_digest_at(row, 5)?,
            occurred_at: row.int(6)?,
            times_postponed: row.int(7)?,
        })
    })
}

/// The statement of [`count_waiting`]. A test checks its query plan.
pub(crate) const WAITING_SQL: &str = "SELECT COUNT(*), MIN(due_at) FROM
     (SELECT due_at FROM outbox WHERE webhook = ?1 ORDER BY due_at, id LIMIT ?2) few";

/// Returns the number of messages that wait for a webhook, up to `limit`, and the time at which the first one is due.
pub fn count_waiting(
    tx: &mut Tx<'_>,
    webhook: &str,
    limit: i64,
) -> Result<(i64, Option<i64>), MetaError> {
    let found = tx.query_first(WAITING_SQL, params![webhook, limit], |row| {
        Ok((row.int(0)?, row.opt_int(1)?))
    })?;
    Ok(found.unwrap_or_default())
}

/// Deletes a message. Returns the number of messages deleted, 0 or 1.
pub fn delete(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.execute("DELETE FROM outbox WHERE id = ?1", params![id])
}

/// Puts a message behind the others until `due_at`. Returns the number of messages changed, 0 or 1.
pub fn put_behind(tx: &mut Tx<'_>, id: &Id, due_at: i64) -> Result<u64, MetaError> {
    tx.execute(
        "UPDATE outbox SET due_at = ?2, put_off = put_off + 1 WHERE id = ?1",
        params![id, due_at],
    )
}

/// The statement of [`delete_old`]. A test checks its query plan.
pub(crate) const FORGET_SQL: &str = "DELETE FROM outbox WHERE id IN
     (SELECT id FROM outbox WHERE occurred_at < ?1 ORDER BY occurred_at, id LIMIT ?2) RETURNING webhook";

/// Deletes up to `limit` messages about changes before a time, the oldest first. Returns the webhook of each.
pub fn delete_old(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<Vec<String>, MetaError> {
    tx.query(FORGET_SQL, params![before, limit], |row| row.text(0))
}
