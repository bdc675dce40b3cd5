//! The client side of the operator's socket: sends a command to a running server, and reads its answer.

use std::io::{BufRead, BufReader, IsTerminal, Write, stderr};
use std::os::unix::net::UnixStream;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::data::find_sockets;
use crate::operator::{OperatorCommand, ProgressLine};

/// Sends a command, and calls `progress` with each report until the command is done. Returns the last report.
pub(super) fn ask<T: DeserializeOwned>(
    config: &Config,
    command: &OperatorCommand,
    mut progress: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let sockets = find_sockets(&config.data)?;
    let Some(socket) = sockets.first() else {
        bail!("no berth is running on {}; start it first", config.data.display());
    };
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("cannot reach {}", socket.display()))?;
    writeln!(stream, "{}", serde_json::to_string(command)?)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            ProgressLine::Progress(so_far) => progress(so_far)?,
            ProgressLine::Done(done) => return Ok(done),
            ProgressLine::Error(error) => bail!("{error}"),
        }
    }
    bail!("the server went away before it was done; what was done so far stays done")
}

/// Shows a line of progress in place of the line before it, if `stderr` is a terminal. An empty text clears the line.
pub(super) fn show_progress(text: &str) -> anyhow::Result<()> {
    let mut out = stderr();
    if out.is_terminal() {
        write!(out, "\r\x1b[K{text}")?;
        out.flush()?;
    }
    Ok(())
}
