//! A plan of a deletion: what goes, what stays and why, and which bytes become free. The plan that a person saw is the
//! one that is carried out, or nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use identity::Authorized;
use meta::images::{self, ManifestDetails};
use meta::{Id, Tx, deletion_plan, tags, versions};
use model::artifact_name::PackageName;
use model::digest::{Digest, DigestAlgorithm, DigestHasher};
use model::permissions::artifactregistry;
use model::reference::Tag;

use crate::access::ImageContext;
use crate::artifacts::delete::{TagHandling, delete_version};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::immutability::check_deletable;
use crate::tags::tag_write::find_package;

/// The most versions that a plan selects or takes along.
const MAX_PLANNED: usize = 200;
/// The most manifests of one kind that are looked at for one version.
const MAX_RELATED: i64 = 200;
/// The most tags of one version that a plan takes along.
const MAX_TAGS: usize = 250;
/// The most rows that the deletion of a plan may touch, because it is one transaction.
const MAX_ROWS: usize = 1_000;
/// The most blobs whose other users are looked for.
const MAX_BLOBS: usize = 1_000;

/// The reason for which a version goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletionReason {
    /// The version was selected.
    Selected,
    /// Only an index that goes names it.
    PlatformOf(Digest),
    /// The version is attached to one that goes.
    AttachedTo(Digest),
}

/// The reason for which a version stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// An index that stays names it.
    NamedBy(Digest),
    /// The version that it is attached to stays.
    AttachedTo(Digest),
    /// The version has tags of its own.
    Tagged(String),
    /// One of its tags is immutable.
    ImmutableTag(String),
    /// The image does not hold it any more.
    Gone,
}

/// A version that goes.
#[derive(Debug, Clone)]
pub struct PlannedDeletion {
    /// The version, with all its tags, which go with it.
    pub version: ManifestDetails,
    /// The reason.
    pub reason: DeletionReason,
}

/// A version that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptVersion {
    /// The digest of the version.
    pub digest: Digest,
    /// The reason.
    pub reason: KeepReason,
}

/// A plan of a deletion.
#[derive(Debug, Clone)]
pub struct DeletionPlan {
    /// The versions that go, an index before what it names.
    pub goes: Vec<PlannedDeletion>,
    /// The versions that were selected, or that one would expect to go, and that stay.
    pub stays: Vec<KeptVersion>,
    /// The bytes that nothing else in the repository needs.
    pub freed_bytes: i64,
    /// `false` if the blobs are too many to look for all their other users.
    pub is_freed_complete: bool,
    /// A text that is the same only for the same plan.
    pub fingerprint: String,
}

/// A selection of versions of one image.
#[derive(Debug, Clone)]
pub struct DeletionSelection {
    /// The image.
    pub package: PackageName,
    /// The versions.
    pub digests: Vec<Digest>,
}

impl Engine {
    /// Returns what the deletion of some versions would do.
    pub async fn plan_deletion(
        &self,
        authorized: &Authorized,
        selection: DeletionSelection,
    ) -> Result<DeletionPlan, EngineError> {
        let DeletionSelection { package, digests } = selection;
        check_count(&digests)?;
        self.await_complete_references().await?;
        let image =
            self.image_to_change(authorized, artifactregistry::VERSIONS_DELETE, &package).await?;
        self.read(move |tx| {
            let mut plan = Planner::plan(tx, &image, &digests)?;
            estimate_freed(tx, &image.repository().id, &mut plan)?;
            Ok(plan)
        })
        .await
    }

    /// Deletes what a plan says, if the plan is still the same. Returns the number of versions deleted.
    ///
    /// # Errors
    /// Fails with [`EngineError::Conflict`] if something changed since the plan was made, and deletes nothing then.
    pub async fn carry_out_deletion(
        &self,
        authorized: &Authorized,
        selection: DeletionSelection,
        fingerprint: &str,
    ) -> Result<usize, EngineError> {
        let DeletionSelection { package, digests } = selection;
        check_count(&digests)?;
        self.await_complete_references().await?;
        let image =
            self.image_to_change(authorized, artifactregistry::VERSIONS_DELETE, &package).await?;
        let (expected, times) = (fingerprint.to_owned(), self.review_times());
        self.write(move |tx| {
            let plan = Planner::plan(tx, &image, &digests)?;
            if plan.fingerprint != expected {
                return Err(EngineError::Conflict(
                    "something changed since you looked: look again before deleting".to_owned(),
                ));
            }
            for planned in &plan.goes {
                let digest = &planned.version.digest;
                if !delete_version(tx, &image, digest, TagHandling::DeleteTags, times)? {
                    return Err(too_much());
                }
            }
            Ok(plan.goes.len())
        })
        .await
    }
}

fn check_count(digests: &[Digest]) -> Result<(), EngineError> {
    if digests.is_empty() || digests.len() > MAX_PLANNED {
        return Err(EngineError::invalid("digest", format!("select 1 to {MAX_PLANNED} versions")));
    }
    Ok(())
}

fn too_much() -> EngineError {
    EngineError::Precondition("this is too much for one deletion: select fewer versions".to_owned())
}

