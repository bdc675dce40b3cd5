//! The config of an image: what it runs, and how it was built.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::html::Untrusted;
use crate::texts::{SettingName, Texts};

/// The most labels, variables and steps that are shown.
const MAX_LABELS: usize = 200;
const MAX_VARIABLES: usize = 500;
const MAX_STEPS: usize = 1_000;
/// The most characters of a config that are shown in all: a config may hold two million.
const MAX_CHARS: usize = 300_000;

/// The characters that a page may still show of a config.
struct CharBudget(usize);

impl CharBudget {
    /// Returns a text, cut to what the budget has left.
    fn cut(&mut self, text: String) -> String {
        let cut: String = text.chars().take(self.0).collect();
        self.0 -= cut.chars().count();
        cut
    }
}

/// The config of an image as the page shows it. Fields that the config lacks are empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageConfiguration {
    /// True if there is a config that describes an image.
    pub(crate) is_known: bool,
    /// Labels and values of single settings: entrypoint, user, ports.
    pub(crate) settings: Vec<Setting>,
    pub(crate) variables: Vec<Untrusted>,
    /// True if a variable looks like a secret.
    pub(crate) has_secrets: bool,
    pub(crate) labels: Vec<(Untrusted, LabelValue)>,
    pub(crate) steps: Vec<BuildStep>,
}

#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) name: SettingName,
    pub(crate) value: Untrusted,
}

/// The value of a label, which may be the address of a page elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct LabelValue {
    pub(crate) text: Untrusted,
    /// The address, if it is one of the web.
    pub(crate) link: Option<String>,
}

/// One step of the history of an image.
#[derive(Debug, Clone)]
pub(crate) struct BuildStep {
    pub(crate) command: String,
    pub(crate) has_layer: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConfig {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    author: Option<String>,
    config: Option<RawSettings>,
    history: Option<Vec<RawStep>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawSettings {
    user: Option<String>,
    exposed_ports: Option<serde_json::Map<String, serde_json::Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<serde_json::Map<String, serde_json::Value>>,
    working_dir: Option<String>,
    labels: Option<serde_json::Map<String, serde_json::Value>>,
    stop_signal: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStep {
    created_by: Option<String>,
    comment: Option<String>,
    empty_layer: Option<bool>,
}

impl ImageConfiguration {
    /// Parses a config. One that cannot be read is shown as it is stored, and nothing of it here.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let raw: Result<RawConfig, _> = serde_json::from_slice(bytes);
        let Some(raw) = raw.ok().filter(|raw| raw.os.is_some() || raw.config.is_some()) else {
            return Self::default();
        };
        let settings = raw.config.unwrap_or_default();
        let variables: Vec<String> = settings.env.unwrap_or_default();
        let has_secrets = variables.iter().any(|variable| looks_secret(variable));
        let mut budget = CharBudget(MAX_CHARS);
        let mut shown = Self { is_known: true, has_secrets, ..Self::default() };
        let parts = [raw.os, raw.architecture, raw.variant];
        let platform: Vec<_> =
            parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        shown.add(SettingName::Platform, Some(platform.join("/")));
        shown.add(SettingName::Author, raw.author);
        shown.add(SettingName::Entrypoint, settings.entrypoint.map(as_command));
        shown.add(SettingName::Command, settings.cmd.map(as_command));
        shown.add(SettingName::User, settings.user);
        shown.add(SettingName::WorkingFolder, settings.working_dir);
        shown.add(SettingName::Ports, settings.exposed_ports.map(keys_of));
        shown.add(SettingName::Volumes, settings.volumes.map(keys_of));
        shown.add(SettingName::StopSignal, settings.stop_signal);
        shown.variables = variables
            .into_iter()
            .take(MAX_VARIABLES)
            .map(|variable| Untrusted::long(budget.cut(variable)))
            .collect();
        let labels = settings.labels.unwrap_or_default().into_iter().take(MAX_LABELS);
        shown.labels = labels
            .map(|(key, value)| (Untrusted::short(key), LabelValue::of(budget.cut(text_of(value)))))
            .collect();
        let steps = raw.history.unwrap_or_default().into_iter().take(MAX_STEPS);
        shown.steps = steps
            .map(BuildStep::of)
            .map(|step| BuildStep { command: budget.cut(step.command), ..step })
            .collect();
        shown
    }

    /// Returns all settings, variables and labels by their names.
    pub(crate) fn named_values(&self, texts: Texts) -> BTreeMap<String, String> {
        let settings = self.settings.iter().map(|setting| {
            (texts.setting(&setting.name).to_owned(), setting.value.text().to_owned())
        });
        let variables = self.variables.iter().map(|variable| {
            let (name, value) = variable.text().split_once('=').unwrap_or((variable.text(), ""));
            (format!("{} {name}", texts.environment()), value.to_owned())
        });
        let labels = self.labels.iter().map(|(key, value)| {
            (format!("{} {}", texts.labels(), key.text()), value.text.text().to_owned())
        });
        settings.chain(variables).chain(labels).collect()
    }

    fn add(&mut self, name: SettingName, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.settings.push(Setting { name, value: Untrusted::long(value) });
        }
    }
}

impl LabelValue {
    fn of(text: String) -> Self {
        Self { link: web_address(&text).then(|| text.clone()), text: Untrusted::long(text) }
    }
}

impl BuildStep {
    /// Returns the step as a line of a Dockerfile would have it.
    fn of(raw: RawStep) -> Self {
        let command = raw.created_by.filter(|command| !command.is_empty()).or(raw.comment);
        let command = command.unwrap_or_default();
        let command = command.strip_prefix("/bin/sh -c ").unwrap_or(&command).trim_start();
        let command = match command.strip_prefix("#(nop)") {
            Some(command) => command.trim_start().to_owned(),
            None if command.starts_with("RUN ") || is_instruction(command) => command.to_owned(),
            None => format!("RUN {command}"),
        };
        let command = command.strip_suffix(" # buildkit").unwrap_or(&command).to_owned();
        Self { command, has_layer: !raw.empty_layer.unwrap_or_default() }
    }
}

fn is_instruction(command: &str) -> bool {
    const INSTRUCTIONS: [&str; 16] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
    ];
    let word = command.split([' ', '[']).next().unwrap_or_default();
    INSTRUCTIONS.contains(&word) || word == "WORKDIR" || command.is_empty()
}

