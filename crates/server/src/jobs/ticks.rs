//! The clock of the jobs: ticks at an interval, until the server stops.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// When a job is due, until it is to stop.
pub(crate) struct JobTicks {
    period: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

impl JobTicks {
    pub(crate) fn new(period: Duration, stop: &watch::Receiver<bool>) -> Self {
        Self { period, stop: stop.clone() }
    }

    /// Waits for one period after the last run. `false`: stop now.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => false,
            () = sleep(self.period) => true,
        }
    }
}

/// What a collection does next, once it is told to stop: a queue may hold work for hours.
pub(crate) fn unless_stopped(stop: &watch::Receiver<bool>) -> ControlFlow<()> {
    if *stop.borrow() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
