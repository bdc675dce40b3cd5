//! Cleanup policies carried out: in the background, and when an operator asks for it.
//!
//! A run walks through a repository's images by name, of each through the manifests from the newest on, some at a time, and
//! remembers how far it has come. What is to go is found out in one transaction that reads, and decided once more in the
//! one that deletes: what was pushed, tagged, pulled or set otherwise meanwhile counts. One decision
//! ([`Judge`]) serves dry runs and real ones, and manifests go the way that all go which are deleted.
//!
//! What an index names stays while the index does, what refers to an image while the image does, and what a tag holds that
//! stays for as long as that.

mod background;
mod evaluate;

use std::collections::BTreeSet;
use std::sync::Arc;

use meta::cleanups::{self, CleanupCandidate, CleanupCursor};
use meta::repositories::RepositoryRow;
use meta::{ErrorKind, Id, Tx, packages, tags};
use model::cleanup::{CleanupDecision, CleanupPolicies};
use model::digest::Digest;
use model::name::{ImageName, ImagePath, RepositoryName};

use evaluate::{CleanupEvaluator, CleanupVerdict};
use identity::{Caller, micros};

use crate::access::{ImageContext, ImageTarget, find_repository};
use crate::artifacts::delete::{TagHandling, delete_version};
use crate::engine::Engine;
use crate::error::EngineError;

/// As whom events, the history of tags and the audit log name it.
pub const CLEANUP_PRINCIPAL: &str = "system:cleanup-policy";

/// How many manifests and images one step looks at.
const STEP: usize = 100;

/// How many of its tags are told of a manifest.
const TAGS_TOLD: i64 = 5;

/// Whether a run deletes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupMode {
    /// Look only.
    DryRun,
    /// Delete what is to go, unless the repository says that its policies only look.
    Clean,
}

/// A manifest that went, or would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanedVersion {
    /// Its image.
    pub package: String,
    /// Its digest.
    pub digest: Digest,
    /// The first of its tags.
    pub tags: Vec<String>,
    /// The size that lists show of it. Layers are in it that others may need.
    pub bytes: i64,
    /// The policy that deletes it.
    pub policy: String,
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanupReport {
    /// Manifests that it looked at.
    pub reviewed: u64,
    /// Those that went, or would.
    pub versions: u64,
    /// Their sizes.
    pub bytes: i64,
    /// Those that a policy kept from another one.
    pub kept: u64,
    /// Those that were to go, and that a tag that stays, an index or their subject kept.
    pub held: u64,
}

/// What a step has come to.
#[derive(Debug)]
pub struct CleanupStep {
    /// What went, or would go.
    pub cleaned: Vec<CleanedVersion>,
    /// Whether it only looked: it was asked to, or the repository says so.
    pub dry_run: bool,
    /// Whether it was the last one.
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
    /// Why the last step ended early, after what it answered was done.
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
        let repository = self.meta.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        let (engine, report) = (self.clone(), CleanupReport::default());
        Ok(CleanupRun { engine, repository, name, mode, cursor, report, failed: None })
    }
}

impl CleanupRun {
    /// What it has come to so far.
    pub fn report(&self) -> CleanupReport {
        self.report
    }

    /// The repository's policies as they are now.
    pub async fn policies(&self) -> Result<CleanupPolicies, EngineError> {
        let repository = self.repository.id;
        self.engine.meta.read_by_key(move |tx| policies(tx, &repository)).await
    }

