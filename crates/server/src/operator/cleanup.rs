//! Cleanup, as an operator asks for it: a step at a time. An operator who leaves stops it, because nothing comes back.

use engine::{CleanedVersion, CleanupMode, CleanupReport, CleanupRun, CleanupStep, EngineError};
use model::name::RepositoryName;
use serde::{Deserialize, Serialize};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;

use super::{ProgressLine, send};
use web::app::App;

/// What a cleanup did so far, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanupProgress {
    /// Whether it only looks: the operator or the repository says so.
    pub dry_run: bool,
    /// Versions that it looked at.
    pub reviewed: u64,
    /// Those that went, or would.
    pub versions: u64,
    /// Their sizes.
    pub bytes: i64,
    /// Those that a policy kept from another one.
    pub kept: u64,
    /// Those that a tag that stays, an index or their subject kept.
    pub held: u64,
    /// Those that went since the last line.
    pub cleaned: Vec<CleanedLine>,
    /// What the operator may not have expected.
    pub warnings: Vec<String>,
}

/// A version that went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanedLine {
    /// Its image.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// The first of its tags.
    pub tags: Vec<String>,
    /// Its size as lists show it.
    pub bytes: i64,
    /// The policy that deletes it.
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

/// Runs through a repository and says what goes.
pub(super) async fn answer(
    write: &mut OwnedWriteHalf,
    (app, stop): (&App, &watch::Receiver<bool>),
    (repository, mode): (&str, CleanupMode),
) {
    let Ok(name) = repository.parse::<RepositoryName>() else {
        let problem =
            format!("{repository:?} is no repository: projects/P/locations/L/repositories/R");
        let _ = send(write, &ProgressLine::<()>::Error(problem)).await;
        return;
    };
    let mut run = match app.engine.cleanup(&name, mode).await {
        Ok(run) => run,
        Err(error) => {
            let _ = send(write, &ProgressLine::<()>::Error(error.to_string())).await;
            return;
        }
    };
    loop {
        let line = match step(app, (&name, mode), &mut run).await {
            Ok(line) => line,
            Err(error) => ProgressLine::Error(error.to_string()),
        };
        let goes_on = matches!(line, ProgressLine::Progress(_));
        if send(write, &line).await.is_err() || !goes_on {
            return;
        }
        if *stop.borrow() {
            let problem = "the server is stopping; what it did is kept".to_owned();
            let _ = send(write, &ProgressLine::<()>::Error(problem)).await;
            return;
        }
    }
}

async fn step(
    app: &App,
    (name, mode): (&RepositoryName, CleanupMode),
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
