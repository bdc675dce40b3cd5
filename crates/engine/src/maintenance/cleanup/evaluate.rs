//! What becomes of one manifest: what the policies say, and what keeps it whatever they say.

use std::collections::BTreeSet;

use meta::cleanups::{self, CleanupCandidate};
use meta::{Id, MetaError, Tx, tags, usage, versions};
use model::cleanup::{CandidateVersion, CleanupDecision, CleanupPolicies, VersionQueries};
use model::digest::Digest;
use model::reference::Tag;

use crate::error::EngineError;
use crate::tags::immutability::check_deletable;

/// How deep it is looked whether what holds a manifest goes itself..
const DEEPEST: usize = 8;
/// ..and at how many manifests for the sake of one.
const MOST_HOLDERS: usize = 200;

/// What becomes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CleanupVerdict {
    /// No policy deletes it.
    Untouched,
    /// A policy keeps it from another one.
    Kept,
    /// A policy deletes it, and a tag that stays or another manifest keeps it.
    Held,
    /// It goes, by this policy.
    Goes(String),
}

/// Where and when manifests are judged.
#[derive(Clone, Copy)]
pub(super) struct CleanupEvaluator<'a> {
    pub(super) policies: &'a CleanupPolicies,
    pub(super) repository: &'a Id,
    pub(super) package: &'a str,
    pub(super) now: i64,
}

/// What the database says of a manifest.
struct VersionFacts<'t, 'c> {
    tx: &'t mut Tx<'c>,
    candidate: &'t CleanupCandidate,
}

impl VersionQueries for VersionFacts<'_, '_> {
    type Error = MetaError;

    fn has_tag_with_prefix(&mut self, beginning: &str) -> Result<bool, MetaError> {
        tags::has_prefix(self.tx, &self.candidate.version.id, beginning)
    }

    fn last_pulled_at(&mut self) -> Result<Option<i64>, MetaError> {
        usage::find_last_pull(self.tx, &self.candidate.version.id)
    }

    fn has_newer_versions(&mut self, count: u32) -> Result<bool, MetaError> {
        cleanups::has_newer(self.tx, self.candidate, count.into())
    }
}

impl<'a> CleanupEvaluator<'a> {
    /// What the policies want with a manifest.
    pub(super) fn decide(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
    ) -> Result<CleanupDecision<'a>, EngineError> {
        let version = CandidateVersion {
            package: self.package,
            name: candidate.version.digest.as_str(),
            uploaded_at: candidate.uploaded_at,
        };
        Ok(self.policies.decide(version, self.now, &mut VersionFacts { tx, candidate })?)
    }

    /// What becomes of a manifest, where all goes that is to go.
    pub(super) fn fate(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
    ) -> Result<CleanupVerdict, EngineError> {
        let mut left = MOST_HOLDERS;
        self.fate_within(tx, candidate, (DEEPEST, &mut left))
    }

    fn fate_within(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
        (depth, left): (usize, &mut usize),
    ) -> Result<CleanupVerdict, EngineError> {
        let by = match self.decide(tx, candidate)? {
            CleanupDecision::Untouched => return Ok(CleanupVerdict::Untouched),
            CleanupDecision::Keep { .. } => return Ok(CleanupVerdict::Kept),
            CleanupDecision::Delete { by } => by.to_owned(),
        };
        let place = (self.repository, self.package);
        match check_deletable(tx, place, tags::TagScope::Version(&candidate.version.id)) {
            Ok(()) => {}
            Err(EngineError::TagImmutable { .. } | EngineError::Precondition(_)) => {
                return Ok(CleanupVerdict::Held);
            }
            Err(error) => return Err(error),
        }
        let mut going = BTreeSet::new();
        while let Some(holder) = self.holder(tx, candidate, &going)? {
            if depth == 0 || *left == 0 {
                return Ok(CleanupVerdict::Held);
            }
            *left -= 1;
            match self.fate_within(tx, &holder, (depth - 1, left))? {
                CleanupVerdict::Goes(_) => going.insert(holder.version.digest),
                CleanupVerdict::Untouched | CleanupVerdict::Kept | CleanupVerdict::Held => {
                    return Ok(CleanupVerdict::Held);
                }
            };
        }
        Ok(CleanupVerdict::Goes(by))
    }

    /// A manifest that keeps this one, other than those that go: an index that names it, or what it refers to, by itself or
    /// by its tag. The signature of an image has no use without the image: it stays as long.
    pub(super) fn holder(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
        going: &BTreeSet<Digest>,
    ) -> Result<Option<CleanupCandidate>, EngineError> {
        let version = &candidate.version;
        let parents = versions::list_parents(tx, self.repository, version, going.len() as i64 + 1)?;
        let by_tags = subjects_by_tags(tx, &version.id)?;
        for holder in parents.iter().chain(&version.subject).chain(&by_tags) {
            // Anything can be given a tag that names itself.
            if *holder != version.digest
                && !going.contains(holder)
                && let Some(holder) = cleanups::find(tx, &version.package_id, holder)?
            {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

/// What a manifest refers to by such tags as `sha256-HEX.sig`; of very many of them, by the first.
fn subjects_by_tags(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Digest>, EngineError> {
    const BEGINNING: &str = "sha256-";
    let tags = tags::list_of_version(tx, version, BEGINNING, 20)?;
    let subject = |tag: &String| {
        let tag: Tag = tag.parse().ok()?;
        let hex = tag.as_str().strip_prefix(BEGINNING)?.get(..64)?;
        tag.is_referrers_fallback().then(|| format!("sha256:{hex}").parse().ok())?
    };
    Ok(tags.iter().filter_map(subject).collect())
}
