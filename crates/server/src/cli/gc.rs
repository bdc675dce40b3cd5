//! `berth gc`: asks a running server to collect content that nothing refers to.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::SettingsArguments;
use super::operator::{ask, show_progress};
use crate::operator::{CollectionReport, OperatorCommand};

/// Deletes content that nothing refers to, now.
///
/// The server does this by itself from time to time (the setting gc.interval), and serves all requests meanwhile.
/// Content is collected if nothing has referred to it for as long as the setting gc.grace says. Unfinished uploads are
/// collected by the setting gc.upload_expiry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth gc --dry-run\n  berth gc --data /var/lib/berth")]
pub(super) struct GcArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// Prints what would be collected, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
}

impl GcArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let command = OperatorCommand::Gc { dry_run: self.dry_run };
        let done = ask(&config, &command, |so_far: CollectionReport| {
            let CollectionReport { reviewed, files, .. } = so_far;
            show_progress(&format!("{reviewed} reviewed, {files} files deleted"))
        })?;
        self.report(&done)?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, collected: &CollectionReport) -> anyhow::Result<()> {
        let CollectionReport { reviewed, links, blobs, manifests, uploads, files, bytes, .. } =
            collected;
        show_progress("")?;
        let mut out = std::io::stdout();
        if collected.busy {
            writeln!(out, "Another berth is collecting; nothing was done here.")?;
            return Ok(());
        }
        let would = if self.dry_run { "would be " } else { "" };
        writeln!(
            out,
            "{reviewed} reviewed; {would}collected: {links} blobs from repositories ({bytes} bytes), {blobs} blobs, \
             {manifests} manifests, {uploads} uploads, {files} files"
        )?;
        if collected.links_unknown {
            writeln!(
                out,
                "Blobs of repositories are not counted yet: the server still reads manifests that an older release stored. \
                 Ask again later, or run the collection: it reads all of them first."
            )?;
        }
        Ok(())
    }
}
