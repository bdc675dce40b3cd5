//! `berth gc`: asks running servers to collect.

use std::io::{BufRead, BufReader, IsTerminal, Write, stderr};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::Source;
use crate::api::admin::{Collected, Command, Line};
use crate::data::sockets;

/// Collect what nothing refers to, now.
///
/// The server does this by itself from time to time; nothing stops meanwhile. What is collected was
/// deleted, or never finished, longer ago than the setting gc.grace says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth gc --dry-run\n  berth gc --data /var/lib/berth")]
pub(super) struct Gc {
    #[command(flatten)]
    source: Source,
    /// Only say what would be collected.
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let sockets = sockets(&config.data)?;
        let Some(socket) = sockets.first() else {
            bail!("no berth is running on {}; start it first", config.data.display());
        };
        let mut stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot reach {}", socket.display()))?;
        let command = serde_json::to_string(&Command::Gc { dry_run: self.dry_run })?;
        writeln!(stream, "{command}")?;
        for line in BufReader::new(stream).lines() {
            match serde_json::from_str(&line?)? {
                Line::Progress(collected) => show_progress(&collected)?,
                Line::Done(collected) => {
                    self.report(&collected)?;
                    return Ok(ExitCode::SUCCESS);
                }
                Line::Error(error) => bail!("{error}"),
            }
        }
        bail!("the server went away before it was done; what it did is kept")
    }

    fn report(&self, collected: &Collected) -> anyhow::Result<()> {
        let Collected { reviewed, links, blobs, manifests, uploads, files, bytes, busy } =
            collected;
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let mut out = std::io::stdout();
        if *busy {
            writeln!(out, "Another berth is collecting; nothing was done here.")?;
            return Ok(());
        }
        let would = if self.dry_run { "would be " } else { "" };
        writeln!(
            out,
            "{reviewed} reviewed; {would}collected: {links} blobs from repositories ({bytes} bytes), {blobs} blobs, \
             {manifests} manifests, {uploads} uploads, {files} files"
        )?;
        Ok(())
    }
}

/// One line that is written over, where somebody watches.
fn show_progress(collected: &Collected) -> anyhow::Result<()> {
    let mut out = stderr();
    if out.is_terminal() {
        let Collected { reviewed, files, .. } = collected;
        write!(out, "\r\x1b[K{reviewed} reviewed, {files} files removed")?;
        out.flush()?;
    }
    Ok(())
}
