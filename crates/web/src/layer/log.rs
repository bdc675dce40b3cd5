//! The log: its form, and the line that it has for every request.

mod queue;

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use http::header::USER_AGENT;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{CONTROLS, percent_encode};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;

use super::{PASSWORD_PATH, PROBE_ROUTE, RequestInfo};
use crate::settings::{LogFormat, LogSettings};
use queue::LineQueue;
pub(super) use queue::dropped_lines;

/// The most bytes of a request's method that a line shows.
const MAX_METHOD_BYTES: usize = 32;
/// The most bytes of a caller's name that a line shows.
const MAX_PRINCIPAL_BYTES: usize = 320;

/// The log of this process.
pub struct StartedLog(LineQueue);

impl StartedLog {
    /// Waits until the lines so far are written, but no longer than a second: perhaps nobody reads them.
    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(1));
    }
}

/// Starts writing the log to standard error. Panics are logged too.
pub fn start(settings: &LogSettings) -> anyhow::Result<StartedLog> {
    let filter = EnvFilter::builder().parse(&settings.level).context("log.level")?;
    let queue = LineQueue::start(settings.format).context("cannot start the log")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue.clone())
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = match settings.format {
        // The message has everything that a person needs; the fields are for programs.
        LogFormat::Text => log
            .fmt_fields(debug_fn(|out, field, value| match field.name() {
                "message" => write!(PrintableText(out), "{value:?}"),
                _ => Ok(()),
            }))
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    // The standard library's hook writes to standard error itself, and waits for the reader of a pipe.
    std::panic::set_hook(Box::new(|panic| tracing::error!("a thread panicked: {panic}")));
    Ok(StartedLog(queue))
}

/// The status of requests whose client did not wait for the answer. nginx introduced it, and HTTP does not have it.
pub(super) const CLIENT_LEFT: u16 = 499;

/// The outcome of sending an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerOutcome {
    /// The bytes of the answer's body that the connection took.
    pub(super) bytes: u64,
    /// Set if that was the whole body.
    pub(super) complete: bool,
}

/// The facts of a request that its log line has.
pub(super) struct RequestRecord {
    method: Method,
    path: String,
    user_agent: String,
    info: Arc<RequestInfo>,
    pub(super) received: Arc<AtomicU64>,
}

impl RequestRecord {
    pub(super) fn new<B>(request: &http::Request<B>, info: Arc<RequestInfo>) -> Self {
        Self {
            method: request.method().clone(),
            path: path_and_query(request.uri()),
            user_agent: user_agent(request.headers()),
            info,
            received: Arc::default(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.info.id
    }

    pub(super) fn route(&self) -> &'static str {
        self.info.route()
    }

    /// Returns the reason why the request's credential was refused, if it was.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.info.refused.get().copied()
    }

    pub(super) fn write(&self, status: StatusCode, took: Duration, outcome: AnswerOutcome) {
        if self.route() == PROBE_ROUTE {
            tracing::debug!("{} {} {}", self.method, self.path, status.as_u16());
            return;
        }
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let id = self.id();
        let Self { method, path, user_agent, info, received } = self;
        let (peer, client) = (info.connection.peer, info.client());
        let method = truncated(method.as_str(), MAX_METHOD_BYTES);
        let status = status.as_u16();
        let duration_ms = took.as_secs_f64() * 1000.0;
        let principal = info.principal.get().map_or_else(|| "-".to_owned(), ToString::to_string);
        let principal = truncated(&principal, MAX_PRINCIPAL_BYTES);
        let cut = match (outcome.complete, status) {
            (true, _) => "",
            (false, CLIENT_LEFT) => ", client left",
            (false, _) => ", cut short",
        };
        tracing::info!(
            request.id = id,
            http.method = method,
            http.path = path,
            http.status = status,
            duration_ms,
            bytes_in = received.load(Ordering::Relaxed),
            bytes_out = outcome.bytes,
            complete = outcome.complete,
            principal,
            peer = %peer,
            client = %client,
            user_agent,
            "{method} {path} {status} in {duration_ms:.1} ms, {bytes} bytes{cut} - {principal} {user_agent} {id}",
            bytes = outcome.bytes.max(received.load(Ordering::Relaxed)),
        );
    }
}

fn truncated(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Returns a URI's path and query without secrets, cut to 512 bytes.
fn path_and_query(uri: &http::Uri) -> String {
    let path = match uri.path().strip_prefix(PASSWORD_PATH) {
        Some(token) if !token.is_empty() => Cow::Owned(format!("{PASSWORD_PATH}...")),
        Some(_) | None => Cow::Borrowed(uri.path()),
    };
    let Some(query) = uri.query() else { return readable(path.as_bytes(), 512) };
    let shown: Vec<_> = query.split('&').map(without_secret).collect();
    readable(format!("{path}?{}", shown.join("&")).as_bytes(), 512)
}

/// Returns a query parameter, without its value if people or Google's clients put secrets into it. This server uses
/// none of these parameters.
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
    headers.get(USER_AGENT).map_or_else(|| "-".to_owned(), |value| readable(value.as_bytes(), 60))
}

/// Percent-encodes everything but visible ASCII, as clients should have done, and cuts the result. URIs and header
/// values may contain other bytes, and a terminal takes U+009B for the beginning of a command.
fn readable(text: &[u8], max_bytes: usize) -> String {
    // The encoding is ASCII, and shortens nothing.
    let start = &text[..text.len().min(max_bytes)];
    let mut encoded = Cow::from(percent_encode(start, CONTROLS)).into_owned();
    encoded.truncate(max_bytes);
    encoded
}

/// Writes text with its control characters escaped, because they could control a terminal. A log line may contain text
/// from a client, a database or a disk.
struct PrintableText<W>(W);

impl<W: fmt::Write> fmt::Write for PrintableText<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            let control = piece.chars().next_back().filter(|last| last.is_control());
            self.0.write_str(&piece[..piece.len() - control.map_or(0, char::len_utf8)])?;
            if let Some(control) = control {
                write!(self.0, "{}", control.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut written = String::new();
        write!(PrintableText(&mut written), "{text}").expect("a string takes everything");
        assert_eq!(written, expected);
    }

    #[test]
    fn what_clients_send_is_shown_as_bounded_ascii() {
        assert_eq!(readable("/v2/a?n=\u{fc}\n".as_bytes(), 512), "/v2/a?n=%C3%BC%0A");
        assert_eq!(readable("/v2/\u{fc}".as_bytes(), 6), "/v2/%C");
        assert_eq!(readable(b"/v2/a", 3), "/v2");
    }

    #[test]
    fn secrets_of_urls_are_not_shown() {
        let shown = |uri: &'static str| path_and_query(&http::Uri::from_static(uri));
        assert_eq!(shown("/console/-/password/abc"), "/console/-/password/...");
        assert_eq!(
            shown("/console/-/password/abc?x=1&token=t"),
            "/console/-/password/...?x=1&token"
        );
        assert_eq!(shown("/console/-/password/"), "/console/-/password/");
        assert_eq!(shown("/console/p/r?x=1"), "/console/p/r?x=1");
    }

    #[test]
    fn nothing_commands_the_terminal() {
        check("plain, grün", "plain, grün");
        check("a\u{9b}2Jb\x1b[2J\x7f", "a\\u{9b}2Jb\\u{1b}[2J\\u{7f}");
        check("two\r\nlines\n", "two\\r\\nlines\\n");
        check("", "");
    }
}
