//! `berth cleanup`: asks a running server to apply the cleanup policies of a repository.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::name::{Location, RepositoryName, parse_repository_path};

use super::SettingsArguments;
use super::operator::{ask, show_progress};
use crate::operator::{CleanedLine, CleanupProgress, OperatorCommand};

/// Deletes the versions that the cleanup policies of a repository select, now.
///
/// The server does this by itself from time to time (the setting cleanup.interval). Each printed line is a deleted
/// version: its image and digest, its first tags, its size and the policy that deletes it. A deleted version does not
/// come back. Its layers are collected later, if nothing else needs them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    berth cleanup --dry-run team-one/images\n  \
    berth cleanup --dry-run projects/team-one/locations/us-west1/repositories/images\n  \
    berth cleanup team-one/images --location europe-west1 --data /var/lib/berth")]
pub(super) struct CleanupArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// Prints what would be deleted, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
    /// The location of a repository given as PROJECT/REPOSITORY [default: the setting default_location].
    #[arg(long, value_name = "LOCATION")]
    location: Option<Location>,
    /// The repository: PROJECT/REPOSITORY, or projects/P/locations/L/repositories/R.
    #[arg(value_name = "REPOSITORY")]
    repository: String,
}

impl CleanupArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let location = self.location.clone().map_or_else(|| config.location(), Ok)?;
        let repository = repository_name(&self.repository, location)?.to_string();
        let command = OperatorCommand::Cleanup { repository, dry_run: self.dry_run };
        let done = ask(&config, &command, |so_far: CleanupProgress| {
            print_versions(&so_far)?;
            show_progress(&format!("{} versions reviewed", so_far.reviewed))
        })?;
        print_versions(&done)?;
        for warning in &done.warnings {
            eprintln!("warning: {warning}");
        }
        let CleanupProgress { dry_run, reviewed, versions, bytes, kept, held, .. } = done;
        let would = if dry_run { "would be deleted" } else { "deleted" };
        writeln!(
            stdout(),
            "{versions} of {reviewed} versions {would}, {bytes} bytes; {kept} kept by a policy, {held} by an immutable tag, \
             an index or their subject"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn repository_name(text: &str, location: Location) -> anyhow::Result<RepositoryName> {
    if text.starts_with("projects/") {
        return text.parse().with_context(|| format!("{text:?} is no repository"));
    }
    let problem = || format!("{text:?} is no repository: write PROJECT/REPOSITORY");
    let parsed = parse_repository_path(text, None).with_context(problem)?;
    let (project, repository) = parsed.with_context(problem)?;
    Ok(RepositoryName { project, location, repository })
}

/// Prints a line for each version. The id of a policy may be any text, so it is escaped: it must not control the
/// terminal.
fn print_versions(so_far: &CleanupProgress) -> anyhow::Result<()> {
    if so_far.cleaned.is_empty() {
        return Ok(());
    }
    show_progress("")?;
    let mut out = stdout().lock();
    for CleanedLine { image, digest, tags, bytes, policy } in &so_far.cleaned {
        let tags = if tags.is_empty() { "-".to_owned() } else { tags.join(",") };
        writeln!(out, "{image}@{digest}  {tags}  {bytes} bytes  {policy:?}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let location = "us-west1".parse().expect("a location");
        let name = repository_name(text, location).ok().map(|name| name.to_string());
        assert_eq!(name.as_deref(), expected);
    }

    #[test]
    fn repositories() {
        check("p/r", Some("projects/p/locations/us-west1/repositories/r"));
        check("example.com/p/r", Some("projects/example.com:p/locations/us-west1/repositories/r"));
        let full = "projects/p/locations/us/repositories/r";
        check(full, Some(full));
        for none in [
            "",
            "p",
            "p/r/image",
            "p/R",
            "projects/p",
            "projects/p/locations/us/repositories/r/packages/a",
        ] {
            check(none, None);
        }
    }
}
