//! `berth scrub`: asks a running server to read every stored blob and check its bytes.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;

use super::SettingsArguments;
use super::operator::{ask, show_progress};
use crate::config::MemorySetting;
use crate::operator::{OperatorCommand, ScrubAnswer};

/// Reads every stored blob from the disk, and checks that its bytes are right, now.
///
/// The server does this by itself, slowly (the settings blobs.verify_after and blobs.scrub_rate). A blob with wrong
/// bytes is not served any more until it is pushed again. A blob that was set aside before and is right is served
/// again. If this command is interrupted, the server stops checking. The exit status is 1 if a blob is not right, could
/// not be checked, or the check was not completed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  berth scrub\n  berth scrub --rate 200MiB --data /var/lib/berth"
)]
pub(super) struct ScrubArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The bytes to read in a second; 0KiB is without a limit [default: the setting blobs.scrub_rate].
    #[arg(long, value_name = "BYTES")]
    rate: Option<MemorySetting>,
}

impl ScrubArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let rate = self.rate.unwrap_or(config.blobs.scrub_rate).get() as u64;
        let done = ask(&config, &OperatorCommand::Scrub { rate }, |so_far: ScrubAnswer| {
            let ScrubAnswer { checked, bytes, .. } = so_far;
            show_progress(&format!(
                "{checked} blobs checked, {} MiB read, {} not right",
                bytes >> 20,
                so_far.bad()
            ))
        })?;
        show_progress("")?;
        report(&done)
    }
}

fn report(done: &ScrubAnswer) -> anyhow::Result<ExitCode> {
    let ScrubAnswer { checked, bytes, sound, corrupt, missing, unreadable, unknown, .. } = done;
    let mut out = stdout();
    if done.busy {
        writeln!(out, "Another berth is scrubbing; this one stopped.")?;
    }
    writeln!(
        out,
        "{checked} blobs checked ({bytes} bytes): {sound} are right, {corrupt} have other bytes, {missing} are missing, \
         {unreadable} cannot be read, {unknown} could not be checked now"
    )?;
    if !done.complete {
        writeln!(out, "The scrub was not completed.")?;
    }
    let is_good = done.complete && done.bad() == 0 && *unknown == 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
