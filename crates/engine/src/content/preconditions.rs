//! Preconditions of writes, which are evaluated in the transaction that writes.

use meta::{Id, Tx, packages, tags, versions};
use model::digest::Digest;
use model::precondition::{Precondition, PreconditionOutcome};
use model::reference::Reference;

use crate::access::ImageContext;
use crate::error::EngineError;

/// Refuses a write if its precondition does not hold for the current digest.
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

/// A reference, and the precondition of a write on the version that it names.
#[derive(Debug)]
pub(crate) struct ExpectedVersion {
    pub(crate) reference: Reference,
    pub(crate) precondition: Precondition,
}

impl ExpectedVersion {
    /// Refuses a write if the precondition does not hold. It must run in the transaction that writes: of two writes
    /// that found the same version, the second one then sees the result of the first.
    pub(crate) fn check_write(&self, tx: &mut Tx<'_>, package: &Id) -> Result<(), EngineError> {
        if self.precondition.is_empty() {
            return Ok(());
        }
        require(&self.precondition, self.current(tx, package)?.as_ref())
    }

    /// Does the same for a delete. A version that does not exist is unknown under any precondition.
    pub(crate) fn check_delete(
        &self,
        tx: &mut Tx<'_>,
        image: &ImageContext,
    ) -> Result<(), EngineError> {
        if self.precondition.is_empty() {
            return Ok(());
        }
        let unknown = || EngineError::ManifestUnknown(self.reference.clone());
        let package =
            packages::find(tx, &image.repository().id, image.image_name())?.ok_or_else(unknown)?;
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
