//! All settings, read once before anything listens.
//!
//! `BERTH_…` variables override `berth.toml`, and flags override both. An unknown key is an error that names the key: a
//! misspelt setting must not be ignored silently.

mod check;
mod listening;
mod settings;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use identity::{IdentitySettings, SessionLimits};
use model::name::{Location, ProjectId};
use model::principal::AccountEmail;
use model::registry_host::RegistryMirror;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use tracing_subscriber::EnvFilter;

use self::variables::{is_from_kubernetes, key_of, nearest_key, variable_of};

pub use listening::{OpsListen, parse_listen};
pub use model::locations::LOCATIONS;
pub use settings::{
    BlobSettings, CleanupSettings, Config, CorsSettings, EgressSettings, GcSettings,
    MetadataSettings, MirrorSettings, NewRepositories, OnPush, SessionSettings, TlsSettings,
    TokenSettings, UpstreamSettings, WebhookSettings,
};
pub use web::settings::{AuditFile, AuditSettings, LimitSettings, LogFormat, LogSettings};
pub use web::units::{DurationSetting, MemorySetting, NetworkSetting, ReserveSetting};

/// All keys, as they are written in the file. The variable of a key is `BERTH_` and the key in capitals, with `_` for
/// `.`.
pub const KEYS: &[&str] = &[
    "listen",
    "ops_listen",
    "data",
    "database",
    "external_url",
    "first_project",
    "default_location",
    "domains",
    "proxies",
    "admins",
    "tls.certificate",
    "tls.key",
    "tokens.registry_lifetime",
    "sessions.idle",
    "sessions.lifetime",
    "metadata.listen",
    "metadata.account",
    "log.format",
    "log.level",
    "audit.file",
    "audit.reads",
    "limits.connections",
    "limits.connections_per_network",
    "limits.header_timeout",
    "limits.idle_timeout",
    "limits.drain_timeout",
    "limits.upload_memory",
    "limits.open_uploads",
    "limits.download_memory",
    "limits.disk_reserve",
    "gc.grace",
    "gc.retention",
    "gc.interval",
    "gc.upload_expiry",
    "cleanup.interval",
    "cache.interval",
    "cache.margin",
    "cache.fresh_for",
    "cache.revalidation_timeout",
    "events.keep",
    "blobs.verify_after",
    "blobs.scrub_rate",
    "new_repositories.sparse",
    "new_repositories.on_push",
    "notifications",
    "egress.allow",
    "egress.proxy",
    "egress.no_proxy",
    "egress.token_hosts",
    "cors.origins",
    "mirror",
    "upstream",
];

/// The largest value of `limits.connections`: more than any machine can have, and few enough for a semaphore on every
/// machine.
const MAX_CONNECTIONS: usize = 100_000_000;

/// The keys whose values may hold passwords: messages do not repeat them.
const KEYS_WITH_SECRETS: [&str; 3] = ["database", "notifications", "egress.proxy"];

/// The variable that names the file with the settings.
pub const FILE_VARIABLE: &str = "BERTH_CONFIG";

/// A value that parses, but would break something later.
struct SettingProblem {
    key: &'static str,
    text: String,
}

/// The sources of the settings: the file and the variables.
struct SettingSources {
    file: Option<(PathBuf, String)>,
    /// The keys that are set by variables.
    variables: Vec<&'static str>,
}

impl SettingSources {
    /// Returns the place where a key was set, as the first words of a message; empty if it was set nowhere.
    fn place_of(&self, key: &str) -> String {
        if self.variables.contains(&key) {
            return format!("{}: ", variable_of(key));
        }
        let place = self.file.as_ref().and_then(|(path, text)| {
            let line = line_of(text, key)?;
            Some(format!("{}, line {line}: ", path.display()))
        });
        place.unwrap_or_default()
    }
}

/// Returns the line of a file that sets a key.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let parsed = DeTable::parse(text).ok()?;
    let mut table = parsed.into_inner();
    let mut parts = key.split('.').peekable();
    loop {
        let part = parts.next()?;
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
        if parts.peek().is_none() {
            return Some(text[..name.span().start].matches('\n').count() + 1);
        }
        let DeValue::Table(inner) = value.get_ref() else { return None };
        table = inner.clone();
    }
}