    /// Goes on for some manifests.
    pub async fn step(&mut self) -> Result<CleanupStep, EngineError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        // The pulls of this process. Others write theirs down twice a minute: policies have a margin for that.
        self.engine.flush_pulls().await?;
        let (repository, from, now) =
            (self.repository.id, self.cursor.clone(), self.engine.clock.now());
        let looked = self.engine.meta.read(move |tx| {
            let policies = policies(tx, &repository)?;
            Ok::<_, EngineError>((
                look(tx, (&policies, now), &repository, from.clone())?,
                policies.dry_run,
            ))
        });
        let (found, dry_run) = looked.await?;
        self.report.reviewed += found.report.reviewed;
        self.report.kept += found.report.kept;
        self.report.held += found.report.held;
        let dry_run = dry_run || self.mode == CleanupMode::DryRun;
        let cleaned = if dry_run { found.going } else { self.remove(found.going).await };
        self.report.versions += cleaned.len() as u64;
        self.report.bytes += cleaned.iter().map(|one| one.bytes).sum::<i64>();
        let done = found.next.is_none() && self.failed.is_none();
        self.cursor = found.next.unwrap_or(CleanupCursor::start());
        Ok(CleanupStep { cleaned, dry_run, done })
    }

    /// Deletes what is still to go, and answers what went.
    async fn remove(&mut self, going: Vec<CleanedVersion>) -> Vec<CleanedVersion> {
        let mut gone = Vec::new();
        for one in going {
            if let Err(error) = self.remove_with_holders(one, &mut gone).await {
                self.failed = Some(error);
                break;
            }
        }
        gone
    }

    async fn remove_with_holders(
        &self,
        one: CleanedVersion,
        gone: &mut Vec<CleanedVersion>,
    ) -> Result<(), EngineError> {
        let at = Arc::new(self.image_context(&one.package)?);
        // Each waits for the one behind it.
        let mut waiting = vec![one.digest];
        while let Some(digest) = waiting.last() {
            match self.remove_one(&at, digest).await? {
                RemovalOutcome::Gone(cleaned) => {
                    gone.push(cleaned);
                    waiting.pop();
                }
                RemovalOutcome::HeldBy(holder) if !waiting.contains(&holder) => {
                    waiting.push(holder)
                }
                RemovalOutcome::HeldBy(_) | RemovalOutcome::Stays | RemovalOutcome::Going(_) => {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn remove_one(
        &self,
        at: &Arc<ImageContext>,
        digest: &Digest,
    ) -> Result<RemovalOutcome, EngineError> {
        let engine = &self.engine;
        let now = engine.clock.now();
        let times = (now, now + micros(engine.settings.gc_grace));
        let (place, wanted) = (at.clone(), digest.clone());
        let removed = engine.meta.write(move |tx| remove_if(tx, (&place, &wanted), times)).await;
        let removed = match removed {
            // The policies have decided, and are not asked again: they would not find the tags that went.
            Ok(RemovalOutcome::Going(cleaned)) => engine
                .delete_by_digest(at, digest, TagHandling::TakeAlong)
                .await
                .map(|()| RemovalOutcome::Gone(cleaned)),
            removed => removed,
        };
        match removed {
            Err(EngineError::InUse { by, .. }) => Ok(RemovalOutcome::HeldBy(by)),
            Err(
                EngineError::TagImmutable { .. }
                | EngineError::ManifestUnknown(_)
                // It has too many tags for the rules about them.
                | EngineError::Precondition(_),
            ) => Ok(RemovalOutcome::Stays),
            // An index that was pushed meanwhile names it.
            Err(EngineError::Database(error)) if error.kind() == ErrorKind::ForeignKey => {
                Ok(RemovalOutcome::Stays)
            }
            removed => removed,
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
        let caller = Caller::system(CLEANUP_PRINCIPAL);
        Ok(ImageContext::new(self.repository.clone(), target, caller, webhooks))
    }
}

/// What came of a manifest that was to go.
enum RemovalOutcome {
    /// It went.
    Gone(CleanedVersion),
    /// The first of its tags went.
    Going(CleanedVersion),
    /// It is not there any more, or is not to go any more.
    Stays,
    /// This one has to go first.
    HeldBy(Digest),
}

fn policies(tx: &mut Tx<'_>, repository: &Id) -> Result<CleanupPolicies, EngineError> {
    let settings = cleanups::find_settings(tx, repository)?
        .ok_or_else(|| EngineError::ResourceUnknown("Repository".to_owned()))?;
    CleanupPolicies::parse(&settings)
        .map_err(|error| EngineError::Precondition(format!("cleanup policies: {error}")))
}

/// What a step has found to do.
#[derive(Default)]
struct CleanupPlan {
    /// Where the next one begins; `None`: there is none.
    next: Option<CleanupCursor>,
    report: CleanupReport,
    going: Vec<CleanedVersion>,
}

/// Looks at what comes next.
fn look(
    tx: &mut Tx<'_>,
    (policies, now): (&CleanupPolicies, i64),
    repository: &Id,
    mut cursor: CleanupCursor,
) -> Result<CleanupPlan, EngineError> {
    let mut found = CleanupPlan::default();
    if policies.can_delete_nothing() {
        return Ok(found);
    }
    let mut package = packages::find(tx, repository, &cursor.package)?;
    let mut left = STEP;
    while left > 0 {
        let Some(id) = package else {
            let next = cleanups::find_next_package(tx, repository, &cursor.package)?;
            let Some((id, name)) = next else { return Ok(found) };
            (package, cursor) = (Some(id), CleanupCursor::before(name));
            left -= 1;
            continue;
        };
        let some = cleanups::list_candidates(tx, &id, &cursor, left as i64)?;
        if some.len() < left {
            package = None;
        }
        left -= some.len();
        let judge =
            CleanupEvaluator { policies, repository, package: &cursor.package.clone(), now };
        for candidate in &some {
            (cursor.uploaded_at, cursor.version) = (candidate.uploaded_at, candidate.version.id);
            found.report.reviewed += 1;
            match judge.fate(tx, candidate)? {
                CleanupVerdict::Untouched => {}
                CleanupVerdict::Kept => found.report.kept += 1,
                CleanupVerdict::Held => found.report.held += 1,
                CleanupVerdict::Goes(policy) => {
                    found.going.push(cleaned(tx, (judge.package, policy), candidate)?);
                }
            }
        }
    }
    found.next = Some(cursor);
    Ok(found)
}

/// Deletes a manifest, if it is still to go.
fn remove_if(
    tx: &mut Tx<'_>,
    (at, digest): (&ImageContext, &Digest),
    times: (i64, i64),
) -> Result<RemovalOutcome, EngineError> {
    let repository = &at.repository().id;
    let policies = policies(tx, repository)?;
    let Some(package) = packages::find(tx, repository, at.image_name())? else {
        return Ok(RemovalOutcome::Stays);
    };
    let Some(candidate) = cleanups::find(tx, &package, digest)? else {
        return Ok(RemovalOutcome::Stays);
    };
    let judge = CleanupEvaluator {
        policies: &policies,
        repository,
        package: at.image_name(),
        now: times.0,
    };
    let by = match judge.decide(tx, &candidate)? {
        CleanupDecision::Delete { by } if !policies.dry_run => by.to_owned(),
        CleanupDecision::Delete { .. }
        | CleanupDecision::Keep { .. }
        | CleanupDecision::Untouched => {
            return Ok(RemovalOutcome::Stays);
        }
    };
    if let Some(holder) = judge.holder(tx, &candidate, &BTreeSet::new())? {
        return Ok(RemovalOutcome::HeldBy(holder.version.digest));
    }
    let cleaned = cleaned(tx, (at.image_name(), by), &candidate)?;
    let gone = delete_version(tx, at, (digest, TagHandling::TakeAlong), times)?;
    Ok(if gone { RemovalOutcome::Gone(cleaned) } else { RemovalOutcome::Going(cleaned) })
}

fn cleaned(
    tx: &mut Tx<'_>,
    (package, policy): (&str, String),
    candidate: &CleanupCandidate,
) -> Result<CleanedVersion, EngineError> {
    Ok(CleanedVersion {
        package: package.to_owned(),
        digest: candidate.version.digest.clone(),
        tags: tags::list_first_of_version(tx, &candidate.version.id, TAGS_TOLD)?,
        bytes: candidate.image_bytes,
        policy,
    })
}
