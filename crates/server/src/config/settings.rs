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
    /// The address on which clients are served.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// The address on which health and metrics are served, or off.
    pub ops_listen: OpsListen,
    /// The folder that holds everything.
    pub data: PathBuf,
    /// `sqlite`, or a `postgres://` URL.
    pub database: String,
    /// The URL by which clients reach the server, as `https://registry.example.com`. Empty: the address that they
    /// connected to.
    pub external_url: String,
    /// The project that the first start makes, beside that of the account that owns everything.
    pub first_project: String,
    /// The location of hosts that name none.
    pub default_location: String,
    /// Domains whose hosts name a location, as `us-west1-docker.DOMAIN`.
    pub domains: Vec<String>,
    /// Proxies whose `Forwarded` or `X-Forwarded-…` headers are believed.
    pub proxies: Vec<NetworkSetting>,
    /// The people and service accounts that administer everything, as `user:EMAIL` and `serviceAccount:EMAIL`.
    pub admins: Vec<String>,
    /// Encrypted connections.
    pub tls: TlsSettings,
    /// The tokens that the server issues.
    pub tokens: TokenSettings,
    /// The sessions of people.
    pub sessions: SessionSettings,
    /// The metadata server.
    pub metadata: MetadataSettings,
    /// The log.
    pub log: LogSettings,
    /// The audit log.
    pub audit: AuditSettings,
    /// Limits of what clients can take.
    pub limits: LimitSettings,
    /// Collection of content that nothing refers to.
    pub gc: GcSettings,
    /// Cleanup policies.
    pub cleanup: CleanupSettings,
    /// The settings of what remote repositories keep, and for how long.
    pub cache: CacheSettings,
    /// The record of what happened.
    pub events: EventSettings,
    /// Checks of stored bytes.
    pub blobs: BlobSettings,
    /// Repositories that appear on push.
    pub new_repositories: NewRepositories,
    /// The webhooks that are told of changes.
    pub notifications: Vec<WebhookSettings>,
    /// The targets that the server may reach.
    pub egress: EgressSettings,
    /// Web pages of other origins.
    pub cors: CorsSettings,
    /// The names by which one repository is reached without its project and its own name.
    pub mirror: Vec<MirrorSettings>,
    /// The hosts that remote repositories fetch from, where they need settings.
    pub upstream: Vec<UpstreamSettings>,
}

/// A host that remote repositories fetch from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The name of the host, perhaps with a port.
    pub host: String,
    /// A file with the certificates of the authorities that alone count for the host, in PEM. Empty: those of the
    /// machine.
    pub ca: PathBuf,
    /// The most bytes of layers that a process fetches from the host in a second. Without it, there is no limit.
    pub bandwidth: Option<MemorySetting>,
}

/// A mirror: a host, or a namespace of containerd's, whose images are those of one repository. One of the two is set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorSettings {
    /// The host by which clients reach the mirror, as `hub.example.com`, without a port.
    pub host: String,
    /// The registry that containerd asks for, as `docker.io`.
    pub ns: String,
    /// The repository, as `projects/P/locations/L/repositories/R`.
    pub repository: String,
}

/// Encrypted connections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// A file with the certificate and its chain, in PEM. Empty: connections are not encrypted.
    pub certificate: PathBuf,
    /// A file with the certificate's private key, in PEM.
    pub key: PathBuf,
}

/// The tokens that the server issues.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// The lifetime of tokens from `/v2/token`, unless the credential ends sooner.
    pub registry_lifetime: DurationSetting,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { registry_lifetime: DurationSetting::seconds(3600) }
    }
}

/// The sessions of people.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// The time without a use after which a session ends.
    pub idle: DurationSetting,
    /// The time after the sign-in at which a session ends.
    pub lifetime: DurationSetting,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { idle: DurationSetting::seconds(12 * 3600), lifetime: DurationSetting::days(7) }
    }
}

/// The metadata server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataSettings {
    /// The address of the metadata server, or off. Every program that reaches it acts as the account.
    pub listen: OpsListen,
    /// The service account that the metadata server speaks for.
    pub account: String,
}

impl Default for MetadataSettings {
    fn default() -> Self {
        Self { listen: OpsListen::Off, account: String::new() }
    }
}

/// Collection of content that nothing refers to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcSettings {
    /// The time for which content that nothing refers to is kept.
    pub grace: DurationSetting,
    /// The time for which a deleted file stays in the trash.
    pub retention: DurationSetting,
    /// The interval between collections.
    pub interval: DurationSetting,
    /// The time after its last request at which an upload expires.
    pub upload_expiry: DurationSetting,
}

