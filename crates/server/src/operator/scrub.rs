//! The operator's scrub: every copy is checked now. The scrub stops if the operator leaves.

use std::ops::ControlFlow;

use engine::{ScrubReport, ScrubScope};
use serde::{Deserialize, Serialize};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::{ProgressLine, send};
use crate::jobs::JobContext;

/// The counts of a scrub so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubAnswer {
    /// Copies that were checked.
    pub checked: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Copies that are right.
    pub sound: u64,
    /// Copies with other bytes.
    pub corrupt: u64,
    /// Copies without a file.
    pub missing: u64,
    /// Copies that cannot be read.
    pub unreadable: u64,
    /// Copies that could not be checked now.
    pub unknown: u64,
    /// True if another process is scrubbing, so that this one stopped.
    pub busy: bool,
    /// True if all copies were checked.
    pub complete: bool,
}

impl From<ScrubReport> for ScrubAnswer {
    fn from(report: ScrubReport) -> Self {
        let ScrubReport { checked, bytes, sound, corrupt, missing, unreadable, unknown, busy } =
            report;
        let complete = false;
        Self { checked, bytes, sound, corrupt, missing, unreadable, unknown, busy, complete }
    }
}

impl ScrubAnswer {
    /// Returns the number of copies that are corrupt, missing or unreadable.
    pub(crate) fn bad(&self) -> u64 {
        self.corrupt + self.missing + self.unreadable
    }
}

/// Checks every copy, and writes lines with the progress.
pub(super) async fn answer(write: &mut OwnedWriteHalf, context: JobContext, rate: u64) {
    let (lines, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (progress_lines, mut stopped) = (lines.clone(), false);
        let progress = |report: &ScrubReport| {
            let line = ProgressLine::Progress(ScrubAnswer::from(*report));
            let operator_left = progress_lines.send(line).is_err();
            stopped = operator_left || context.is_stopping();
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let scrubbed = context.app.engine.scrub(ScrubScope::All, rate, progress).await;
        let last = match scrubbed {
            Ok(report) => {
                let complete = !stopped && !report.busy;
                ProgressLine::Done(ScrubAnswer { complete, ..report.into() })
            }
            Err(error) => ProgressLine::Error(error.to_string()),
        };
        let _ = lines.send(last);
    });
    while let Some(line) = queue.recv().await {
        if send(write, &line).await.is_err() {
            return;
        }
    }
}
