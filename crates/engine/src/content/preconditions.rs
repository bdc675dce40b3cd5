//! Conditions of writes, which are decided where the write is.

use meta::{Id, Tx, packages, tags, versions};
use model::digest::Digest;
use model::precondition::{Precondition, PreconditionOutcome};
use model::reference::Reference;

use crate::access::ImageContext;
use crate::error::EngineError;

/// Refuses a write whose condition does not hold of what is there now.
pub(crate) fn require(
    precondition: &Precondition,
    current: Option<&Digest>,
) -> Result<(), EngineError> {
    match precondition.evaluate(current) {
        PreconditionOutcome::Holds => Ok(()),
        PreconditionOutcome::NoneMatchFailed | PreconditionOutcome::MatchFailed => {
            Err(EngineError::ConditionFailed)
        }
    }
}

/// What a write under a reference asks of what the reference names.
#[derive(Debug)]
pub(crate) struct ExpectedVersion {
    pub(crate) reference: Reference,
    pub(crate) precondition: Precondition,
}

impl ExpectedVersion {
    /// Refuses the write of something where what is there is not as expected. To be asked in the transaction that
    /// writes: of two writes that found the same, the second one finds what the first has written.
    pub(crate) fn check_write(&self, tx: &mut Tx<'_>, package: &Id) -> Result<(), EngineError> {
        if self.precondition.is_empty() {
            return Ok(());
        }
        require(&self.precondition, self.current(tx, package)?.as_ref())
    }

    /// As [`Self::check_write`], of a delete: what is not there is unknown under any condition.
    pub(crate) fn check_delete(
        &self,
        tx: &mut Tx<'_>,
        at: &ImageContext,
    ) -> Result<(), EngineError> {
        if self.precondition.is_empty() {
            return Ok(());
        }
        let unknown = || EngineError::ManifestUnknown(self.reference.clone());
        let package =
            packages::find(tx, &at.repository().id, at.image_name())?.ok_or_else(unknown)?;
        let current = self.current(tx, &package)?.ok_or_else(unknown)?;
        require(&self.precondition, Some(&current))
    }

    fn current(&self, tx: &mut Tx<'_>, package: &Id) -> Result<Option<Digest>, EngineError> {
        Ok(match &self.reference {
            Reference::Tag(tag) => tags::find(tx, package, tag.as_str())?.map(|tag| tag.digest),
            Reference::Digest(digest) => {
                versions::find_in_package(tx, package, digest)?.map(|_| digest.clone())
            }
        })
    }
}
