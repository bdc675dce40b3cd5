//! `berth owner-key`: makes a new key for the account that owns everything, for a key that is lost.

use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::operator::ask;
use super::{SettingsArguments, env, quoted_if_needed};
use crate::operator::{NewOwnerKey, OperatorCommand};

/// Makes a new key for the account that owns everything.
///
/// With this command, the operator of the server gets access again if the key is lost. If the account is missing, it is
/// made anew. If it has lost its roles or its project, it gets them back. Other keys stay good until they are deleted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth owner-key
  berth owner-key --data /var/lib/berth --output key.json")]
pub(super) struct OwnerKeyArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The key file to write [default: owner-key.json in the data folder].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The URL by which clients reach the registry [default: the one that the server knows].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl OwnerKeyArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let url = self.url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let default_path = config.data.join("owner-key.json");
        // Run by root, a file in the server's folder gets the server's user, and a file elsewhere stays root's.
        let user = self.output.is_none().then(|| fs::metadata(&config.data).ok()).flatten();
        let path = self.output.unwrap_or(default_path);
        // The file is made first, so that no key is made that cannot be written down.
        let new = path.with_added_extension(format!("{}.new", std::process::id()));
        let context = || format!("cannot write {}", new.display());
        let file = private_file(&new, user.as_ref()).with_context(context)?;
        let made = ask(&config, &OperatorCommand::OwnerKey { url }, |_: NewOwnerKey| Ok(()))
            .and_then(|made| write_key_file(file, &new, &path, &made).map(|old| (made, old)));
        let (made, old) = made.inspect_err(|_| drop(fs::remove_file(&new)))?;
        let mut out = std::io::stdout().lock();
        for repaired in &made.repaired {
            writeln!(out, "{repaired}")?;
        }
        if let Some(old) = old {
            writeln!(out, "The file that was there before is {} now.", old.display())?;
        }
        let key = quoted_if_needed(&path.display().to_string());
        writeln!(out, "{} has a new key, {}, in {key}.", made.email, made.key_id)?;
        env::write_sign_in(&mut out, &config.data, None, &key)?;
        writeln!(
            out,
            "  gcloud iam service-accounts keys list --managed-by=user --iam-account={}",
            made.email
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the key file under its name. A file that was there is renamed, and its new path returned.
fn write_key_file(
    mut file: File,
    new: &Path,
    path: &Path,
    made: &NewOwnerKey,
) -> anyhow::Result<Option<PathBuf>> {
    let context = || format!("cannot write {}", path.display());
    file.write_all(made.key_file.as_bytes()).with_context(context)?;
    file.sync_all().with_context(context)?;
    let old = path.with_added_extension("old");
    let moved = fs::rename(path, &old).is_ok().then_some(old);
    fs::rename(new, path).with_context(context)?;
    Ok(moved)
}

/// Makes a file for one user alone.
fn private_file(path: &Path, user: Option<&Metadata>) -> std::io::Result<File> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(user) = user.filter(|_| rustix::process::geteuid().is_root()) {
        chown(path, Some(user.uid()), Some(user.gid()))?;
    }
    Ok(file)
}
