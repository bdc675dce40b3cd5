//! The queue between all code that logs and the one thread that writes to standard error.
//!
//! A pipe that nobody reads blocks the thread that writes to it. No thread that answers a request or ends the process
//! may be blocked. So lines wait in this queue, and lines that do not fit are dropped and counted.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::settings::LogFormat;

/// The most bytes of lines that wait. A second buffer of the same size is being written.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// The most bytes of a line.
const MAX_LINE_BYTES: usize = 4 << 10;
/// The most bytes of each text in a JSON line that was too long.
const MAX_TEXT_BYTES: usize = 512;

/// The lines that were dropped since the process began.
static DROPPED: LazyLock<Counter<u64, AtomicU64>> = LazyLock::new(Counter::default);

/// Returns the counter of lines that were dropped.
pub(crate) fn dropped_lines() -> Counter<u64, AtomicU64> {
    DROPPED.clone()
}

/// The queue of lines. Adding a line never waits. Cheap to clone; every clone is the same queue.
#[derive(Clone)]
pub(super) struct LineQueue {
    format: LogFormat,
    shared: Arc<QueueState>,
}

#[derive(Default)]
struct QueueState {
    state: Mutex<QueuedLines>,
    changed: Condvar,
}

#[derive(Default)]
struct QueuedLines {
    waiting: Vec<u8>,
    /// The lines that were dropped since the last warning about it.
    dropped: u64,
    /// Set while the thread writes.
    writing: bool,
}

impl LineQueue {
    /// Starts the thread that writes to standard error.
    pub(super) fn start(format: LogFormat) -> io::Result<Self> {
        // Not the standard library's handle: it has a lock, and a thread that panics would wait for that lock.
        let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let queue = Self { format, shared: Arc::default() };
        let shared = queue.shared.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(out))?;
        Ok(queue)
    }

    /// Waits until all lines so far are written, but not longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.shared.lock();
        while state.writing || !state.waiting.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl QueueState {
    fn lock(&self) -> MutexGuard<'_, QueuedLines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MAX_WAITING_BYTES {
            state.dropped += 1;
            DROPPED.inc();
        } else {
            state.waiting.extend_from_slice(line);
            self.changed.notify_all();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.lock();
            state.writing = false;
            self.changed.notify_all();
            while state.waiting.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut lines, &mut state.waiting);
            state.writing = true;
            drop(state);
            if out.write_all(&lines).is_err() {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.lock().dropped += lost;
                DROPPED.inc_by(lost);
            }
            lines.clear();
            let dropped = std::mem::take(&mut self.lock().dropped);
            if dropped > 0 {
                tracing::warn!(
                    log.dropped = dropped,
                    "{dropped} lines of the log were dropped: they were not read in time, or could not be written"
                );
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LineQueue {
    /// Takes one line. The subscriber calls this once for each line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(&shortened(line, self.format));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the line, cut if it is too long. Texts of clients are cut before, so that a line is too long only because of
/// the text of an error.
fn shortened(line: &[u8], format: LogFormat) -> Cow<'_, [u8]> {
    if line.len() <= MAX_LINE_BYTES {
        return line.into();
    }
    let text = String::from_utf8_lossy(line);
    let start = |text: &str, bytes: usize| text[..text.floor_char_boundary(bytes)].to_owned();
    let cut = match (format, serde_json::from_str(&text)) {
        (LogFormat::Json, Ok(Value::Object(mut fields))) => {
            for value in fields.values_mut() {
                if let Value::String(text) = value {
                    *text = start(text, MAX_TEXT_BYTES);
                }
            }
            Value::Object(fields).to_string()
        }
        (LogFormat::Json | LogFormat::Text, _) => start(&text, MAX_LINE_BYTES),
    };
    (cut + "\n").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, format: LogFormat, longest: usize) {
        let cut = shortened(line.as_bytes(), format).into_owned();
        let cut = String::from_utf8(cut).expect("text");
        assert!(cut.len() <= longest && cut.ends_with('\n'), "{} bytes", cut.len());
        assert_eq!(cut.matches('\n').count(), 1);
        if format == LogFormat::Json {
            let fields: Value = serde_json::from_str(&cut).expect("still JSON");
            assert_eq!(fields["level"], "INFO");
        }
    }

    #[test]
    fn long_lines_are_cut_and_stay_lines() {
        check("short\n", LogFormat::Text, 6);
        check(&format!("{}\n", "ü".repeat(MAX_LINE_BYTES)), LogFormat::Text, MAX_LINE_BYTES + 1);
        let json = |text: &str| format!("{{\"level\":\"INFO\",\"message\":\"{text}\"}}\n");
        check(&json("a"), LogFormat::Json, 40);
        check(&json(&"\\u0001".repeat(MAX_LINE_BYTES)), LogFormat::Json, MAX_LINE_BYTES);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let queue = LineQueue { format: LogFormat::Text, shared: Arc::default() };
        let mut line = vec![b'x'; MAX_LINE_BYTES - 1];
        line.push(b'\n');
        for _ in 0..MAX_WAITING_BYTES / MAX_LINE_BYTES + 3 {
            queue.clone().write_all(&line).expect("never refused");
        }
        let state = queue.shared.lock();
        assert_eq!((state.waiting.len(), state.dropped), (MAX_WAITING_BYTES, 3));
        drop(state);
        // No thread writes, so that the wait ends by the clock.
        queue.flush(Duration::from_millis(1));
    }
}
