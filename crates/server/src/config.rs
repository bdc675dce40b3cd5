//! Every setting, read once before anything listens.
//!
//! `berth.toml` is overridden by `BERTH_…` variables, and these by flags. A key that nobody knows is an error
//! that names it: a misspelt setting must not be silently without effect.

mod settings;
mod units;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use model::name::Location;

pub use settings::{
    Audit, AuditFile, Blobs, Cleanup, Config, Cors, Egress, Gc, Limits, Log, LogFormat, Metadata,
    NewRepositories, Notification, OnPush, OpsListen, Tls, Tokens,
};
pub use units::{Bytes, Span};

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
    "tokens.registry_lifetime",
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
    "cleanup.interval",
    "blobs.verify_after",
    "new_repositories.sparse",
    "new_repositories.on_push",
    "notifications",
    "egress.allow",
    "cors.origins",
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
        let Self { limits, gc, tokens, .. } = self;
        let connections = 1..=MOST_CONNECTIONS;
        if !connections.contains(&limits.connections) {
            bail!("limits.connections must be between 1 and {MOST_CONNECTIONS}");
        }
        // Docker takes a shorter one for one of a minute, and fails when that ends.
        if !(60..=3600).contains(&tokens.registry_lifetime.get().as_secs()) {
            bail!("tokens.registry_lifetime must be between 60s and 1h");
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
            create_on_push: self.new_repositories.on_push.into(),
            gc_grace: self.gc.grace.get(),
            trash_retention: self.gc.retention.get(),
            upload_expiry: self.gc.upload_expiry.get(),
            verify_after: self.blobs.verify_after.get(),
            upload_memory: self.limits.upload_memory.get(),
            registry_token_lifetime: self.tokens.registry_lifetime.get(),
            webhooks: Arc::default(),
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
        assert_eq!(config.new_repositories.on_push, OnPush::RegistryHosts);
        let config = read("", &[("BERTH_NEW_REPOSITORIES_ON_PUSH", "always")]).expect("valid");
        assert_eq!(config.new_repositories.on_push, OnPush::Always);
        let config = read("", &[("BERTH_OPS_LISTEN", "off")]).expect("valid");
        assert_eq!(config.ops_listen, OpsListen::Off);
        let webhook = "[{ name = \"w\", url = \"https://hooks.example.com/secret\" }]";
        let config = read("", &[("BERTH_NOTIFICATIONS", webhook)]).expect("valid");
        assert_eq!(config.notifications[0].name, "w");
        assert!(!format!("{config:?}").contains("secret"), "a URL may be one");
        let variables = [("BERTH_AUDIT_FILE", "-"), ("BERTH_AUDIT_READS", "true")];
        let config = read("[audit]\nfile = \"off\"", &variables).expect("valid");
        assert_eq!((config.audit.file, config.audit.reads), (AuditFile::StandardError, true));
    }

    #[test]
    fn unknown_keys_are_named() {
        assert!(read("lisen = 5", &[]).expect_err("misspelt").contains("lisen"));
        assert!(read("[gc]\ngrase = \"1s\"", &[]).expect_err("misspelt").contains("grase"));
        assert!(
            read("[[notifications]]\nurll = \"x\"", &[]).expect_err("misspelt").contains("urll")
        );
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
            ("tokens", "registry_lifetime", "\"59s\""),
            ("tokens", "registry_lifetime", "\"2h\""),
            ("new_repositories", "on_push", "\"pkg.dev\""),
            ("new_repositories", "on_push", "true"),
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
