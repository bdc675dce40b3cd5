//! `berth env`: what points Google's tools at a registry.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::host::{domain_of, without_port};

use super::{Source, quoted};
use crate::data::addresses;

/// Print what points gcloud at this registry, for a shell to read.
///
/// Nothing is changed on the machine: the settings hold for the shell that reads them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  eval \"$(berth env)\"
  eval \"$(berth env --url https://us-west1-docker.example.com --ca ca.pem)\"")]
pub(super) struct Env {
    #[command(flatten)]
    source: Source,
    /// Where the registry is [default: the one that runs on the data folder].
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

impl Env {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let (url, domain) = match self.url {
            // What the settings of this machine say is of another registry, perhaps.
            Some(url) => (url, None),
            None => {
                let running = addresses(&config.data)?;
                (running.url, Some(running.domain))
            }
        };
        let url = url.trim_end_matches('/');
        let host = host_of(url)?.to_ascii_lowercase();
        let own = || config.domains.first().map_or("localhost", String::as_str);
        let domain = domain.as_deref().or_else(|| domain_of(&host)).unwrap_or_else(own);
        let mut lines = Vec::new();
        for api in APIS {
            lines.push(format!(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}={}",
                quoted(&format!("{url}/"))
            ));
        }
        // Images are named by a location's host; gcloud takes what stands behind it for the domain.
        let port = &host[without_port(&host).len()..];
        lines.push(format!("CLOUDSDK_ARTIFACTS_DOMAIN={}", quoted(&format!("{domain}{port}"))));
        lines.push("CLOUDSDK_ARTIFACTS_ALLOW_UNRECOGNIZED_REGISTRY=true".to_owned());
        let introspect = quoted(&format!("{url}/introspect"));
        lines.push(format!("CLOUDSDK_AUTH_TOKEN_INTROSPECTION_ENDPOINT={introspect}"));
        if let Some(ca) = &self.ca {
            let ca = std::fs::canonicalize(ca).with_context(|| format!("{}", ca.display()))?;
            let ca = quoted(&ca.display().to_string());
            // Where it is set, requests' own variable wins over gcloud's setting.
            lines.push(format!("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE={ca}"));
            lines.push(format!("REQUESTS_CA_BUNDLE={ca}"));
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "export {line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The host that a URL names, with its port.
fn host_of(url: &str) -> anyhow::Result<&str> {
    let behind = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let behind = behind.context("--url must begin with http:// or https://")?;
    Ok(behind.split_once('/').map_or(behind, |(host, _)| host))
}
