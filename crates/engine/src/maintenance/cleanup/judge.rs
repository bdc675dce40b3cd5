//! What becomes of one manifest: what the policies say, and what keeps it whatever they say.

use std::collections::BTreeSet;

use meta::cleanups::{self, Candidate};
use meta::{Id, MetaError, Tx, tags, usage, versions};
use model::cleanup::{Decision, Facts, Policies, Version};
use model::digest::Digest;
use model::reference::Tag;

use crate::error::EngineError;
use crate::tags::immutability::check_removable;

/// How deep it is looked whether what holds a manifest goes itself..
const DEEPEST: usize = 8;
/// ..and at how many manifests for the sake of one.
const MOST_HOLDERS: usize = 200;

/// What becomes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
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
pub(super) struct Judge<'a> {
    pub(super) policies: &'a Policies,
    pub(super) repository: &'a Id,
    pub(super) package: &'a str,
    pub(super) now: i64,
}

/// What the database says of a manifest.
struct Known<'t, 'c> {
    tx: &'t mut Tx<'c>,
    candidate: &'t Candidate,
}

impl Facts for Known<'_, '_> {
    type Error = MetaError;

    fn has_tag(&mut self, beginning: &str) -> Result<bool, MetaError> {
        tags::has_beginning(self.tx, &self.candidate.version.id, beginning)
    }

    fn last_pulled_at(&mut self) -> Result<Option<i64>, MetaError> {
        usage::last_pulled_at(self.tx, &self.candidate.version.id)
    }

    fn has_newer(&mut self, count: u32) -> Result<bool, MetaError> {
        cleanups::has_newer(self.tx, self.candidate, count.into())
    }
}

impl<'a> Judge<'a> {
    /// What the policies want with a manifest.
    pub(super) fn decide(
        &self,
        tx: &mut Tx<'_>,
        candidate: &Candidate,
    ) -> Result<Decision<'a>, EngineError> {
        let version = Version {
            package: self.package,
            name: candidate.version.digest.as_str(),
            uploaded_at: candidate.uploaded_at,
        };
        Ok(self.policies.decide((version, self.now), &mut Known { tx, candidate })?)
    }

    /// What becomes of a manifest, where all goes that is to go.
    pub(super) fn fate(&self, tx: &mut Tx<'_>, candidate: &Candidate) -> Result<Fate, EngineError> {
        let mut left = MOST_HOLDERS;
        self.fate_within(tx, candidate, (DEEPEST, &mut left))
    }

    fn fate_within(
        &self,
        tx: &mut Tx<'_>,
        candidate: &Candidate,
        (depth, left): (usize, &mut usize),
    ) -> Result<Fate, EngineError> {
        let by = match self.decide(tx, candidate)? {
            Decision::Untouched => return Ok(Fate::Untouched),
            Decision::Keep { .. } => return Ok(Fate::Kept),
            Decision::Delete { by } => by.to_owned(),
        };
        let place = (self.repository, self.package);
        match check_removable(tx, place, tags::Of::Version(&candidate.version.id)) {
            Ok(()) => {}
            Err(EngineError::TagImmutable { .. } | EngineError::Precondition(_)) => {
                return Ok(Fate::Held);
            }
            Err(error) => return Err(error),
        }
        let mut going = BTreeSet::new();
        while let Some(holder) = self.holder(tx, candidate, &going)? {
            if depth == 0 || *left == 0 {
                return Ok(Fate::Held);
            }
            *left -= 1;
            match self.fate_within(tx, &holder, (depth - 1, left))? {
                Fate::Goes(_) => going.insert(holder.version.digest),
                Fate::Untouched | Fate::Kept | Fate::Held => return Ok(Fate::Held),
            };
        }
        Ok(Fate::Goes(by))
    }

    /// A manifest that keeps this one, other than those that go: an index that names it, or what it refers to, by itself or
    /// by its tag. The signature of an image has no use without the image: it stays as long.
    pub(super) fn holder(
        &self,
        tx: &mut Tx<'_>,
        candidate: &Candidate,
        going: &BTreeSet<Digest>,
    ) -> Result<Option<Candidate>, EngineError> {
        let version = &candidate.version;
        let parents = versions::parents(tx, self.repository, version, going.len() as i64 + 1)?;
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
    let tags = tags::names_of_version(tx, version, BEGINNING, 20)?;
    let subject = |tag: &String| {
        let tag: Tag = tag.parse().ok()?;
        let hex = tag.as_str().strip_prefix(BEGINNING)?.get(..64)?;
        tag.is_referrers_fallback().then(|| format!("sha256:{hex}").parse().ok())?
    };
    Ok(tags.iter().filter_map(subject).collect())
}