/// Returns a list of words as a shell would take them.
fn as_command(words: Vec<String>) -> String {
    serde_json::to_string(&words).unwrap_or_default()
}

fn keys_of(map: serde_json::Map<String, serde_json::Value>) -> String {
    map.keys().take(MAX_LABELS).cloned().collect::<Vec<_>>().join(", ")
}

fn text_of(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Returns whether a text is an address of the web, and nothing that a browser would run.
fn web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && text.len() <= 2_000
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`{}|^".contains(&byte))
    })
}

/// Returns whether a variable looks like a secret: by its name, if it has a value.
fn looks_secret(variable: &str) -> bool {
    let Some((name, value)) = variable.split_once('=') else { return false };
    let name = name.to_ascii_uppercase();
    !value.is_empty()
        && [
            "PASSWORD",
            "PASSWD",
            "SECRET",
            "TOKEN",
            "API_KEY",
            "APIKEY",
            "PRIVATE_KEY",
            "ACCESS_KEY",
        ]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_step(created_by: &str, expected: &str) {
        let raw = RawStep { created_by: Some(created_by.to_owned()), ..RawStep::default() };
        assert_eq!(BuildStep::of(raw).command, expected);
    }

    #[test]
    fn steps_read_like_a_dockerfile() {
        check_step("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]");
        check_step("/bin/sh -c apk add curl", "RUN apk add curl");
        check_step("RUN /bin/sh -c make # buildkit", "RUN /bin/sh -c make");
        check_step("COPY a b # buildkit", "COPY a b");
        check_step("CMD[\"a\"]", "CMD[\"a\"]");
        check_step("", "");
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        assert!(web_address("https://example.com/a?b=c#d"));
        for text in [
            "javascript:alert(1)",
            "https://",
            "https://a b",
            "https://a\"onclick=",
            "HTTPS://example.com\n",
            "data:text/html,x",
            "//example.com",
        ] {
            assert!(!web_address(text), "{text}");
        }
    }

    #[test]
    fn configs_of_strangers() {
        for bytes in [&b""[..], b"[]", b"{}", b"\xff", br#"{"config":{"Env":"x"}}"#] {
            assert!(!ImageConfiguration::parse(bytes).is_known);
        }
        let config = ImageConfiguration::parse(
            br#"{"os":"linux","architecture":"arm64","config":{"Env":["DB_PASSWORD=x","A=b"],"Labels":{"n":5}}}"#,
        );
        assert!(config.is_known && config.has_secrets);
        assert_eq!(config.settings[0].value.to_string(), "<bdi>linux/arm64</bdi>");
        assert_eq!(config.labels[0].1.text.to_string(), "<bdi>5</bdi>");
        assert!(!looks_secret("TOKEN="));
    }
}
