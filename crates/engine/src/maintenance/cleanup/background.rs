//! Cleanup in the background: the repositories that are due, one after the other, by one process at a time.

use std::ops::ControlFlow;
use std::time::Duration;

use meta::cleanups::{self, CleanupCursor, DueCleanup};
use model::name::RepositoryName;

use super::{CleanedVersion, CleanupMode, CleanupReport, CleanupStep};
use identity::{Micros, micros};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::leases::BACKGROUND_LEASE;

/// The name of the lease of cleanup.
const CLEANUP_LEASE: &str = "cleanup";

/// The number of manifests that the log names for a repository whose policies are a dry run.
const MAX_LOGGED: u64 = 100;

impl Engine {
    /// Cleans the repositories that are due, unless another process cleans. A repository is due again after the
    /// interval, and at once when its policies are set. `progress` is called after each step, and decides whether to
    /// go on; the next run continues at that position.
    pub async fn clean_due(
        &self,
        interval: Duration,
        mut progress: impl FnMut(&RepositoryName, &CleanupStep) -> ControlFlow<()> + Send,
    ) -> Result<(), EngineError> {
        while self.hold_lease(CLEANUP_LEASE, BACKGROUND_LEASE).await? {
            let now = self.clock.now();
            let due = self.read(move |tx| Ok(cleanups::find_due(tx, now)?)).await?;
            let Some(due) = due else { break };
            let again = now + micros(interval);
            match self.clean_one(&due, again, &mut progress).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                // The other repositories do not wait for this one.
                Err(error) => {
                    tracing::warn!(
                        repo.name = %due.name, %error,
                        "cleanup of {} stopped and will be repeated: {error}", due.name
                    );
                    self.advance(&due, CleanupCursor::start(), again).await?;
                }
            }
        }
        self.release_lease(CLEANUP_LEASE).await
    }

    async fn clean_one(
        &self,
        due: &DueCleanup,
        again: Micros,
        progress: &mut (impl FnMut(&RepositoryName, &CleanupStep) -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        let mut run = self.cleanup_from(&due.name, CleanupMode::Clean, due.cursor.clone()).await?;
        loop {
            let already = run.report().versions;
            let step = run.step().await?;
            if step.dry_run {
                log_dry_run(due, already, &step.cleaned);
            }
            let goes_on = progress(&due.name, &step);
            let due_at = if step.done { again } else { due.due_at };
            if !self.advance(due, run.cursor.clone(), due_at).await? {
                // The policies were set meanwhile, so the run begins again.
                return Ok(goes_on);
            }
            if step.done {
                log_summary(due, run.report(), step.dry_run);
                return Ok(goes_on);
            }
            if goes_on.is_break() || !self.hold_lease(CLEANUP_LEASE, BACKGROUND_LEASE).await? {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    async fn advance(
        &self,
        due: &DueCleanup,
        cursor: CleanupCursor,
        due_at: Micros,
    ) -> Result<bool, EngineError> {
        let due = due.clone();
        let advanced = self.write(move |tx| Ok(cleanups::advance(tx, &due, &cursor, due_at)?));
        Ok(advanced.await? == 1)
    }
}

/// Logs the manifests that would have been deleted, up to a limit.
fn log_dry_run(due: &DueCleanup, already: u64, cleaned: &[CleanedVersion]) {
    let left = MAX_LOGGED.saturating_sub(already) as usize;
    for CleanedVersion { package, digest, policy, .. } in cleaned.iter().take(left) {
        tracing::info!(
            repo.name = %due.name, version.digest = %digest,
            "cleanup policy {policy:?} would delete {package}@{digest} of {}", due.name
        );
    }
}

fn log_summary(due: &DueCleanup, report: CleanupReport, dry_run: bool) {
    let CleanupReport { reviewed, versions, bytes, kept, held } = report;
    if versions > 0 {
        let name = &due.name;
        let would = if dry_run { "would have deleted" } else { "deleted" };
        tracing::info!(
            repo.name = %name, versions, bytes, kept, held,
            "cleanup policies {would} {versions} of {reviewed} versions ({bytes} bytes) in {name}"
        );
    }
}
