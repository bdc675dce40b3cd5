//! `berth token`: makes a token from a key file, without asking a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use identity::{Clock, SystemClock};

/// Prints a token for a service account, good for an hour.
///
/// The token is signed with the account's own key, so that no server is asked. It is a password for the user
/// oauth2accesstoken, and a bearer token for the APIs. The token cannot be taken back by itself: it ends with its hour,
/// with the key, or with the account.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth token --key key.json | docker login -u oauth2accesstoken --password-stdin registry.example.com
  curl -H \"Authorization: Bearer $(berth token --key key.json)\" https://registry.example.com/v1/projects")]
pub(super) struct TokenArguments {
    /// The account's key file.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl TokenArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.key.display();
        let text =
            std::fs::read_to_string(&self.key).with_context(|| format!("cannot read {name}"))?;
        let token = identity::self_signed_token(&text, SystemClock.now())
            .with_context(|| format!("{name} is no service account's key file"))?;
        writeln!(std::io::stdout(), "{token}")?;
        Ok(ExitCode::SUCCESS)
    }
}
