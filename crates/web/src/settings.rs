//! The settings that the doors share: the log, the audit log, and the limits of clients.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::{DurationSetting, MemorySetting, ReserveSetting};

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
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
pub struct AuditSettings {
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
pub struct LimitSettings {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address, or from one /64 of IPv6.
    pub connections_per_network: usize,
    /// How long a request's head may take.
    pub header_timeout: DurationSetting,
    /// How long a request's body may pause; a response waits four times as long for its reader.
    pub idle_timeout: DurationSetting,
    /// How long a shutdown waits for running requests.
    pub drain_timeout: DurationSetting,
    /// Memory that all uploads of blobs share, and as much again that those of manifests share.
    pub upload_memory: MemorySetting,
    /// Uploads that an account has open in a repository; all of `--dev` are one account's, and not counted.
    pub open_uploads: u32,
    /// Memory that all answers share while their readers do not take them.
    pub download_memory: MemorySetting,
    /// Room on the disk that uploads and manifests may not use.
    pub disk_reserve: ReserveSetting,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file: AuditFile::At(PathBuf::from("audit.log")), reads: false }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_network: 1000,
            header_timeout: DurationSetting::seconds(10),
            idle_timeout: DurationSetting::seconds(30),
            drain_timeout: DurationSetting::seconds(60),
            upload_memory: MemorySetting::mebibytes(24),
            open_uploads: 10_000,
            download_memory: MemorySetting::mebibytes(64),
            disk_reserve: ReserveSetting::mebibytes_or_percent(256, 10),
        }
    }
}
