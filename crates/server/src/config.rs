//! Every setting, read once before anything listens.
//!
//! `berth.toml` is overridden by `BERTH_…` variables, and these by flags. A key that nobody knows is an error
//! that names it: a misspelt setting must not be silently without effect.

mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use model::name::Location;
use serde::Deserialize;

pub use units::{Bytes, Span};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/v2/` is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops_listen: OpsListen,
    /// The folder that holds everything.
    pub data: PathBuf,
    /// `sqlite`, or a `postgres://` URL.
    pub database: String,
    /// Where clients reach the server, as `https://registry.example.com`; empty: where it listens.
    pub external_url: String,
    /// The project that the first start makes, with the account that owns everything.
    pub first_project: String,
    /// The location of hosts that name none.
    pub default_location: String,
    /// Domains whose hosts name a location, as `us-west1-docker.DOMAIN`.
    pub domains: Vec<String>,
    /// Encrypted connections.
    pub tls: Tls,
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
    /// Stored bytes.
    pub blobs: Blobs,
    /// Repositories that appear on push.
    pub new_repositories: NewRepositories,
}

/// Where health and metrics are served, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OpsListen {
    /// Nowhere.
    Off,
    /// On a listener of their own.
    At(SocketAddr),
}

impl std::str::FromStr for OpsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("{text:?} is no ADDRESS:PORT, nor off"))
    }
}

impl TryFrom<String> for OpsListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
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

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is written: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,engine=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The audit log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Where it goes.
    pub file: AuditFile,
    /// Whether reads are written down too.
    pub reads: bool,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AuditFile {
    /// Nowhere.
    Off,
    /// To standard error, between the log's lines.
    StandardError,
    /// To a file; a relative path is one within the data folder.
    At(PathBuf),
}

impl TryFrom<String> for AuditFile {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "" => Err("audit.file must name a file, or be - or off"),
            "off" => Ok(Self::Off),
            "-" => Ok(Self::StandardError),
            path => Ok(Self::At(PathBuf::from(path))),
        }
    }
}

/// What one client can take.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long a request's head may take.
    pub header_timeout: Span,
    /// How long a request's body may pause; a response waits four times as long for its reader.
    pub idle_timeout: Span,
    /// How long a shutdown waits for running requests.
    pub drain_timeout: Span,
    /// Memory that all uploads of blobs share, and as much again that those of manifests share.
    pub upload_memory: Bytes,
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

/// Stored bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// After how long a blob is hashed again while it is read.
    pub verify_after: Span,
}

/// Repositories that appear on push.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRepositories {
    /// Whether they accept manifests that name missing content.
    pub sparse: bool,
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
            tls: Tls::default(),
            metadata: Metadata::default(),
            log: Log::default(),
            audit: Audit::default(),
            limits: Limits::default(),
            gc: Gc::default(),
            blobs: Blobs { verify_after: Span::days(7) },
            new_repositories: NewRepositories::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { file: AuditFile::At(PathBuf::from("audit.log")), reads: false }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(30),
            drain_timeout: Span::seconds(60),
            upload_memory: Bytes::mebibytes(24),
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

impl Default for Blobs {
    fn default() -> Self {
        Config::default().blobs
    }
}

/// Every key, as it stands in the file. A variable is `BERTH_` and the key in capitals, `.` as `_`.
pub const KEYS: &[&str] = &[
    "listen",
    "ops_listen",
    "data",
    "database",
    "external_url",
    "first_project",
    "default_location",
    "domains",
    "tls.certificate",
    "tls.key",
    "metadata.listen",
    "metadata.account",
    "log.format",
    "log.level",
    "audit.file",
    "audit.reads",
    "limits.connections",
    "limits.header_timeout",
    "limits.idle_timeout",
    "limits.drain_timeout",
    "limits.upload_memory",
    "gc.grace",
    "gc.retention",
    "gc.interval",
    "gc.upload_expiry",
    "blobs.verify_after",
    "new_repositories.sparse",
];

/// More than any machine has ports, and as much as a semaphore counts on every machine.
const MOST_CONNECTIONS: usize = 100_000_000;

/// Names the file, so it is no setting within it.
pub const FILE_VARIABLE: &str = "BERTH_CONFIG";

