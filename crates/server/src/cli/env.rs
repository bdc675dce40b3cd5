//! `berth env`: prints the variables that point Google's tools at a registry.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::registry_host::{domain_of_location_host, without_port};

use super::{SettingsArguments, quoted, quoted_if_needed};
use crate::config::Config;
use crate::data::read_addresses;

/// Prints the variables that point gcloud at this registry, for a shell to evaluate.
///
/// Nothing is changed on the machine: the settings hold for the shell that evaluates them. gcloud gets a configuration
/// of its own for each registry, unless CLOUDSDK_CONFIG names one already, so that signing in here signs nobody out
/// elsewhere. If this command fails it prints `false`, so that a command after `&&` is not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  eval \"$(berth env)\" && gcloud auth list
  eval \"$(berth env --url https://us-west1-docker.example.com --ca ca.pem)\"")]
pub(super) struct EnvArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The URL of the registry [default: that of the server that runs on the data folder].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The APIs that gcloud asks about images and accounts, as its overrides name them. Without an override it sends the
/// caller's token to Google: of On-Demand Scanning nothing is served but operations, and it must not go there either.
const APIS: [&str; 7] = [
    "ARTIFACTREGISTRY",
    "CLOUDRESOURCEMANAGER",
    "CONTAINERANALYSIS",
    "IAM",
    "IAMCREDENTIALS",
    "ONDEMANDSCANNING",
    "SERVICEUSAGE",
];

/// The variable that names the folder in which gcloud keeps its accounts and settings.
const CONFIG_VARIABLE: &str = "CLOUDSDK_CONFIG";
/// The variable that chooses one of several named configurations in gcloud's folder.
const ACTIVE_CONFIG_VARIABLE: &str = "CLOUDSDK_ACTIVE_CONFIG_NAME";
/// The folder of gcloud's configurations for registries, below the user's folder for configuration.
const CONFIG_FOLDER: &str = "berth/gcloud";

/// Prints `false`, which stops `eval "$(berth env)" && gcloud …`: evaluating nothing would succeed, and gcloud would
/// ask Google.
pub(super) fn stop_the_shell() {
    let _ = writeln!(std::io::stdout(), "false");
}

/// Writes the command that points gcloud at the server on a data folder, and signs in with a key file. `ca` and
/// `key_file` are quoted for a shell already.
pub(super) fn write_sign_in(
    out: &mut impl Write,
    data: &Path,
    ca: Option<&str>,
    key_file: &str,
) -> std::io::Result<()> {
    let env = command(data, ca);
    writeln!(out, "Next:\n")?;
    writeln!(
        out,
        "  eval \"$({env})\" && gcloud auth activate-service-account --key-file={key_file}"
    )
}

/// Returns the `berth env` command for the server on a data folder, which is not named if it is the default one. `ca`
/// is quoted for a shell already.
fn command(data: &Path, ca: Option<&str>) -> String {
    let mut command = "berth env".to_owned();
    if data != Config::default().data {
        command += &format!(" --data {}", quoted_if_needed(&data.display().to_string()));
    }
    if let Some(ca) = ca {
        command += &format!(" --ca {ca}");
    }
    command
}

impl EnvArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let (url, domain, dev) = match self.url.clone() {
            // The settings of this machine may be those of another registry.
            Some(url) => (url, None, None),
            None => {
                let running = read_addresses(&config.data)?;
                (running.url, Some(running.domain), Some(running.dev))
            }
        };
        let url = url.trim_end_matches('/');
        let host = host_of(url)?.to_ascii_lowercase();
        let default_domain = || config.domains.first().map_or("localhost", String::as_str);
        let domain = domain
            .as_deref()
            .or_else(|| domain_of_location_host(&host))
            .unwrap_or_else(default_domain);
        let mut lines = Vec::new();
        for api in APIS {
            let setting = format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}");
            lines.push(export(&setting, &format!("{url}/")));
        }
        // gcloud takes the part of an image's host after the location for the domain, with the port.
        let port = &host[without_port(&host).len()..];
        lines.push(export("CLOUDSDK_ARTIFACTS_DOMAIN", &format!("{domain}{port}")));
        lines.push("export CLOUDSDK_ARTIFACTS_ALLOW_UNRECOGNIZED_REGISTRY=true".to_owned());
        // A key file may have been made before the registry had this address.
        lines.push(export("CLOUDSDK_AUTH_TOKEN_HOST", &format!("{url}/token")));
        let introspect = format!("{url}/introspect");
        lines.push(export("CLOUDSDK_AUTH_TOKEN_INTROSPECTION_ENDPOINT", &introspect));
        if let Some(dev) = dev {
            // In --dev, gcloud asks for no account. Otherwise it asks again, also in a shell in which it did not
            // before.
            lines.push(format!("export CLOUDSDK_AUTH_DISABLE_CREDENTIALS={dev}"));
        }
        if let Some(ca) = &self.ca {
            let ca = std::fs::canonicalize(ca).with_context(|| format!("{}", ca.display()))?;
            let ca = ca.display().to_string();
            // The variable of Python's `requests`, if it is set, wins over gcloud's setting. So both are set.
            lines.push(export("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", &ca));
            lines.push(export("REQUESTS_CA_BUNDLE", &ca));
        }
        lines.extend(configuration(&host)?);
        // The lines are written at once: half of them would point gcloud at two registries.
        std::io::stdout().lock().write_all((lines.join("\n") + "\n").as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn export(name: &str, value: &str) -> String {
    format!("export {name}={}", quoted(value))
}

/// Returns the lines that give gcloud a configuration for this registry, unless the caller has chosen one. A
/// configuration that this command has set in the same shell before does not count as the caller's choice.
fn configuration(host: &str) -> anyhow::Result<Vec<String>> {
    let set = std::env::var_os(CONFIG_VARIABLE).filter(|folder| !folder.is_empty());
    let user = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let user = user.filter(|folder| folder.is_absolute());
    let user = user.or_else(|| Some(std::env::home_dir()?.join(".config")));
    let configurations = user.map(|folder| folder.join(CONFIG_FOLDER));
    if set.as_deref().is_some_and(|set| !is_within(set, configurations.as_deref())) {
        return Ok(Vec::new());
    }
    let configurations =
        configurations.context("HOME is not set; name a folder for gcloud with CLOUDSDK_CONFIG")?;
    let folder = configurations.join(host.replace(':', "_").replace(['[', ']'], ""));
    let folder = folder.to_str().context("the path of the home folder is not in UTF-8")?;
    let mut lines = vec![export(CONFIG_VARIABLE, folder)];
    // The variable names a configuration of the folder that gcloud used before.
    if set.is_none() && std::env::var_os(ACTIVE_CONFIG_VARIABLE).is_some() {
        lines.push(format!("unset {ACTIVE_CONFIG_VARIABLE}"));
    }
    Ok(lines)
}

fn is_within(folder: &OsStr, parent: Option<&Path>) -> bool {
    parent.is_some_and(|parent| Path::new(folder).starts_with(parent))
}

/// Returns the host of a URL, with its port.
fn host_of(url: &str) -> anyhow::Result<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.context("--url must begin with http:// or https://")?;
    Ok(rest.split_once('/').map_or(rest, |(host, _)| host))
}
