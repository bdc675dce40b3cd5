//! Evaluation of one manifest: the decision of the policies, and the tags and manifests that keep it in spite of
//! them.

use std::collections::BTreeSet;

use identity::Micros;
use meta::cleanups::{self, CleanupCandidate};
use meta::versions::ImageAddress;
use meta::{Id, MetaError, Tx, tags, usage, versions};
use model::cleanup::{CandidateVersion, CleanupDecision, CleanupPolicies, VersionQueries};
use model::digest::Digest;
use model::reference::Tag;

use crate::error::EngineError;
use crate::tags::immutability::check_deletable;

/// The number of levels of holders that are followed: the index of an index, the subject of a subject.
const MAX_HOLDER_DEPTH: usize = 8;
/// The number of holders that are evaluated for one manifest.
const MAX_HOLDERS: usize = 200;

/// The verdict about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CleanupVerdict {
    /// No policy deletes the manifest.
    Untouched,
    /// A policy keeps the manifest although another one would delete it.
    Kept,
    /// A policy deletes the manifest, but an immutable tag or another manifest keeps it.
    Held,
    /// This policy deletes the manifest.
    Deleted(String),
}

/// The policies, the image and the time for which manifests are evaluated.
#[derive(Clone, Copy)]
pub(super) struct CleanupEvaluator<'a> {
    pub(super) policies: &'a CleanupPolicies,
    pub(super) repository: &'a Id,
    pub(super) package: &'a str,
    pub(super) now: Micros,
}

/// The answers of the database to the questions of policies about one manifest.
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
    /// Returns the decision of the policies about a manifest.
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

    /// Returns the verdict about a manifest, if all other manifests are deleted that can be.
    pub(super) fn evaluate(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
    ) -> Result<CleanupVerdict, EngineError> {
        let mut holders_left = MAX_HOLDERS;
        self.evaluate_within(tx, candidate, MAX_HOLDER_DEPTH, &mut holders_left)
    }

    /// Evaluates a manifest, following at most `depth` levels of holders, and at most `holders_left` holders in all.
    fn evaluate_within(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
        depth: usize,
        holders_left: &mut usize,
    ) -> Result<CleanupVerdict, EngineError> {
        let by = match self.decide(tx, candidate)? {
            CleanupDecision::Untouched => return Ok(CleanupVerdict::Untouched),
            CleanupDecision::Keep { .. } => return Ok(CleanupVerdict::Kept),
            CleanupDecision::Delete { by } => by.to_owned(),
        };
        let address = ImageAddress { repository: self.repository, image: self.package };
        match check_deletable(tx, address, tags::TagScope::Version(&candidate.version.id)) {
            Ok(()) => {}
            Err(EngineError::TagImmutable { .. } | EngineError::Precondition(_)) => {
                return Ok(CleanupVerdict::Held);
            }
            Err(error) => return Err(error),
        }
        let mut deleted = BTreeSet::new();
        while let Some(holder) = self.find_holder(tx, candidate, &deleted)? {
            if depth == 0 || *holders_left == 0 {
                return Ok(CleanupVerdict::Held);
            }
            *holders_left -= 1;
            match self.evaluate_within(tx, &holder, depth - 1, holders_left)? {
                CleanupVerdict::Deleted(_) => deleted.insert(holder.version.digest),
                CleanupVerdict::Untouched | CleanupVerdict::Kept | CleanupVerdict::Held => {
                    return Ok(CleanupVerdict::Held);
                }
            };
        }
        Ok(CleanupVerdict::Deleted(by))
    }

    /// Returns a manifest that keeps this one and is not in `deleted`: an index that names it, or the subject that it
    /// refers to by its field or by its tag. The signature of an image has no use without the image, so it stays as
    /// long.
    pub(super) fn find_holder(
        &self,
        tx: &mut Tx<'_>,
        candidate: &CleanupCandidate,
        deleted: &BTreeSet<Digest>,
    ) -> Result<Option<CleanupCandidate>, EngineError> {
        let version = &candidate.version;
        let parents =
            versions::list_parents(tx, self.repository, version, deleted.len() as i64 + 1)?;
        let by_tags = list_subjects_by_tags(tx, &version.id)?;
        for holder in parents.iter().chain(&version.subject).chain(&by_tags) {
            // A client can give any manifest a tag that names the manifest itself.
            if *holder != version.digest
                && !deleted.contains(holder)
                && let Some(holder) = cleanups::find(tx, &version.package_id, holder)?
            {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

/// Returns the digests that a manifest refers to by tags like `sha256-HEX.sig`. Of very many such tags, only the
/// first are read.
fn list_subjects_by_tags(tx: &mut Tx<'_>, version: &Id) -> Result<Vec<Digest>, EngineError> {
    const BEGINNING: &str = "sha256-";
    let tags = tags::list_of_version(tx, version, BEGINNING, 20)?;
    let subject = |tag: &String| tag.parse::<Tag>().ok()?.fallback_subject();
    Ok(tags.iter().filter_map(subject).collect())
}
