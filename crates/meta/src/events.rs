//! Audit events (table `events`), each of which is written in the transaction of the change itself.

use model::digest::Digest;

use crate::{Id, MetaError, Tx, opt_digest_at, params};

/// A change of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The kind of change, such as `push`, `tag`, `untag`, `delete`, `create` or `update`.
    pub action: String,
    /// The principal that made the change.
    pub principal: String,
    /// The name of the resource.
    pub resource: String,
    /// The tag, if the change is about a tag.
    pub tag: Option<String>,
    /// The digest, if the change is about a manifest.
    pub digest: Option<Digest>,
    /// The time of the change.
    pub occurred_at: i64,
}

/// Records an event.
pub fn insert(tx: &mut Tx<'_>, event: &AuditEvent) -> Result<(), MetaError> {
    tx.execute(
        "INSERT INTO events (id, action, principal, resource, tag, digest, occurred_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            &Id::new(),
            event.action.as_str(),
            event.principal.as_str(),
            event.resource.as_str(),
            event.tag.as_deref(),
            event.digest.as_ref().map(Digest::as_str),
            event.occurred_at
        ],
    )?;
    Ok(())
}

/// Returns the events that were written after the event `last`, in their order and with their ids.
pub fn list_after(
    tx: &mut Tx<'_>,
    last: &Id,
    limit: i64,
) -> Result<Vec<(Id, AuditEvent)>, MetaError> {
    tx.query(
        "SELECT id, action, principal, resource, tag, digest, occurred_at FROM events
         WHERE id > ?1 ORDER BY id LIMIT ?2",
        params![last, limit],
        |row| {
            Ok((
                row.id(0)?,
                AuditEvent {
                    action: row.text(1)?,
                    principal: row.text(2)?,
                    resource: row.text(3)?,
                    tag: row.opt_text(4)?,
                    digest: opt_digest_at(row, 5)?,
                    occurred_at: row.int(6)?,
                },
            ))
        },
    )
}
