//! The events of changes of people and sessions.

use meta::Tx;
use meta::change_way::ChangeWay;
use meta::events::{self, AuditEvent, EventAction};

use crate::accounts::first_owner::OPERATOR_PRINCIPAL;
use crate::clock::Micros;
use crate::error::IdentityError;

/// The author of a change of a person.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChangeAuthor {
    /// The person, on a page of the console.
    Person,
    /// The operator, by a command.
    Operator,
}

/// A change of a person or of their sessions.
pub(super) struct PersonChange<'a> {
    pub(super) action: EventAction,
    pub(super) author: ChangeAuthor,
    /// The address of the person who is changed.
    pub(super) email: &'a str,
    pub(super) now: Micros,
}

impl PersonChange<'_> {
    /// Records the change, in the transaction that makes it.
    pub(super) fn record(&self, tx: &mut Tx<'_>) -> Result<(), IdentityError> {
        let person = format!("user:{}", self.email);
        let (principal, way) = match self.author {
            ChangeAuthor::Person => (person.clone(), ChangeWay::Console),
            ChangeAuthor::Operator => (OPERATOR_PRINCIPAL.to_owned(), ChangeWay::Operator),
        };
        let event = AuditEvent {
            action: self.action,
            principal,
            resource: person,
            tag: None,
            digest: None,
            occurred_at: self.now,
            way,
            place: None,
        };
        Ok(events::insert(tx, &event)?)
    }
}
