//! The settings that the doors share: the log, the audit log, and the limits of clients.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::{DurationSetting, MemorySetting, ReserveSetting};

/// The settings of the log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The form of the lines.
    pub format: LogFormat,
    /// The lowest level that is written: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
    /// `info,engine=debug`.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The settings of the audit log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The destination of its entries.
    pub file: AuditFile,
    /// A switch that has reads recorded too.
    pub reads: bool,
}

/// The destination of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AuditFile {
    /// Nothing is written.
    Off,
    /// Standard error, between the lines of the log.
    StandardError,
    /// A file; a relative path is one within the data folder.
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

/// The limits of connections, times, uploads and memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// The most connections at once.
    pub connections: usize,
    /// The most connections at once from one address, or from one /64 of IPv6.
    pub connections_per_network: usize,
    /// The longest time that a request's head may take.
    pub header_timeout: DurationSetting,
    /// The longest pause of a request's body. A response waits four times as long for its reader.
    pub idle_timeout: DurationSetting,
    /// The longest time that a shutdown waits for running requests.
    pub drain_timeout: DurationSetting,
    /// The memory that all uploads of blobs share. Uploads of manifests share as much again.
    pub upload_memory: MemorySetting,
    /// The most uploads that an account may have open in a repository. With `--dev` they are not counted, because all
    /// of them are of one account.
    pub open_uploads: u32,
    /// The memory that all answers share while they wait for their readers.
    pub download_memory: MemorySetting,
    /// The room on the disk that uploads and manifests may not use.
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
