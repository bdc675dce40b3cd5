//! The commands of `berth`.

mod adopt;
mod banner;
mod cleanup;
mod env;
mod explain;
mod gc;
mod operator;
mod owner_key;
mod scrub;
mod secrets;
mod serve;
mod signals;
mod token;
mod users;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, FILE_VARIABLE};

/// A registry for container images.
#[derive(Debug, Parser)]
#[command(name = "berth", version, about, max_term_width = 100)]
struct BerthArguments {
    #[command(subcommand)]
    command: BerthCommand,
}

/// The commands. The help of each one is the doc comment of its own type: a comment on a variant would replace it.
#[derive(Debug, Subcommand)]
enum BerthCommand {
    Serve(serve::ServeArguments),
    Gc(gc::GcArguments),
    Cleanup(cleanup::CleanupArguments),
    Explain(explain::ExplainArguments),
    OwnerKey(owner_key::OwnerKeyArguments),
    Scrub(scrub::ScrubArguments),
    Secrets(secrets::SecretsArguments),
    Users(users::UsersArguments),
    Adopt(adopt::AdoptArguments),
    Env(env::EnvArguments),
    Token(token::TokenArguments),
}

/// The flags that say where settings come from.
#[derive(Debug, Args)]
struct SettingsArguments {
    /// The file with the settings.
    #[arg(long, value_name = "FILE", env = FILE_VARIABLE)]
    config: Option<PathBuf>,
    /// The folder that holds everything [default: berth-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl SettingsArguments {
    fn read(&self) -> anyhow::Result<Config> {
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            let is_setting = name.as_encoded_bytes().starts_with(b"BERTH_");
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => variables.push((name, value)),
                _ if !is_setting => {}
                (Ok(name), Err(_)) => bail!("{name} is not in UTF-8"),
                (Err(name), _) => bail!("{} is no setting", name.display()),
            }
        }
        let file = self.config.as_deref().map(Path::new);
        let mut config = Config::read(file, variables.into_iter())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }
}

/// Writes a text, and waits for at most a second: perhaps nobody reads it, and signals should still end the process.
fn write_with_timeout(mut out: impl Write + Send + 'static, text: Vec<u8>) -> io::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let (done, written) = mpsc::channel();
    std::thread::Builder::new().name("write".to_owned()).spawn(move || {
        let _ = done.send(out.write_all(&text).and_then(|()| out.flush()));
    })?;
    written.recv_timeout(TIMEOUT).unwrap_or(Ok(()))
}

/// Quotes a text for a shell, whatever characters it has.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Quotes a text as [`quoted`] does if a shell needs it, for lines that people read too.
fn quoted_if_needed(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.to_owned() } else { quoted(text) }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = BerthArguments::try_parse().unwrap_or_else(|error| {
        // `stderr` is for a mistake in the arguments, and not for a request for help.
        if error.use_stderr() && std::env::args_os().nth(1).is_some_and(|name| name == "env") {
            env::stop_the_shell();
        }
        error.exit()
    });
    let is_env = matches!(arguments.command, BerthCommand::Env(_));
    let outcome = match arguments.command {
        BerthCommand::Serve(serve) => serve.run(),
        BerthCommand::Gc(gc) => gc.run(),
        BerthCommand::Cleanup(cleanup) => cleanup.run(),
        BerthCommand::Explain(explain) => explain.run(),
        BerthCommand::OwnerKey(owner_key) => owner_key.run(),
        BerthCommand::Scrub(scrub) => scrub.run(),
        BerthCommand::Secrets(secrets) => secrets.run(),
        BerthCommand::Users(users) => users.run(),
        BerthCommand::Adopt(adopt) => adopt.run(),
        BerthCommand::Env(env) => env.run(),
        BerthCommand::Token(token) => token.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            if is_env {
                env::stop_the_shell();
            }
            let text = format!("berth: {error:#}\n");
            let _ = write_with_timeout(io::stderr(), text.into_bytes());
            ExitCode::FAILURE
        }
    }
}