/// The state of a plan that is being made.
struct Planner<'a> {
    image: &'a Arc<ImageContext>,
    package: Id,
    /// The versions that may go, in the order in which they were found.
    candidates: Vec<PlannedDeletion>,
    known: BTreeSet<Digest>,
    stays: Vec<KeptVersion>,
    /// The number of tags of the candidates.
    tags: usize,
}

impl<'a> Planner<'a> {
    fn plan(
        tx: &mut Tx<'_>,
        image: &'a Arc<ImageContext>,
        digests: &[Digest],
    ) -> Result<DeletionPlan, EngineError> {
        let package = find_package(tx, image)?;
        let mut planner = Self {
            image,
            package,
            candidates: Vec::new(),
            known: BTreeSet::new(),
            stays: Vec::new(),
            tags: 0,
        };
        for digest in digests {
            planner.select(tx, digest)?;
        }
        planner.take_along(tx)?;
        planner.keep_what_is_named(tx)?;
        planner.finish(tx)
    }

    fn select(&mut self, tx: &mut Tx<'_>, digest: &Digest) -> Result<(), EngineError> {
        match images::find(tx, &self.package, digest)? {
            Some(version) => self.add(tx, version, DeletionReason::Selected),
            None => {
                self.stays.push(KeptVersion { digest: digest.clone(), reason: KeepReason::Gone });
                Ok(())
            }
        }
    }

    fn add(
        &mut self,
        tx: &mut Tx<'_>,
        version: ManifestDetails,
        reason: DeletionReason,
    ) -> Result<(), EngineError> {
        if !self.known.insert(version.digest.clone()) {
            return Ok(());
        }
        let mut version = version;
        version.tags = tags::list_first_of_version(tx, &version.id, MAX_TAGS as i64 + 1)?;
        if version.tags.len() > MAX_TAGS {
            return Err(EngineError::Precondition(format!(
                "{} has more than {MAX_TAGS} tags: remove some of them first",
                version.digest
            )));
        }
        self.tags += version.tags.len();
        let scope = meta::tags::TagScope::Version(&version.id);
        match check_deletable(tx, self.image.address(), scope) {
            Ok(()) => self.candidates.push(PlannedDeletion { version, reason }),
            Err(EngineError::TagImmutable { tag, .. }) => {
                let reason = KeepReason::ImmutableTag(tag);
                self.stays.push(KeptVersion { digest: version.digest, reason });
            }
            Err(error) => return Err(error),
        }
        let is_too_much = self.known.len() > MAX_PLANNED || self.tags > MAX_ROWS;
        if is_too_much { Err(too_much()) } else { Ok(()) }
    }

    /// Adds the manifests of indexes that go, and what is attached to versions that go, unless they have tags of their
    /// own.
    fn take_along(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        let mut position = 0;
        while let Some(planned) = self.candidates.get(position) {
            let (id, digest) = (planned.version.id, planned.version.digest.clone());
            for child in images::list_children(tx, &id, MAX_RELATED)? {
                self.add_without_tags(tx, child, DeletionReason::PlatformOf(digest.clone()))?;
            }
            for attached in self.list_attached(tx, &digest)? {
                self.add_without_tags(tx, attached, DeletionReason::AttachedTo(digest.clone()))?;
            }
            position += 1;
        }
        Ok(())
    }

    /// Returns the manifests that are attached to a version: by their subject, or by tags such as `sha256-HEX.sig`.
    fn list_attached(
        &self,
        tx: &mut Tx<'_>,
        digest: &Digest,
    ) -> Result<Vec<ManifestDetails>, EngineError> {
        let mut attached = images::list_referring(tx, &self.package, digest, MAX_RELATED)?;
        let Some(hex) = digest.as_str().strip_prefix("sha256:") else { return Ok(attached) };
        // Every character that may follow the digits sorts before the slash.
        let (first, end) = (format!("sha256-{hex}"), format!("sha256-{hex}/"));
        let tagged = images::list_tagged_between(tx, &self.package, &first, &end, MAX_RELATED)?;
        attached.extend(tagged);
        Ok(attached)
    }

    /// Adds a version, unless it has a tag that does not attach it to another one.
    fn add_without_tags(
        &mut self,
        tx: &mut Tx<'_>,
        version: ManifestDetails,
        reason: DeletionReason,
    ) -> Result<(), EngineError> {
        let own_tag = version.tags.iter().find(|tag| subject_of_tag(tag).is_none());
        match own_tag {
            Some(tag) if !self.known.contains(&version.digest) => {
                self.known.insert(version.digest.clone());
                let reason = KeepReason::Tagged(tag.clone());
                self.stays.push(KeptVersion { digest: version.digest, reason });
                Ok(())
            }
            Some(_) | None => self.add(tx, version, reason),
        }
    }

