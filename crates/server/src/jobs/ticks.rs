//! The ticks of the jobs: one at each interval, until the server stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// The times at which a job is due.
pub(crate) struct JobTicks {
    period: Duration,
    stop: watch::Receiver<bool>,
}

impl JobTicks {
    pub(crate) fn new(period: Duration, stop: &watch::Receiver<bool>) -> Self {
        Self { period, stop: stop.clone() }
    }

    /// Waits for one period after the last run. Returns `false` if the server stops.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => false,
            () = sleep(self.period) => true,
        }
    }
}
