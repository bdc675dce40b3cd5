//! Tags that stay where they are, in repositories that say so.

use meta::{Id, Tx, repositories, tags};
use model::digest::Digest;
use model::reference::Tag;

use crate::EngineError;

/// Refuses to move or remove a tag that names `digest`, where tags stay. To be asked in the transaction that would do
/// it: of two that point one tag elsewhere, the second finds what the first has written.
pub(crate) fn check_mutable(
    tx: &mut Tx<'_>,
    repository: &Id,
    (tag, digest): (&Tag, &Digest),
) -> Result<(), EngineError> {
    if tag.is_referrers_fallback() || !repositories::has_immutable_tags(tx, repository)? {
        return Ok(());
    }
    Err(EngineError::TagImmutable { tag: tag.to_string(), digest: digest.clone() })
}

/// Refuses to remove an image or a version that has a tag, where tags stay.
pub(crate) fn check_removable(
    tx: &mut Tx<'_>,
    repository: &Id,
    of: tags::Of<'_>,
) -> Result<(), EngineError> {
    if !repositories::has_immutable_tags(tx, repository)? {
        return Ok(());
    }
    match tags::other_than_fallback(tx, of)? {
        Some((tag, digest)) => Err(EngineError::TagImmutable { tag, digest }),
        None => Ok(()),
    }
}