/// Cleanup policies.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanupSettings {
    /// The interval at which each repository is cleaned.
    pub interval: DurationSetting,
}

/// The settings of what remote repositories keep, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The interval at which repositories that hold more than they may delete what nobody uses.
    pub interval: DurationSetting,
    /// The time for which they keep what was pulled or fetched.
    pub margin: DurationSetting,
    /// The time for which a tag or a list of tags is served without asking the upstream.
    pub fresh_for: DurationSetting,
    /// The time for which a pull of a cached tag waits for the upstream's word.
    pub revalidation_timeout: DurationSetting,
}

/// The record of what happened.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// The time for which events and changes of tags are kept. Zero: for ever.
    pub keep: DurationSetting,
}

/// Checks of stored bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobSettings {
    /// The time after which a blob is hashed again: by the scrub, or while it is read.
    pub verify_after: DurationSetting,
    /// The bytes that the scrub reads in a second. Zero: the scrub does not run by itself.
    pub scrub_rate: MemorySetting,
}

/// Repositories that appear on push.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRepositories {
    /// True if they accept manifests that name missing content.
    pub sparse: bool,
    /// The hosts on which they appear.
    pub on_push: OnPush,
}

/// The hosts on which a push creates a missing repository, if the caller may create it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum OnPush {
    /// The hosts of Container Registry (`gcr.io`), as in Artifact Registry.
    #[default]
    RegistryHosts,
    /// All hosts.
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

/// A webhook that is told of changes.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// The webhook's name, in the log, in metrics, and for the messages that wait for it.
    pub name: String,
    /// The URL that messages are posted to. The URL may hold a secret.
    pub url: String,
    /// A file with the token that is sent with each message. Empty: no file.
    pub token_file: PathBuf,
    /// The environment variable with the token. Empty: no variable.
    pub token_variable: String,
    /// The subscription that messages name. Empty: `projects/PROJECT/subscriptions/NAME`.
    pub subscription: String,
    /// The projects whose changes are told. Both lists empty: all changes are told.
    pub projects: Vec<String>,
    /// The repositories whose changes are told, as `projects/P/locations/L/repositories/R`.
    pub repositories: Vec<String>,
}

impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The targets that the server may reach.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// The networks, addresses and host names that may be reached besides public addresses.
    pub allow: Vec<String>,
    /// The URL of the proxy through which requests leave, as `http://proxy:3128`. Empty: there is none. The URL may hold
    /// a password.
    pub proxy: String,
    /// The networks, addresses and host names that are reached without the proxy.
    pub no_proxy: Vec<String>,
    /// The hosts that give tokens for the credentials of registries at other hosts.
    pub token_hosts: Vec<String>,
}

impl fmt::Debug for EgressSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allow, proxy, no_proxy, token_hosts } = self;
        let mut shown = f.debug_struct("EgressSettings");
        shown.field("allow", allow).field("has_proxy", &!proxy.is_empty());
        shown.field("no_proxy", no_proxy).field("token_hosts", token_hosts).finish()
    }
}

/// Web pages of other origins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// The origins whose pages browsers allow to read and write here, as `https://ui.example.com`.
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
            admins: Vec::new(),
            tls: TlsSettings::default(),
            tokens: TokenSettings::default(),
            sessions: SessionSettings::default(),
            metadata: MetadataSettings::default(),
            log: LogSettings::default(),
            audit: AuditSettings::default(),
            limits: LimitSettings::default(),
            gc: GcSettings::default(),
            cleanup: CleanupSettings { interval: DurationSetting::seconds(3600) },
            cache: CacheSettings {
                interval: DurationSetting::seconds(10),
                margin: DurationSetting::seconds(600),
                fresh_for: DurationSetting::seconds(3600),
                revalidation_timeout: DurationSetting::seconds(2),
            },
            events: EventSettings { keep: DurationSetting::days(400) },
            blobs: BlobSettings {
                verify_after: DurationSetting::days(7),
                scrub_rate: MemorySetting::mebibytes(16),
            },
            new_repositories: NewRepositories::default(),
            notifications: Vec::new(),
            egress: EgressSettings::default(),
            cors: CorsSettings::default(),
            mirror: Vec::new(),
            upstream: Vec::new(),
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

impl Default for CacheSettings {
    fn default() -> Self {
        Config::default().cache
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Config::default().events
    }
}

impl Default for BlobSettings {
    fn default() -> Self {
        Config::default().blobs
    }
}
