//! The log: how it looks, and the one line that every request leaves in it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use http::header::USER_AGENT;
use http::{HeaderMap, Method, StatusCode};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;

use super::RequestInfo;
use super::body::Outcome;
use crate::config::{Log, LogFormat};

/// Starts writing the log to standard error.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&settings.level).context("log.level")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = match settings.format {
        // Messages say everything that a person wants to know; the fields are for machines.
        LogFormat::Text => log
            .fmt_fields(debug_fn(|out, field, value| match field.name() {
                "message" => write!(out, "{value:?}"),
                _ => Ok(()),
            }))
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// What is written about a request when it is over.
pub(super) struct Record {
    id: String,
    peer: SocketAddr,
    method: Method,
    path: String,
    user_agent: String,
    info: Arc<RequestInfo>,
    pub(super) received: Arc<AtomicU64>,
}

impl Record {
    pub(super) fn new<B>(
        peer: SocketAddr,
        request: &http::Request<B>,
        id: String,
        info: Arc<RequestInfo>,
    ) -> Self {
        Self {
            id,
            peer,
            method: request.method().clone(),
            path: path_and_query(request.uri()),
            user_agent: user_agent(request.headers()),
            info,
            received: Arc::default(),
        }
    }

    pub(super) fn write(&self, status: StatusCode, took: Duration, outcome: Outcome) {
        let Self { id, peer, method, path, user_agent, info, received } = self;
        let status = status.as_u16();
        let duration_ms = took.as_secs_f64() * 1000.0;
        let principal = info.principal.get().map_or("-", String::as_str);
        let cut = if outcome.complete { "" } else { ", cut short" };
        tracing::info!(
            request.id = id,
            http.method = %method,
            http.path = path,
            http.status = status,
            duration_ms,
            bytes_in = received.load(Ordering::Relaxed),
            bytes_out = outcome.bytes,
            complete = outcome.complete,
            principal,
            peer = %peer,
            user_agent,
            "{method} {path} {status} in {duration_ms:.1} ms, {bytes} bytes{cut} - {principal} {user_agent} {id}",
            bytes = outcome.bytes.max(received.load(Ordering::Relaxed)),
        );
    }
}

/// Cut to what a line can bear. URIs hold no control characters, so nothing can break the line.
fn path_and_query(uri: &http::Uri) -> String {
    const LONGEST: usize = 512;
    let query = uri.query().map(|query| {
        let shown: Vec<_> = query.split('&').map(without_secret).collect();
        format!("?{}", shown.join("&"))
    });
    uri.path().chars().chain(query.iter().flat_map(|query| query.chars())).take(LONGEST).collect()
}

/// A parameter, without its value where it is one of those that people and Google's clients put secrets into. None
/// of them means anything here.
fn without_secret(pair: &str) -> &str {
    const SECRETS: [&str; 9] = [
        "access_token",
        "oauth_token",
        "id_token",
        "refresh_token",
        "token",
        "password",
        "assertion",
        "client_secret",
        "key",
    ];
    match pair.split_once('=') {
        Some((name, _)) if SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) => name,
        Some(_) | None => pair,
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    const LONGEST: usize = 60;
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("-");
    text.chars().take(LONGEST).collect()
}
