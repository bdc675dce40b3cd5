//! Signals to a server that runs: which of them end it, and which do not.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a server listens to.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: [Signal; 2],
    /// True if the server was started in a terminal, and its log is read there.
    in_terminal: bool,
}

impl StopSignals {
    /// Listens to the signals from now on: none of them ends the process by itself any more.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            in_terminal: io::stderr().is_terminal(),
        })
    }

    /// Waits until a signal says that the server has to end. Other signals are logged, and the server goes on.
    pub(super) async fn end(&mut self) {
        let [first, second] = &mut self.user;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    // The terminal is closed, and nobody could stop the server from there any more.
                    if self.in_terminal {
                        return;
                    }
                    ignored(
                        "SIGHUP",
                        "; certificates and the audit log need none when their files change, and settings are read \
                         by a start",
                    );
                }
                _ = first.recv() => ignored("SIGUSR1", ""),
                _ = second.recv() => ignored("SIGUSR2", ""),
            }
        }
    }
}

fn ignored(signal: &str, instead: &str) {
    tracing::info!(signal, "{signal} changes nothing here{instead}");
}
