//! Cleanup policies at work: in the background, and when an operator asks for it.
//!
//! A run walks through the images of a repository, and through the manifests of each from the newest on. It looks at
//! some of them at a time, and remembers its position. One transaction that reads finds the manifests to delete, and
//! the transaction that deletes one decides about it once more, so that a push, a tag, a pull or a new policy in
//! between counts. One decision ([`CleanupEvaluator`]) serves dry runs and real ones, and manifests are deleted like
//! all others.
//!
//! A manifest stays while an index that names it stays, while the manifest that it refers to stays, and while it has
//! an immutable tag.

mod background;
mod evaluate;

use std::collections::BTreeSet;
use std::sync::Arc;

use meta::change_way::ChangeWay;
use meta::cleanups::{self, CleanupCandidate, CleanupCursor};
use meta::repositories::RepositoryRow;
use meta::{ErrorKind, Id, Tx, packages, tags};
use model::cleanup::{CleanupDecision, CleanupPolicies};
use model::digest::Digest;
use model::name::{ImageName, ImagePath, RepositoryName};

use evaluate::{CleanupEvaluator, CleanupVerdict};
use identity::{Caller, Micros};

use crate::access::{ImageContext, ImageTarget, find_repository};
use crate::artifacts::delete::{TagHandling, delete_version};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::reviews::ReviewTimes;

/// The principal of cleanup in events, in the history of tags and in the audit log.
pub const CLEANUP_PRINCIPAL: &str = "system:cleanup-policy";

/// The number of manifests and images that one step looks at.
const STEP_ROWS: usize = 100;

/// The number of tags that a step shows of a manifest.
const MAX_TAGS_SHOWN: i64 = 5;

/// The choice between deleting and only looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupMode {
    /// Deletes nothing.
    DryRun,
    /// Deletes, unless the repository's policies are themselves a dry run.
    Clean,
}

/// A manifest that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanedVersion {
    /// The name of its image.
    pub package: String,
    /// The digest.
    pub digest: Digest,
    /// The first of its tags.
    pub tags: Vec<String>,
    /// The size that lists show. It includes layers that other manifests may need.
    pub bytes: i64,
    /// The policy that deletes the manifest.
    pub policy: String,
}

/// The counts of a run so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanupReport {
    /// The manifests that were looked at.
    pub reviewed: u64,
    /// The manifests that were deleted, or would be.
    pub versions: u64,
    /// The sum of the sizes of these.
    pub bytes: i64,
    /// The manifests that a policy kept although another one would delete them.
    pub kept: u64,
    /// The manifests that a policy would delete, and that are kept by an immutable tag, an index or their subject.
    pub held: u64,
}

/// The result of one step.
#[derive(Debug)]
pub struct CleanupStep {
    /// The manifests that were deleted, or would be.
    pub cleaned: Vec<CleanedVersion>,
    /// `true` if the step deleted nothing, because the run or the repository's policies are a dry run.
    pub dry_run: bool,
    /// `true` if the step was the last one.
    pub done: bool,
}

/// A run through one repository.
pub struct CleanupRun {
    engine: Engine,
    repository: RepositoryRow,
    name: RepositoryName,
    mode: CleanupMode,
    cursor: CleanupCursor,
    report: CleanupReport,
    /// The error that ended the last step early. The next step returns it, because the last one returned the
    /// manifests that it had deleted.
    failed: Option<EngineError>,
}

impl Engine {
    /// Begins a run through a repository.
    pub async fn cleanup(
        &self,
        name: &RepositoryName,
        mode: CleanupMode,
    ) -> Result<CleanupRun, EngineError> {
        self.cleanup_from(name, mode, CleanupCursor::start()).await
    }

    async fn cleanup_from(
        &self,
        name: &RepositoryName,
        mode: CleanupMode,
        cursor: CleanupCursor,
    ) -> Result<CleanupRun, EngineError> {
        let (wanted, name) = (name.clone(), name.clone());
        let repository = self.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        let (engine, report) = (self.clone(), CleanupReport::default());
        Ok(CleanupRun { engine, repository, name, mode, cursor, report, failed: None })
    }
}

impl CleanupRun {
    /// Returns the counts so far.
    pub fn report(&self) -> CleanupReport {
        self.report
    }

    /// Returns the present policies of the repository.
    pub async fn policies(&self) -> Result<CleanupPolicies, EngineError> {
        let repository = self.repository.id;
        self.engine.read_by_key(move |tx| read_policies(tx, &repository)).await
    }

