//! The settings and their defaults, in the order in which the README lists them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::listening::{OpsListen, listen_address};
use web::settings::{Audit, Limits, Log};
use web::units::{Bytes, Network, Span};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/v2/` is served.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops_listen: OpsListen,
    /// The folder that holds everything.
    pub data: PathBuf,
    /// `sqlite`, or a `postgres://` URL.
    pub database: String,
    /// Where clients reach the server, as `https://registry.example.com`; empty: where it listens.
    pub external_url: String,
    /// The project that the first start makes, beside the one of the account that owns everything.
    pub first_project: String,
    /// The location of hosts that name none.
    pub default_location: String,
    /// Domains whose hosts name a location, as `us-west1-docker.DOMAIN`.
    pub domains: Vec<String>,
    /// Proxies whose `Forwarded` or `X-Forwarded-…` headers are believed.
    pub proxies: Vec<Network>,
    /// Encrypted connections.
    pub tls: Tls,
    /// The tokens that it makes.
    pub tokens: Tokens,
    /// The metadata server.
    pub metadata: Metadata,
    /// The log.
    pub log: Log,
    /// The audit log.
    pub audit: Audit,
    /// What one client can take.
    pub limits: Limits,
    /// Collecting what nothing refers to.
    pub gc: Gc,
    /// Cleanup policies.
    pub cleanup: Cleanup,
    /// Stored bytes.
    pub blobs: Blobs,
    /// Repositories that appear on push.
    pub new_repositories: NewRepositories,
    /// Who is told of changes.
    pub notifications: Vec<Notification>,
    /// What the server may reach.
    pub egress: Egress,
    /// Web pages of other origins.
    pub cors: Cors,
}

/// Encrypted connections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A file with the certificate and those that vouch for it, in PEM. Empty: connections are not encrypted.
    pub certificate: PathBuf,
    /// A file with the certificate's private key, in PEM.
    pub key: PathBuf,
}

/// The tokens that it makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// How long what `/v2/token` answers lives, unless the credential ends sooner.
    pub registry_lifetime: Span,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { registry_lifetime: Span::seconds(3600) }
    }
}

/// The metadata server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    /// Where it listens, if it does. Whoever reaches it is the account.
    pub listen: OpsListen,
    /// The service account that it speaks for.
    pub account: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { listen: OpsListen::Off, account: String::new() }
    }
}

/// Collecting what nothing refers to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gc {
    /// How long something that nothing refers to is kept.
    pub grace: Span,
    /// How long a removed file stays in the trash.
    pub retention: Span,
    /// How often it is looked for.
    pub interval: Span,
    /// How long an upload without a request lives.
    pub upload_expiry: Span,
}

/// Cleanup policies.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cleanup {
    /// How often each repository is cleaned.
    pub interval: Span,
}

/// Stored bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// After how long a blob is hashed again: by the scrub, or while it is read.
    pub verify_after: Span,
    /// How many bytes a second the scrub reads; none: it does not run by itself.
    pub scrub_rate: Bytes,
}

/// Repositories that appear on push.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRepositories {
    /// Whether they accept manifests that name missing content.
    pub sparse: bool,
    /// Where they appear.
    pub on_push: OnPush,
}

/// Where repositories appear on push, by who may create them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum OnPush {
    /// On the hosts of Container Registry, as Google's do.
    #[default]
    RegistryHosts,
    /// Everywhere.
    Always,
}

impl TryFrom<String> for OnPush {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "gcr.io" => Ok(Self::RegistryHosts),
            "always" => Ok(Self::Always),
            _ => Err(format!("new_repositories.on_push is {text:?}, and must be gcr.io or always")),
        }
    }
}

impl From<OnPush> for engine::CreateOnPush {
    fn from(setting: OnPush) -> Self {
        match setting {
            OnPush::RegistryHosts => Self::RegistryHosts,
            OnPush::Always => Self::Always,
        }
    }
}

/// Who is told of changes.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notification {
    /// What it is called, in the log and where messages wait for it.
    pub name: String,
    /// Where messages are posted to. It may hold a secret.
    pub url: String,
    /// A file with the token that is sent along. Empty: none.
    pub token_file: PathBuf,
    /// A variable of the environment with the token. Empty: none.
    pub token_variable: String,
    /// What messages say that they come from. Empty: `projects/PROJECT/subscriptions/NAME`.
    pub subscription: String,
    /// Only what happens in these projects, …
    pub projects: Vec<String>,
    /// … or in these repositories, `projects/P/locations/L/repositories/R`.
    pub repositories: Vec<String>,
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the server may reach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Networks, addresses and host names, besides public addresses.
    pub allow: Vec<String>,
}

/// Web pages of other origins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// The origins whose pages browsers let read and write here, as `https://ui.example.com`.
    pub origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5050)),
            ops_listen: OpsListen::At(SocketAddr::from(([127, 0, 0, 1], 5051))),
            data: PathBuf::from("berth-data"),
            database: "sqlite".to_owned(),
            external_url: String::new(),
            first_project: "my-project".to_owned(),
            default_location: "us-west1".to_owned(),
            domains: Vec::new(),
            proxies: Vec::new(),
            tls: Tls::default(),
            tokens: Tokens::default(),
            metadata: Metadata::default(),
            log: Log::default(),
            audit: Audit::default(),
            limits: Limits::default(),
            gc: Gc::default(),
            cleanup: Cleanup { interval: Span::seconds(3600) },
            blobs: Blobs { verify_after: Span::days(7), scrub_rate: Bytes::mebibytes(16) },
            new_repositories: NewRepositories::default(),
            notifications: Vec::new(),
            egress: Egress::default(),
            cors: Cors::default(),
        }
    }
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            grace: Span::days(1),
            retention: Span::seconds(3600),
            interval: Span::seconds(300),
            upload_expiry: Span::days(1),
        }
    }
}

impl Default for Cleanup {
    fn default() -> Self {
        Config::default().cleanup
    }
}

impl Default for Blobs {
    fn default() -> Self {
        Config::default().blobs
    }
}
