//! The knowledge of a remote repository about a reference: whether the upstream has to be asked.

use identity::{Micros, micros};
use meta::Tx;
use meta::upstream_tags::{self, UpstreamLook};
use meta::versions::{self, ImageAddress};
use model::digest::Digest;
use model::reference::Reference;

use super::MISSING_FOR;
use crate::error::EngineError;

/// The state of a reference in the rows of a repository.
pub(in crate::content) enum ReferenceState {
    /// The repository has it, and need not ask.
    Present,
    /// The upstream did not have it, not long ago.
    Missing,
    /// The upstream has to be asked.
    Doubtful(KnownReference),
}

/// The time at which a reference is looked for, and the age up to which the upstream's word counts then.
#[derive(Debug, Clone, Copy)]
pub(in crate::content) struct FreshTime {
    pub(in crate::content) now: Micros,
    pub(in crate::content) fresh_for: Micros,
}

impl FreshTime {
    /// Returns whether what the upstream said is served without asking it again.
    pub(in crate::content) fn is_fresh(self, look: &UpstreamLook) -> bool {
        look.found && self.now - look.checked_at < self.fresh_for
    }
}

impl ReferenceState {
    pub(in crate::content) fn read(
        tx: &mut Tx<'_>,
        at: ImageAddress<'_>,
        reference: &Reference,
        time: FreshTime,
    ) -> Result<Self, EngineError> {
        let version = match reference {
            Reference::Tag(tag) => versions::find_by_tag(tx, at, tag.as_str())?,
            Reference::Digest(digest) => versions::find_by_digest(tx, at, digest)?,
        };
        let is_digest = matches!(reference, Reference::Digest(_));
        if is_digest && version.is_some() {
            return Ok(Self::Present);
        }
        let look = upstream_tags::find(tx, at, &reference.to_string())?;
        // A tag that this upstream has never confirmed is not cached: the settings may have named another one.
        let is_confirmed = look.is_some_and(|look| look.checked_at > 0);
        let version = version.filter(|_| is_confirmed);
        Ok(match (version, look) {
            (Some(_), Some(look)) if time.is_fresh(&look) => Self::Present,
            (_, Some(look)) if !look.found && time.now - look.checked_at < micros(MISSING_FOR) => {
                Self::Missing
            }
            (version, look) => {
                let digest = version.map(|version| version.digest);
                Self::Doubtful(KnownReference { digest, look })
            }
        })
    }
}

/// The knowledge of a repository about a reference.
pub(in crate::content) struct KnownReference {
    /// The digest of the manifest that is stored.
    pub(super) digest: Option<Digest>,
    pub(super) look: Option<UpstreamLook>,
}

impl KnownReference {
    /// Returns the time at which the upstream confirmed the reference last, or 0.
    pub(super) fn confirmed_at(&self) -> i64 {
        self.look.map_or(0, |look| look.checked_at)
    }
}