/// Returns the message for an error in a file, with its line and key. The value is not repeated: it may be a secret.
fn error_text(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let Some(start) = error.span().map(|span| span.start) else {
        return format!("{}: {}", path.display(), error.message());
    };
    let line = text[..start].matches('\n').count() + 1;
    let parsed = DeTable::parse(text).ok();
    let key = parsed.and_then(|table| key_at(table.get_ref(), start));
    let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
    format!("{}, line {line}: {key}{}", path.display(), error.message())
}

/// Returns the key whose name or value is at an offset of a file's text.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| match value.get_ref() {
        DeValue::Table(inner) if !name.span().contains(&offset) => {
            Some(format!("{}.{}", name.get_ref(), key_at(inner, offset)?))
        }
        _ => {
            let span = name.span().start..value.span().end;
            span.contains(&offset).then(|| name.get_ref().to_string())
        }
    })
}

impl Config {
    /// Returns `http` or `https`: the scheme that the listener for clients speaks.
    pub fn scheme(&self) -> &'static str {
        if self.tls.certificate.as_os_str().is_empty() { "http" } else { "https" }
    }

    /// Reads the file, if one is named, and overrides its settings by the variables.
    pub fn read(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut table = toml::Table::new();
        let mut sources = SettingSources { file: None, variables: Vec::new() };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let invalid = || format!("{} is not valid", path.display());
            table = text.parse().with_context(invalid)?;
            // The text is deserialized by itself first, because only its errors know their line.
            if let Err(error) = toml::from_str::<Self>(&text) {
                bail!("{}", error_text(path, &text, &error));
            }
            sources.file = Some((path.to_owned(), text));
        }
        for (name, value) in variables {
            if !name.starts_with("BERTH_") || name == FILE_VARIABLE {
                continue;
            }
            if let Some(key) = key_of(&name) {
                insert_setting(&mut table, key, value_of(&name, key, &value)?)?;
                sources.variables.push(key);
            } else if !is_from_kubernetes(&name, &value) {
                let key = nearest_key(&name);
                bail!(
                    "{name} is no setting; the nearest is {} ({key}), and the README lists all",
                    variable_of(key)
                );
            }
        }
        let config: Self = table.try_into().context("a setting is wrong")?;
        match config.check() {
            Ok(()) => Ok(config),
            Err(SettingProblem { key, text }) => bail!("{}{key} {text}", sources.place_of(key)),
        }
    }

    /// Refuses values that parse, but would break something later.
    fn check(&self) -> Result<(), SettingProblem> {
        let problem = |key| move |text| SettingProblem { key, text };
        self.check_names()?;
        let Self { limits, gc, tokens, cache, .. } = self;
        if !(1..=MAX_CONNECTIONS).contains(&limits.connections) {
            let text = format!("must be between 1 and {MAX_CONNECTIONS}");
            return Err(problem("limits.connections")(text));
        }
        if limits.open_uploads == 0 {
            let text = "must be at least 1: every push begins an upload".to_owned();
            return Err(problem("limits.open_uploads")(text));
        }
        if limits.connections_per_network == 0 {
            return Err(problem("limits.connections_per_network")("must be at least 1".to_owned()));
        }
        // A large frame has to fit in, and leave room for small ones.
        if limits.download_memory.get() < 1 << 20 {
            return Err(problem("limits.download_memory")("must be at least 1MiB".to_owned()));
        }
        // Docker takes a shorter lifetime for one minute, and fails when its token ends before that.
        if !(60..=3600).contains(&tokens.registry_lifetime.get().as_secs()) {
            let text = "must be between 60s and 1h".to_owned();
            return Err(problem("tokens.registry_lifetime")(text));
        }
        check::sessions(self.sessions)?;
        let positive = [
            ("limits.header_timeout", limits.header_timeout),
            ("limits.idle_timeout", limits.idle_timeout),
            ("gc.upload_expiry", gc.upload_expiry),
            ("cache.revalidation_timeout", cache.revalidation_timeout),
        ];
        match positive.iter().find(|(_, span)| span.get().is_zero()) {
            Some((key, _)) => Err(problem(key)("must be more than zero".to_owned())),
            None => Ok(()),
        }
    }

    /// Refuses URLs, domains, ids and addresses that cannot work as such.
    fn check_names(&self) -> Result<(), SettingProblem> {
        let problem = |key| move |text| SettingProblem { key, text };
        check::external_url(&self.external_url).map_err(problem("external_url"))?;
        check::location(&self.default_location).map_err(problem("default_location"))?;
        for domain in &self.domains {
            check::domain(domain).map_err(problem("domains"))?;
        }
        check::mirrors(&self.mirror).map_err(problem("mirror"))?;
        check::admins(&self.admins).map_err(problem("admins"))?;
        let project = self.first_project.parse::<ProjectId>();
        let quote = |error| format!("{:?}: {error}", self.first_project);
        project.map_err(quote).map_err(problem("first_project"))?;
        let level = EnvFilter::builder().parse(&self.log.level);
        let quote = |error| format!("{:?}: {error}", self.log.level);
        level.map_err(quote).map_err(problem("log.level"))?;
        let account = &self.metadata.account;
        if !account.is_empty() {
            let quote = |error| format!("{account:?}: {error}");
            account.parse::<AccountEmail>().map_err(quote).map_err(problem("metadata.account"))?;
        }
        let missing = [
            ("tls.certificate", &self.tls.certificate, &self.tls.key),
            ("tls.key", &self.tls.key, &self.tls.certificate),
        ];
        let missing = missing
            .iter()
            .find(|(_, file, other)| file.as_os_str().is_empty() && !other.as_os_str().is_empty());
        missing.map_or(Ok(()), |(key, ..)| {
            Err(problem(key)("is missing: tls.certificate and tls.key go together".to_owned()))
        })
    }

    /// Returns the location of hosts that name none.
    pub fn location(&self) -> anyhow::Result<Location> {
        let location = self.default_location.parse();
        location.with_context(|| format!("default_location {:?}", self.default_location))
    }

    /// Returns the mirrors.
    pub fn mirrors(&self) -> anyhow::Result<Vec<RegistryMirror>> {
        check::mirrors(&self.mirror).map_err(anyhow::Error::msg)
    }

    /// Returns the settings of credentials and sessions.
    fn identity_settings(&self) -> IdentitySettings {
        let SessionSettings { idle, lifetime } = self.sessions;
        IdentitySettings {
            registry_token_lifetime: self.tokens.registry_lifetime.get(),
            sessions: SessionLimits { idle: idle.get(), lifetime: lifetime.get() },
            // They were checked when the settings were read.
            admins: check::admins(&self.admins).unwrap_or_default().into(),
        }
    }

    /// Returns the settings of the engine. The webhooks are not among them: they are read apart.
    pub fn engine_settings(&self) -> engine::Settings {
        engine::Settings {
            new_repositories_sparse: self.new_repositories.sparse,
            create_on_push: self.new_repositories.on_push.into(),
            gc_grace: self.gc.grace.get(),
            trash_retention: self.gc.retention.get(),
            upload_expiry: self.gc.upload_expiry.get(),
            open_uploads: Some(self.limits.open_uploads),
            disk_reserve: self.limits.disk_reserve.get(),
            cache_margin: self.cache.margin.get(),
            fresh_for: self.cache.fresh_for.get(),
            history_kept: Some(self.events.keep.get()).filter(|keep| !keep.is_zero()),
            revalidation_timeout: self.cache.revalidation_timeout.get(),
            verify_after: self.blobs.verify_after.get(),
            upload_memory: self.limits.upload_memory.get(),
            identity: self.identity_settings(),
            webhooks: Arc::default(),
            upstreams: Arc::new(engine::NoUpstreams),
        }
    }
}

/// Returns the TOML value of a variable. A text that is another TOML value, as `true`, `5` or `["a"]`, is taken for
/// that value if the setting accepts it, and otherwise for a text.
fn value_of(name: &str, key: &str, text: &str) -> anyhow::Result<toml::Value> {
    let plain = toml::Value::String(text.to_owned());
    let parsed = format!("v = {text}").parse::<toml::Table>().ok();
    let parsed = parsed.and_then(|mut table| table.remove("v")).unwrap_or_else(|| plain.clone());
    let mut problem = String::new();
    for value in [parsed, plain] {
        let mut single = toml::Table::new();
        insert_setting(&mut single, key, value.clone())?;
        let Err(error) = Config::deserialize(single) else { return Ok(value) };
        // A setting's own message about the text is better than the message that its type is wrong.
        if problem.is_empty() || !error.message().starts_with("invalid type") {
            error.message().clone_into(&mut problem);
        }
    }
    if KEYS_WITH_SECRETS.contains(&key) && problem.contains(text) {
        "cannot be read".clone_into(&mut problem);
    }
    bail!("{name}: {key}: {problem}")
}

fn insert_setting(table: &mut toml::Table, key: &str, value: toml::Value) -> anyhow::Result<()> {
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
mod tests;