impl Config {
    /// Reads the file, if one is named, and lays the variables over it.
    pub fn read(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut table = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?
                .parse::<toml::Table>()
                .with_context(|| format!("{} is not valid", file.display()))?,
            None => toml::Table::new(),
        };
        for (name, value) in variables {
            if name.starts_with("BERTH_") && name != FILE_VARIABLE {
                lay_over(&mut table, &name, &value)?;
            }
        }
        let config: Self = table.try_into().context("a setting is wrong")?;
        config.location()?;
        config.check()?;
        Ok(config)
    }

    /// Refuses values that parse and can only break something later.
    fn check(&self) -> anyhow::Result<()> {
        let Self { limits, gc, .. } = self;
        let connections = 1..=MOST_CONNECTIONS;
        if !connections.contains(&limits.connections) {
            bail!("limits.connections must be between 1 and {MOST_CONNECTIONS}");
        }
        let positive = [
            ("limits.header_timeout", limits.header_timeout),
            ("limits.idle_timeout", limits.idle_timeout),
            ("gc.upload_expiry", gc.upload_expiry),
        ];
        match positive.iter().find(|(_, span)| span.get().is_zero()) {
            Some((name, _)) => bail!("{name} must be more than nothing"),
            None => Ok(()),
        }
    }

    /// The location of hosts that name none.
    pub fn location(&self) -> anyhow::Result<Location> {
        let location = self.default_location.parse();
        location.with_context(|| format!("default_location {:?}", self.default_location))
    }

    /// How the engine is set.
    pub fn engine(&self) -> engine::Settings {
        engine::Settings {
            new_repositories_sparse: self.new_repositories.sparse,
            gc_grace: self.gc.grace.get(),
            trash_retention: self.gc.retention.get(),
            upload_expiry: self.gc.upload_expiry.get(),
            verify_after: self.blobs.verify_after.get(),
            upload_memory: self.limits.upload_memory.get(),
        }
    }
}

fn lay_over(table: &mut toml::Table, name: &str, value: &str) -> anyhow::Result<()> {
    let variable = |key: &str| format!("BERTH_{}", key.to_uppercase().replace('.', "_"));
    let Some(key) = KEYS.iter().find(|key| variable(key) == name) else {
        bail!("{name} is no setting; see `berth serve --help` for those there are");
    };
    // A variable is text; `true`, `5` and `["a"]` are taken for what they are in TOML.
    let value = match format!("v = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("v").expect("just written"),
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let mut place = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            break;
        }
        let inner = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = inner.as_table_mut().with_context(|| format!("{part} is no table"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("berth.toml");
        std::fs::write(&path, file).expect("writable");
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::read(Some(&path), variables).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn variables_override_the_file() {
        let file = "listen = \"127.0.0.1:1\"\n[gc]\ngrace = \"2h\"\nretention = \"0s\"\n";
        let config = read(file, &[("BERTH_GC_GRACE", "30m"), ("HOME", "/")]).expect("valid");
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.gc.grace.get(), Duration::from_secs(1800));
        assert_eq!(config.gc.retention.get(), Duration::ZERO);
        assert_eq!(config.gc.interval.get(), Duration::from_secs(300));
        let config = read("", &[("BERTH_NEW_REPOSITORIES_SPARSE", "true")]).expect("valid");
        assert!(config.new_repositories.sparse);
        let config = read("", &[("BERTH_OPS_LISTEN", "off")]).expect("valid");
        assert_eq!(config.ops_listen, OpsListen::Off);
        let variables = [("BERTH_AUDIT_FILE", "-"), ("BERTH_AUDIT_READS", "true")];
        let config = read("[audit]\nfile = \"off\"", &variables).expect("valid");
        assert_eq!((config.audit.file, config.audit.reads), (AuditFile::StandardError, true));
    }

    #[test]
    fn unknown_keys_are_named() {
        assert!(read("lisen = 5", &[]).expect_err("misspelt").contains("lisen"));
        assert!(read("[gc]\ngrase = \"1s\"", &[]).expect_err("misspelt").contains("grase"));
        let error = read("", &[("BERTH_LISEN", "x")]).expect_err("misspelt");
        assert!(error.contains("BERTH_LISEN"));
        assert!(read("[gc]\ngrace = \"soon\"", &[]).expect_err("no span").contains("soon"));
        assert!(read("default_location = \"A\"", &[]).expect_err("capital").contains("\"A\""));
    }

    #[test]
    fn values_that_break_something_are_named() {
        for (table, key, value) in [
            ("limits", "connections", "0"),
            ("limits", "connections", "9223372036854775807"),
            ("limits", "header_timeout", "\"0s\""),
            ("limits", "idle_timeout", "\"0ms\""),
            ("gc", "upload_expiry", "\"0s\""),
            ("audit", "file", "\"\""),
        ] {
            let error = read(&format!("[{table}]\n{key} = {value}"), &[]).expect_err("refused");
            assert!(error.contains(&format!("{table}.{key}")), "{error}");
        }
        read("[gc]\ngrace = \"0s\"\nretention = \"0s\"\ninterval = \"0s\"", &[]).expect("at once");
        read("[limits]\nidle_timeout = \"36500d\"\ndrain_timeout = \"0s\"", &[]).expect("patient");
    }

    #[test]
    fn every_key_is_listed() {
        for key in KEYS {
            let (table, key) = key.split_once('.').unwrap_or(("", key));
            let toml = if table.is_empty() {
                format!("{key} = {{}}")
            } else {
                format!("[{table}]\n{key} = {{}}")
            };
            let error = read(&toml, &[]).expect_err("a table is no value of any setting");
            assert!(!error.contains("unknown field"), "{error}");
        }
    }
}
