//! The events of changes of people and sessions.

use meta::Tx;
use meta::events::{self, AuditEvent, EventAction};

use crate::clock::Micros;
use crate::error::IdentityError;

/// A change of a person or of their sessions.
pub(super) struct PersonChange<'a> {
    pub(super) action: EventAction,
    /// The principal that makes the change.
    pub(super) principal: &'a str,
    /// The address of the person.
    pub(super) email: &'a str,
    pub(super) now: Micros,
}

impl PersonChange<'_> {
    /// Records the change, in the transaction that makes it.
    pub(super) fn record(&self, tx: &mut Tx<'_>) -> Result<(), IdentityError> {
        let event = AuditEvent {
            action: self.action,
            principal: self.principal.to_owned(),
            resource: format!("user:{}", self.email),
            tag: None,
            digest: None,
            occurred_at: self.now,
        };
        Ok(events::insert(tx, &event)?)
    }
}
