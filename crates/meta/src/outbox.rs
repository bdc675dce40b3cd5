//! Table `outbox`: what webhooks are to be told, from the change's own transaction until a receiver has taken it.
//!
//! Rows are deleted one by one, never passed over by a cursor: of two transactions, the one whose ids are smaller may
//! commit last.

use model::digest::Digest;
use model::name::RepositoryName;

use crate::{Id, MetaError, Param, Tx, opt_digest_at, params};

/// Something that a webhook is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names it, as often as it is sent.
    pub id: Id,
    /// `INSERT` or `DELETE`.
    pub action: String,
    /// The repository.
    pub repository: RepositoryName,
    /// The image.
    pub image: String,
    /// The tag, where one came or went.
    pub tag: Option<String>,
    /// The digest, where one came or went.
    pub digest: Option<Digest>,
    /// When.
    pub occurred_at: i64,
    /// How often its receiver was left without it while it took others.
    pub put_off: i64,
}

/// What happened to an image.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// `INSERT` or `DELETE`.
    pub action: &'static str,
    /// The image.
    pub image: &'a str,
    /// The tag, where one came or went.
    pub tag: Option<&'a str>,
    /// The digest, where one came or went.
    pub digest: Option<&'a Digest>,
}

/// Writes down what happened in a repository, in that order, for each of the webhooks.
pub fn insert(
    tx: &mut Tx<'_>,
    webhooks: &[&str],
    (repository, now): (&RepositoryName, i64),
    changes: &[Change<'_>],
) -> Result<(), MetaError> {
    let repository = repository.to_string();
    let ids: Vec<Id> = (0..changes.len() * webhooks.len()).map(|_| Id::new()).collect();
    let told =
        changes.iter().flat_map(|change| webhooks.iter().map(move |webhook| (change, webhook)));
    let rows: Vec<Vec<Param<'_>>> = ids
        .iter()
        .zip(told)
        .map(|(id, (change, webhook))| {
            let (tag, digest) = (change.tag, change.digest.map(Digest::as_str));
            vec![
                Param::from(id),
                Param::from(*webhook),
                Param::from(change.action),
                Param::from(repository.as_str()),
                Param::from(change.image),
                Param::from(tag),
                Param::from(digest),
                Param::from(now),
                Param::from(0),
                Param::from(0),
            ]
        })
        .collect();
    tx.exec_values(
        "INSERT INTO outbox
           (id, webhook, action, repository, image, tag, digest, occurred_at, due_at, put_off)",
        "",
        &rows,
    )?;
    Ok(())
}

/// The statement of [`due`], for the test that looks at its plan.
pub const DUE_SQL: &str =
    "SELECT id, action, repository, image, tag, digest, occurred_at, put_off FROM outbox
     WHERE webhook = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3";

/// What a webhook is to be told now: in the order of the changes, and then what was put off.
pub fn due(
    tx: &mut Tx<'_>,
    webhook: &str,
    now: i64,
    limit: i64,
) -> Result<Vec<Message>, MetaError> {
    tx.query(DUE_SQL, params![webhook, now, limit], |row| {
        let repository = row.text(2)?.parse();
        Ok(Message {
            id: row.id(0)?,
            action: row.text(1)?,
            repository: repository.map_err(|_| MetaError::corrupt("a repository's name"))?,
            image: row.text(3)?,
            tag: row.opt_text(4)?,
            digest: opt_digest_at(row, 5)?,
            occurred_at: row.int(6)?,
            put_off: row.int(7)?,
        })
    })
}

/// The statement of [`waiting`], for the test that looks at its plan.
pub const WAITING_SQL: &str = "SELECT COUNT(*), MIN(due_at) FROM
     (SELECT due_at FROM outbox WHERE webhook = ?1 ORDER BY due_at, id LIMIT ?2) few";

/// How many messages wait for a webhook, up to a limit, and when the first is due.
pub fn waiting(
    tx: &mut Tx<'_>,
    webhook: &str,
    limit: i64,
) -> Result<(i64, Option<i64>), MetaError> {
    let found =
        tx.opt(WAITING_SQL, params![webhook, limit], |row| Ok((row.int(0)?, row.opt_int(1)?)))?;
    Ok(found.unwrap_or_default())
}

/// Forgets a message.
pub fn delete(tx: &mut Tx<'_>, id: &Id) -> Result<u64, MetaError> {
    tx.exec("DELETE FROM outbox WHERE id = ?1", params![id])
}

/// Lets the others go before a message, until some time.
pub fn put_off(tx: &mut Tx<'_>, id: &Id, due_at: i64) -> Result<u64, MetaError> {
    tx.exec(
        "UPDATE outbox SET due_at = ?2, put_off = put_off + 1 WHERE id = ?1",
        params![id, due_at],
    )
}

/// The statement of [`forget`], for the test that looks at its plan.
pub const FORGET_SQL: &str = "DELETE FROM outbox WHERE id IN
     (SELECT id FROM outbox WHERE occurred_at < ?1 ORDER BY occurred_at, id LIMIT ?2) RETURNING webhook";

/// Removes the oldest of those from before a time, and answers whom each was for.
pub fn forget(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<Vec<String>, MetaError> {
    tx.query(FORGET_SQL, params![before, limit], |row| row.text(0))
}
