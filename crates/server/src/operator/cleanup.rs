//! The operator's cleanup: a step at a time. The cleanup stops if the operator leaves, because deletes cannot be
//! undone.

use engine::{CleanedVersion, CleanupMode, CleanupReport, CleanupRun, CleanupStep, EngineError};
use model::name::RepositoryName;
use serde::{Deserialize, Serialize};
use tokio::net::unix::OwnedWriteHalf;

use super::{ProgressLine, send};
use crate::jobs::JobContext;
use web::app::App;

/// The progress of a cleanup, or of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanupProgress {
    /// True if nothing is deleted, because the operator or the repository says so.
    pub dry_run: bool,
    /// Versions that were looked at.
    pub reviewed: u64,
    /// Versions that were deleted, or would be.
    pub versions: u64,
    /// The sum of the sizes of deleted versions.
    pub bytes: i64,
    /// Versions that one policy would delete and another one keeps.
    pub kept: u64,
    /// Versions that are kept by an immutable tag, an index or their subject.
    pub held: u64,
    /// The versions that were deleted since the last line, or would be.
    pub cleaned: Vec<CleanedLine>,
    /// Warnings of what the operator may not have expected.
    pub warnings: Vec<String>,
}

/// A version that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanedLine {
    /// The name of the version's image.
    pub image: String,
    /// The version's digest.
    pub digest: String,
    /// The first of the version's tags.
    pub tags: Vec<String>,
    /// The version's size in bytes, as lists show it.
    pub bytes: i64,
    /// The id of the policy that deletes the version.
    pub policy: String,
}

impl From<CleanedVersion> for CleanedLine {
    fn from(cleaned: CleanedVersion) -> Self {
        let CleanedVersion { package, digest, tags, bytes, policy } = cleaned;
        Self { image: package, digest: digest.to_string(), tags, bytes, policy }
    }
}

impl CleanupProgress {
    fn new(report: CleanupReport, step: CleanupStep) -> Self {
        let CleanupReport { reviewed, versions, bytes, kept, held } = report;
        let cleaned = step.cleaned.into_iter().map(CleanedLine::from).collect();
        let (dry_run, warnings) = (step.dry_run, Vec::new());
        Self { dry_run, reviewed, versions, bytes, kept, held, cleaned, warnings }
    }
}

/// Cleans a repository, and writes a line for each step.
pub(super) async fn answer(
    write: &mut OwnedWriteHalf,
    context: &JobContext,
    repository: &str,
    mode: CleanupMode,
) {
    let Ok(name) = repository.parse::<RepositoryName>() else {
        let problem =
            format!("{repository:?} is no repository: projects/P/locations/L/repositories/R");
        let _ = send(write, &ProgressLine::<()>::Error(problem)).await;
        return;
    };
    let mut run = match context.app.engine.cleanup(&name, mode).await {
        Ok(run) => run,
        Err(error) => {
            let _ = send(write, &ProgressLine::<()>::Error(error.to_string())).await;
            return;
        }
    };
    loop {
        let line = match step(&context.app, &name, mode, &mut run).await {
            Ok(line) => line,
            Err(error) => ProgressLine::Error(error.to_string()),
        };
        let goes_on = matches!(line, ProgressLine::Progress(_));
        if send(write, &line).await.is_err() || !goes_on {
            return;
        }
        if context.is_stopping() {
            let problem =
                "the server is stopping; what was deleted so far stays deleted".to_owned();
            let _ = send(write, &ProgressLine::<()>::Error(problem)).await;
            return;
        }
    }
}

async fn step(
    app: &App,
    name: &RepositoryName,
    mode: CleanupMode,
    run: &mut CleanupRun,
) -> Result<ProgressLine<CleanupProgress>, EngineError> {
    let step = run.step().await?;
    app.audit.record_cleanup(name, &step);
    let done = step.done;
    let mut line = CleanupProgress::new(run.report(), step);
    if !done {
        return Ok(ProgressLine::Progress(line));
    }
    let policies = run.policies().await?;
    if policies.is_empty() {
        line.warnings.push("the repository has no cleanup policies".to_owned());
    }
    if policies.has_only_keep_policies() {
        line.warnings
            .push("nothing is ever deleted: all policies keep, and none deletes".to_owned());
    }
    if policies.dry_run && mode == CleanupMode::Clean {
        line.warnings
            .push("nothing was deleted: the repository's cleanupPolicyDryRun is set".to_owned());
    }
    Ok(ProgressLine::Done(line))
}
