//! The state that long work needs, in a job or for an operator.

use std::ops::ControlFlow;

use tokio::sync::watch;
use web::app::App;

/// The application, and the signal at which long work has to end.
#[derive(Clone)]
pub(crate) struct JobContext {
    pub(crate) app: App,
    /// Becomes true when the server stops.
    pub(crate) stop: watch::Receiver<bool>,
}

impl JobContext {
    /// Returns whether the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns `Break` once the server stops. Work asks between its steps, because a queue may hold work for hours.
    pub(crate) fn unless_stopping(&self) -> ControlFlow<()> {
        if self.is_stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
