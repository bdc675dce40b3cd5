//! The settings and their defaults, in the order in which the README lists them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::listening::{OpsListen, listen_address};
use web::settings::{AuditSettings, LimitSettings, LogSettings};
use web::units::{DurationSetting, MemorySetting, NetworkSetting};

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
    pub proxies: Vec<NetworkSetting>,
    /// Encrypted connections.
    pub tls: TlsSettings,
    /// The tokens that it makes.
    pub tokens: TokenSettings,
    /// The metadata server.
    pub metadata: MetadataSettings,
    /// The log.
    pub log: LogSettings,
    /// The audit log.
    pub audit: AuditSettings,
    /// What one client can take.
    pub limits: LimitSettings,
    /// Collecting what nothing refers to.
    pub gc: GcSettings,
    /// Cleanup policies.
    pub cleanup: CleanupSettings,
    /// Stored bytes.
    pub blobs: BlobSettings,
    /// Repositories that appear on push.
    pub new_repositories: NewRepositories,
    /// Who is told of changes.
    pub notifications: Vec<WebhookSettings>,
    /// What the server may reach.
    pub egress: EgressSettings,
    /// Web pages of other origins.
    pub cors: CorsSettings,
}

/// Encrypted connections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// A file with the certificate and those that vouch for it, in PEM. Empty: connections are not encrypted.
    pub certificate: PathBuf,
    /// A file with the certificate's private key, in PEM.
    pub key: PathBuf,
}

/// The tokens that it makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// How long what `/v2/token` answers lives, unless the credential ends sooner.
    pub registry_lifetime: DurationSetting,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { registry_lifetime: DurationSetting::seconds(3600) }
    }
}

/// The metadata server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataSettings {
    /// Where it listens, if it does. Whoever reaches it is the account.
    pub listen: OpsListen,
    /// The service account that it speaks for.
    pub account: String,
}

impl Default for MetadataSettings {
    fn default() -> Self {
        Self { listen: OpsListen::Off, account: String::new() }
    }
}

/// Collecting what nothing refers to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcSettings {
    /// How long something that nothing refers to is kept.
    pub grace: DurationSetting,
    /// How long a removed file stays in the trash.
    pub retention: DurationSetting,
    /// How often it is looked for.
    pub interval: DurationSetting,
    /// How long an upload without a request lives.
    pub upload_expiry: DurationSetting,
}

/// Cleanup policies.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanupSettings {
    /// How often each repository is cleaned.
    pub interval: DurationSetting,
}

/// Stored bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobSettings {
    /// After how long a blob is hashed again: by the scrub, or while it is read.
    pub verify_after: DurationSetting,
    /// How many bytes a second the scrub reads; none: it does not run by itself.
    pub scrub_rate: MemorySetting,
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
pub struct WebhookSettings {
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

impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the server may reach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Networks, addresses and host names, besides public addresses.
    pub allow: Vec<String>,
}

/// Web pages of other origins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
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
            tls: TlsSettings::default(),
            tokens: TokenSettings::default(),
            metadata: MetadataSettings::default(),
            log: LogSettings::default(),
            audit: AuditSettings::default(),
            limits: LimitSettings::default(),
            gc: GcSettings::default(),
            cleanup: CleanupSettings { interval: DurationSetting::seconds(3600) },
            blobs: BlobSettings {
                verify_after: DurationSetting::days(7),
                scrub_rate: MemorySetting::mebibytes(16),
            },
            new_repositories: NewRepositories::default(),
            notifications: Vec::new(),
            egress: EgressSettings::default(),
            cors: CorsSettings::default(),
        }
    }
}

impl Default for GcSettings {
    fn default() -> Self {
        Self {
            grace: DurationSetting::days(1),
            retention: DurationSetting::seconds(3600),
            interval: DurationSetting::seconds(300),
            upload_expiry: DurationSetting::days(1),
        }
    }
}

impl Default for CleanupSettings {
    fn default() -> Self {
        Config::default().cleanup
    }
}

impl Default for BlobSettings {
    fn default() -> Self {
        Config::default().blobs
    }
}
