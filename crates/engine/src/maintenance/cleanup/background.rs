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

/// The lease of cleaning.
const CLEANUP: &str = "cleanup";

/// Of how many manifests the log tells, where policies only look.
const MOST_TOLD: u64 = 100;

impl Engine {
    /// Cleans the repositories that are due, unless another process is at it. Each is due again after the interval, and at
    /// once when its policies are set. `heard` hears of each step, and says whether to go on: the next run goes on there.
    pub async fn clean_due(
        &self,
        interval: Duration,
        mut heard: impl FnMut(&RepositoryName, &CleanupStep) -> ControlFlow<()> + Send,
    ) -> Result<(), EngineError> {
        while self.hold_lease(CLEANUP, BACKGROUND_LEASE).await? {
            let now = self.clock.now();
            let due = self
                .meta
                .read(move |tx| Ok::<_, EngineError>(cleanups::find_due(tx, now)?))
                .await?;
            let Some(due) = due else { break };
            let again = now + micros(interval);
            match self.clean_one((&due, again), &mut heard).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                // The other repositories shall not wait for it.
                Err(error) => {
                    tracing::warn!(
                        repo.name = %due.name, %error,
                        "cleanup of {} stopped and will be repeated: {error}", due.name
                    );
                    self.advance(&due, (CleanupCursor::start(), again)).await?;
                }
            }
        }
        self.release_lease(CLEANUP).await
    }

    async fn clean_one(
        &self,
        (due, again): (&DueCleanup, Micros),
        heard: &mut (impl FnMut(&RepositoryName, &CleanupStep) -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>, EngineError> {
        let mut run = self.cleanup_from(&due.name, CleanupMode::Clean, due.cursor.clone()).await?;
        loop {
            let told = run.report().versions;
            let step = run.step().await?;
            if step.dry_run {
                tell(due, told, &step.cleaned);
            }
            let goes_on = heard(&due.name, &step);
            let place = if step.done { again } else { due.due_at };
            if !self.advance(due, (run.cursor.clone(), place)).await? {
                // The policies were set meanwhile: it begins anew.
                return Ok(goes_on);
            }
            if step.done {
                summarize(due, (run.report(), step.dry_run));
                return Ok(goes_on);
            }
            if goes_on.is_break() || !self.hold_lease(CLEANUP, BACKGROUND_LEASE).await? {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    async fn advance(
        &self,
        due: &DueCleanup,
        (cursor, due_at): (CleanupCursor, Micros),
    ) -> Result<bool, EngineError> {
        let due = due.clone();
        let advanced = self
            .meta
            .write(move |tx| Ok::<_, EngineError>(cleanups::advance(tx, &due, &cursor, due_at)?));
        Ok(advanced.await? == 1)
    }
}

/// Writes down what would have gone; not all of very many.
fn tell(due: &DueCleanup, told: u64, cleaned: &[CleanedVersion]) {
    let left = MOST_TOLD.saturating_sub(told) as usize;
    for CleanedVersion { package, digest, policy, .. } in cleaned.iter().take(left) {
        tracing::info!(
            repo.name = %due.name, version.digest = %digest,
            "cleanup policy {policy:?} would delete {package}@{digest} of {}", due.name
        );
    }
}

fn summarize(due: &DueCleanup, (report, dry_run): (CleanupReport, bool)) {
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
