//! `berth secrets`: the passwords with which remote repositories ask other registries.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::secret::{MAX_SECRET_BYTES, SecretValue};

use super::SettingsArguments;
use super::operator::ask;
use crate::operator::{
    ListedSecret, ListedVersion, OperatorCommand, SecretsAnswer, SecretsCommand, SentValue,
};

/// Keeps the passwords with which remote repositories ask other registries.
///
/// A remote repository names a version of a secret, as projects/P/secrets/S/versions/V, where V is a number or `latest`.
/// Values are encrypted in the database, and nobody can read them back. A value is sent to the registry of its secret
/// alone.
#[derive(Debug, Args)]
pub(super) struct SecretsArguments {
    #[command(subcommand)]
    command: SecretsSubcommand,
}

/// The commands below `berth secrets`. The help of each one is the doc comment of its own type.
#[derive(Debug, Subcommand)]
enum SecretsSubcommand {
    Add(AddArguments),
    List(ListArguments),
    Disable(DisableArguments),
    Enable(EnableArguments),
    Delete(DeleteArguments),
}

/// Adds a version to a secret, with the value from standard input; the first one creates the secret.
///
/// The line break at the end of the input is not a part of the value. Versions are numbered 1, 2 and so on. A repository
/// that names `latest` uses the new version from its next request on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth secrets add projects/team-one/secrets/hub --origin DOCKER-HUB <hub-token
  berth secrets add projects/team-one/secrets/vendor --origin https://registry.example.com <password
  berth secrets add projects/team-one/secrets/vendor <new-password")]
struct AddArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The registry that the secret is for: https://HOST, perhaps with a port, or DOCKER-HUB. Only the first version
    /// needs it.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// The secret, as projects/P/secrets/S.
    #[arg(value_name = "SECRET")]
    secret: String,
}

/// Lists secrets with their versions, and the repositories that use them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth secrets list\n  berth secrets list team-one")]
struct ListArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The project [default: all projects].
    #[arg(value_name = "PROJECT")]
    project: Option<String>,
}

/// Disables a version of a secret.
///
/// Repositories that name the version serve what they have already, and fetch nothing more.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  berth secrets disable projects/team-one/secrets/hub/versions/1"
)]
struct DisableArguments {
    #[command(flatten)]
    version: VersionArguments,
}

/// Enables a version of a secret that was disabled.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  berth secrets enable projects/team-one/secrets/hub/versions/1"
)]
struct EnableArguments {
    #[command(flatten)]
    version: VersionArguments,
}

/// A version of a secret, and the server that has it.
#[derive(Debug, Args)]
struct VersionArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The version, as projects/P/secrets/S/versions/N.
    #[arg(value_name = "VERSION")]
    version: String,
}

/// Deletes a version of a secret, or a secret with all versions.
///
/// Repositories that name it serve what they have already, and fetch nothing more. Numbers of deleted versions are not
/// used again; a secret that is created anew under the same name begins with 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth secrets delete projects/team-one/secrets/hub/versions/1
  berth secrets delete projects/team-one/secrets/hub")]
struct DeleteArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The secret, as projects/P/secrets/S, or a version, as projects/P/secrets/S/versions/N.
    #[arg(value_name = "NAME")]
    name: String,
}

impl SecretsArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            SecretsSubcommand::Add(add) => add.run(),
            SecretsSubcommand::List(list) => list.run(),
            SecretsSubcommand::Disable(disable) => disable.version.set_enabled(false),
            SecretsSubcommand::Enable(enable) => enable.version.set_enabled(true),
            SecretsSubcommand::Delete(delete) => delete.run(),
        }
    }
}

fn ask_about_secrets(
    source: &SettingsArguments,
    command: SecretsCommand,
) -> anyhow::Result<SecretsAnswer> {
    let command = OperatorCommand::Secrets { action: command };
    ask(&source.read()?, &command, |_: SecretsAnswer| Ok(()))
}

impl AddArguments {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { source, origin, secret } = self;
        let value = SentValue(read_value()?.expose().to_owned());
        let command = SecretsCommand::Add { secret, origin, value };
        if let SecretsAnswer::Added(version) = ask_about_secrets(&source, command)? {
            writeln!(stdout(), "Added {version}.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a value from standard input. A terminal would show it.
fn read_value() -> anyhow::Result<SecretValue> {
    if stdin().is_terminal() {
        bail!(
            "the value comes from standard input, which is a terminal here: add `<FILE` or a pipe"
        );
    }
    let mut bytes = Vec::new();
    // One byte more than a value and its line break may have shows that it is too long.
    let limit = MAX_SECRET_BYTES as u64 + 3;
    stdin().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(SecretValue::from_input(bytes)?)
}

impl ListArguments {
    fn run(self) -> anyhow::Result<ExitCode> {
        let command = SecretsCommand::List { project: self.project };
        let SecretsAnswer::Listed(secrets) = ask_about_secrets(&self.source, command)? else {
            bail!("the server gave another answer than a list");
        };
        let mut out = stdout().lock();
        if secrets.is_empty() {
            writeln!(out, "There are no secrets.")?;
        }
        for ListedSecret { name, origin, versions, used_by } in secrets {
            writeln!(out, "{name}  {origin}")?;
            for ListedVersion { number, enabled, created_at } in versions {
                let state = if enabled { "enabled " } else { "disabled" };
                let created = Timestamp::from_second(created_at / 1_000_000)?;
                writeln!(out, "  version {number}  {state}  {created}")?;
            }
            for repository in used_by {
                writeln!(out, "  used by {repository}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl VersionArguments {
    fn set_enabled(self, enabled: bool) -> anyhow::Result<ExitCode> {
        let Self { source, version } = self;
        let done = if enabled { "Enabled" } else { "Disabled" };
        let shown = version.clone();
        let answer = ask_about_secrets(&source, SecretsCommand::SetEnabled { version, enabled })?;
        writeln!(stdout(), "{done} {shown}.")?;
        if !enabled {
            print_users(&answer)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl DeleteArguments {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { source, name } = self;
        let shown = name.clone();
        let answer = ask_about_secrets(&source, SecretsCommand::Delete { name })?;
        writeln!(stdout(), "Deleted {shown}.")?;
        print_users(&answer)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the repositories that may fetch nothing more.
fn print_users(answer: &SecretsAnswer) -> anyhow::Result<()> {
    let SecretsAnswer::Changed(users) = answer else { return Ok(()) };
    let mut out = stdout().lock();
    if !users.is_empty() {
        writeln!(out, "Repositories that name the secret, and may fetch nothing more:")?;
    }
    for repository in users {
        writeln!(out, "  {repository}")?;
    }
    Ok(())
}