    /// Looks at some more manifests, and deletes those that the policies delete.
    pub async fn step(&mut self) -> Result<CleanupStep, EngineError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        // The policies see the pulls of this process. Other processes write theirs twice a minute; policies have a
        // margin for that.
        self.engine.flush_pulls().await?;
        let (repository, from, now) =
            (self.repository.id, self.cursor.clone(), self.engine.clock.now());
        let planned = self.engine.read(move |tx| {
            let policies = read_policies(tx, &repository)?;
            Ok((plan_step(tx, &policies, now, &repository, from.clone())?, policies.dry_run))
        });
        let (plan, dry_run) = planned.await?;
        self.report.reviewed += plan.report.reviewed;
        self.report.kept += plan.report.kept;
        self.report.held += plan.report.held;
        let dry_run = dry_run || self.mode == CleanupMode::DryRun;
        let cleaned =
            if dry_run { plan.versions } else { self.delete_planned(plan.versions).await };
        self.report.versions += cleaned.len() as u64;
        self.report.bytes += cleaned.iter().map(|version| version.bytes).sum::<i64>();
        let done = plan.next.is_none() && self.failed.is_none();
        self.cursor = plan.next.unwrap_or(CleanupCursor::start());
        Ok(CleanupStep { cleaned, dry_run, done })
    }

    /// Deletes the manifests that are still to be deleted, and returns those that were.
    async fn delete_planned(&mut self, planned: Vec<CleanedVersion>) -> Vec<CleanedVersion> {
        let mut deleted = Vec::new();
        for version in planned {
            if let Err(error) = self.delete_with_holders(version, &mut deleted).await {
                self.failed = Some(error);
                break;
            }
        }
        deleted
    }

    async fn delete_with_holders(
        &self,
        version: CleanedVersion,
        deleted: &mut Vec<CleanedVersion>,
    ) -> Result<(), EngineError> {
        let image = Arc::new(self.image_context(&version.package)?);
        // Each digest waits for the one after it.
        let mut waiting = vec![version.digest];
        while let Some(digest) = waiting.last() {
            match self.delete_one(&image, digest).await? {
                DeletionOutcome::Deleted(cleaned) => {
                    deleted.push(cleaned);
                    waiting.pop();
                }
                DeletionOutcome::HeldBy(holder) if !waiting.contains(&holder) => {
                    waiting.push(holder)
                }
                DeletionOutcome::HeldBy(_)
                | DeletionOutcome::Stays
                | DeletionOutcome::TagsLeft(_) => {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn delete_one(
        &self,
        image: &Arc<ImageContext>,
        digest: &Digest,
    ) -> Result<DeletionOutcome, EngineError> {
        let engine = &self.engine;
        let times = engine.review_times();
        let (context, wanted) = (image.clone(), digest.clone());
        let outcome =
            engine.write(move |tx| delete_if_still_due(tx, &context, &wanted, times)).await;
        let outcome = match outcome {
            // The policies have decided, and are not asked again: they would not find the tags that are deleted
            // already.
            Ok(DeletionOutcome::TagsLeft(cleaned)) => engine
                .delete_by_digest(image, digest, TagHandling::DeleteTags)
                .await
                .map(|()| DeletionOutcome::Deleted(cleaned)),
            outcome => outcome,
        };
        match outcome {
            Err(EngineError::InUse { by, .. }) => Ok(DeletionOutcome::HeldBy(by)),
            Err(
                EngineError::TagImmutable { .. }
                | EngineError::ManifestUnknown(_)
                // The manifest has more tags than the rules about tags are evaluated for.
                | EngineError::Precondition(_),
            ) => Ok(DeletionOutcome::Stays),
            // An index that was pushed meanwhile names the manifest.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                Ok(DeletionOutcome::Stays)
            }
            outcome => outcome,
        }
    }

    /// Returns the context of an image of the repository. Its caller is the system, which no policy names.
    fn image_context(&self, package: &str) -> Result<ImageContext, EngineError> {
        let image: ImageName = package
            .parse()
            .map_err(|_| EngineError::Internal(format!("an image is named {package:?}")))?;
        let RepositoryName { project, location, repository } = self.name.clone();
        let path = ImagePath { project, repository, image };
        let target = ImageTarget { location, path, on_registry_host: false };
        let webhooks = self.engine.settings.webhooks.clone();
        let caller = Caller::system(CLEANUP_PRINCIPAL, ChangeWay::Cleanup);
        Ok(ImageContext::new(self.repository.clone(), target, caller, webhooks))
    }
}

/// The outcome for a manifest that was to be deleted.
enum DeletionOutcome {
    /// The manifest was deleted.
    Deleted(CleanedVersion),
    /// The first of its tags were deleted, and the others are still there.
    TagsLeft(CleanedVersion),
    /// The manifest is not there any more, or is not to be deleted any more.
    Stays,
    /// This manifest must be deleted first.
    HeldBy(Digest),
}

fn read_policies(tx: &mut Tx<'_>, repository: &Id) -> Result<CleanupPolicies, EngineError> {
    let settings = cleanups::find_settings(tx, repository)?
        .ok_or_else(|| EngineError::ResourceUnknown("Repository".to_owned()))?;
    CleanupPolicies::parse(&settings)
        .map_err(|error| EngineError::Precondition(format!("cleanup policies: {error}")))
}

/// The work that a step has found.
#[derive(Default)]
struct CleanupPlan {
    /// The position at which the next step begins, or `None` at the end.
    next: Option<CleanupCursor>,
    report: CleanupReport,
    versions: Vec<CleanedVersion>,
}

/// Evaluates the manifests that come next.
fn plan_step(
    tx: &mut Tx<'_>,
    policies: &CleanupPolicies,
    now: Micros,
    repository: &Id,
    mut cursor: CleanupCursor,
) -> Result<CleanupPlan, EngineError> {
    let mut plan = CleanupPlan::default();
    if policies.can_delete_nothing() {
        return Ok(plan);
    }
    let mut package = packages::find(tx, repository, &cursor.package)?;
    let mut left = STEP_ROWS;
    while left > 0 {
        let Some(id) = package else {
            let next = cleanups::find_next_package(tx, repository, &cursor.package)?;
            let Some((id, name)) = next else { return Ok(plan) };
            (package, cursor) = (Some(id), CleanupCursor::before(name));
            left -= 1;
            continue;
        };
        let candidates = cleanups::list_candidates(tx, &id, &cursor, left as i64)?;
        if candidates.len() < left {
            package = None;
        }
        left -= candidates.len();
        let evaluator =
            CleanupEvaluator { policies, repository, package: &cursor.package.clone(), now };
        for candidate in &candidates {
            (cursor.uploaded_at, cursor.version) = (candidate.uploaded_at, candidate.version.id);
            plan.report.reviewed += 1;
            match evaluator.evaluate(tx, candidate)? {
                CleanupVerdict::Untouched => {}
                CleanupVerdict::Kept => plan.report.kept += 1,
                CleanupVerdict::Held => plan.report.held += 1,
                CleanupVerdict::Deleted(policy) => {
                    plan.versions.push(cleaned_version(tx, evaluator.package, policy, candidate)?);
                }
            }
        }
    }
    plan.next = Some(cursor);
    Ok(plan)
}

/// Deletes a manifest if the policies still delete it.
fn delete_if_still_due(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    digest: &Digest,
    times: ReviewTimes,
) -> Result<DeletionOutcome, EngineError> {
    let repository = &image.repository().id;
    let policies = read_policies(tx, repository)?;
    let Some(package) = packages::find(tx, repository, image.image_name())? else {
        return Ok(DeletionOutcome::Stays);
    };
    let Some(candidate) = cleanups::find(tx, &package, digest)? else {
        return Ok(DeletionOutcome::Stays);
    };
    let evaluator = CleanupEvaluator {
        policies: &policies,
        repository,
        package: image.image_name(),
        now: times.now,
    };
    let by = match evaluator.decide(tx, &candidate)? {
        CleanupDecision::Delete { by } if !policies.dry_run => by.to_owned(),
        CleanupDecision::Delete { .. }
        | CleanupDecision::Keep { .. }
        | CleanupDecision::Untouched => {
            return Ok(DeletionOutcome::Stays);
        }
    };
    if let Some(holder) = evaluator.find_holder(tx, &candidate, &BTreeSet::new())? {
        return Ok(DeletionOutcome::HeldBy(holder.version.digest));
    }
    let cleaned = cleaned_version(tx, image.image_name(), by, &candidate)?;
    let deleted = delete_version(tx, image, digest, TagHandling::DeleteTags, times)?;
    Ok(if deleted { DeletionOutcome::Deleted(cleaned) } else { DeletionOutcome::TagsLeft(cleaned) })
}

fn cleaned_version(
    tx: &mut Tx<'_>,
    package: &str,
    policy: String,
    candidate: &CleanupCandidate,
) -> Result<CleanedVersion, EngineError> {
    Ok(CleanedVersion {
        package: package.to_owned(),
        digest: candidate.version.digest.clone(),
        tags: tags::list_first_of_version(tx, &candidate.version.id, MAX_TAGS_SHOWN)?,
        bytes: candidate.image_bytes,
        policy,
    })
}