    /// Takes out, until nothing changes, the versions that an index which stays names.
    fn keep_what_is_named(&mut self, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        let mut parents: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for planned in &self.candidates {
            let version = &planned.version;
            let named_by = versions::list_bound_parents(tx, &version.id, MAX_RELATED + 1)?;
            parents.insert(version.digest.clone(), named_by);
        }
        loop {
            let going: BTreeSet<Digest> =
                self.candidates.iter().map(|planned| planned.version.digest.clone()).collect();
            let keeper = |planned: &PlannedDeletion| {
                let named_by = parents.get(&planned.version.digest)?;
                let named_by = named_by.iter().find(|parent| !going.contains(*parent));
                match (&planned.reason, named_by) {
                    (_, Some(by)) => Some(KeepReason::NamedBy(by.clone())),
                    (DeletionReason::Selected, None) => None,
                    // An attachment goes only with the version that it is attached to.
                    (DeletionReason::AttachedTo(subject), None) if !going.contains(subject) => {
                        Some(KeepReason::AttachedTo(subject.clone()))
                    }
                    (DeletionReason::AttachedTo(_) | DeletionReason::PlatformOf(_), None) => {
                        keeping_tag(&planned.version.tags, &going)
                            .map(|tag| KeepReason::Tagged(tag.clone()))
                    }
                }
            };
            let mut positions = self.candidates.iter().enumerate();
            let kept = positions.find_map(|(position, one)| Some((position, keeper(one)?)));
            let Some((position, reason)) = kept else { return Ok(()) };
            let kept = self.candidates.remove(position);
            self.stays.push(KeptVersion { digest: kept.version.digest, reason });
        }
    }

    fn finish(self, tx: &mut Tx<'_>) -> Result<DeletionPlan, EngineError> {
        let goes = in_order(tx, self.candidates)?;
        let mut rows = 0;
        for planned in &goes {
            let named = versions::list_blobs(tx, &planned.version.id)?;
            rows += 4 + named.len() + planned.version.tags.len() * (3 + self.image.webhooks.len());
        }
        if rows > MAX_ROWS {
            return Err(too_much());
        }
        Ok(DeletionPlan {
            freed_bytes: 0,
            is_freed_complete: true,
            fingerprint: fingerprint_of(&goes, &self.stays),
            goes,
            stays: self.stays,
        })
    }
}

/// Returns the digest to which a tag of the form `sha256-HEX.sig` attaches a version.
fn subject_of_tag(tag: &str) -> Option<Digest> {
    tag.parse::<Tag>().ok()?.fallback_subject()
}

/// Returns the first of a version's tags that keeps it: one that does not attach it to a version that goes.
fn keeping_tag<'a>(tags: &'a [String], going: &BTreeSet<Digest>) -> Option<&'a String> {
    tags.iter().find(|tag| subject_of_tag(tag).is_none_or(|subject| !going.contains(&subject)))
}

/// Adds to a plan the bytes that its deletion would free in the repository.
fn estimate_freed(
    tx: &mut Tx<'_>,
    repository: &Id,
    plan: &mut DeletionPlan,
) -> Result<(), EngineError> {
    let ids: Vec<Id> = plan.goes.iter().map(|planned| planned.version.id).collect();
    let mut blobs = BTreeSet::new();
    for id in &ids {
        blobs.extend(versions::list_blobs(tx, id)?);
    }
    plan.is_freed_complete = blobs.len() <= MAX_BLOBS;
    for blob in blobs.iter().take(MAX_BLOBS) {
        plan.freed_bytes += deletion_plan::freed_by_blob(tx, repository, blob, &ids)?;
    }
    for planned in &plan.goes {
        let digest = &planned.version.digest;
        plan.freed_bytes += deletion_plan::freed_by_manifest(tx, repository, digest)?;
    }
    Ok(())
}

/// Puts an index before what it names: only so can each be deleted in turn.
fn in_order(
    tx: &mut Tx<'_>,
    candidates: Vec<PlannedDeletion>,
) -> Result<Vec<PlannedDeletion>, EngineError> {
    let (mut left, mut ordered) = (candidates, Vec::new());
    let mut parents = BTreeMap::new();
    for planned in &left {
        let named_by = versions::list_bound_parents(tx, &planned.version.id, MAX_RELATED)?;
        parents.insert(planned.version.digest.clone(), named_by);
    }
    while !left.is_empty() {
        let waiting: BTreeSet<Digest> =
            left.iter().map(|planned| planned.version.digest.clone()).collect();
        let is_free = |planned: &PlannedDeletion| {
            let named_by = parents.get(&planned.version.digest);
            named_by.is_none_or(|all| !all.iter().any(|parent| waiting.contains(parent)))
        };
        let (free, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(is_free);
        // A digest cannot be in the bytes that it is the digest of, so that no circle is left.
        if free.is_empty() {
            return Err(EngineError::Internal("manifests name each other in a circle".to_owned()));
        }
        ordered.extend(free);
        left = rest;
    }
    Ok(ordered)
}

fn fingerprint_of(goes: &[PlannedDeletion], stays: &[KeptVersion]) -> String {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut add = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
    };
    for PlannedDeletion { version, .. } in goes {
        add(version.digest.as_str());
        version.tags.iter().for_each(|tag| add(tag));
    }
    add("stays");
    stays.iter().for_each(|kept| add(&format!("{} {:?}", kept.digest, kept.reason)));
    hasher.finish().to_string()
}
