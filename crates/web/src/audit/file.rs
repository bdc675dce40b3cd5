//! Where lines go, and the thread that writes them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{AuditMessage, line};
use crate::layer::metrics::Metrics;

/// As many bytes are written at once, so that a busy log takes few system calls.
const BATCH: usize = 64 << 10;

/// Where lines go.
pub(super) enum AuditOutput {
    /// Beside the log.
    StandardError,
    /// To a file.
    File(AppendedFile),
}

/// A file that lines are appended to.
pub(super) struct AppendedFile {
    path: PathBuf,
    file: File,
    /// The file's device and number: another one at the path means that this one was moved away.
    id: (u64, u64),
    /// Whether the last line is not complete. The next one must not continue it.
    torn: bool,
}

impl AuditOutput {
    /// Opens a file, for its owner alone where it is new.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        AppendedFile::open(path).map(Self::File)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(lines),
            Self::File(appended) => {
                appended.reopen_if_moved()?;
                append(&mut appended.file, lines, &mut appended.torn)
            }
        }
    }
}

impl AppendedFile {
    fn open(path: &Path) -> io::Result<Self> {
        // Readable, to see how it ends.
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let mut last = [b'\n'];
        if metadata.is_file() && metadata.len() > 0 {
            file.read_exact_at(&mut last, metadata.len() - 1)?;
        }
        Ok(Self { path: path.to_owned(), file, id: id(&metadata), torn: last != *b"\n" })
    }

    /// One look at the path for each batch: who rotates moves the file, and tells nobody.
    fn reopen_if_moved(&mut self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|metadata| id(&metadata) == self.id) {
            return Ok(());
        }
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Appends whole lines, in one call where the disk lets it, so that processes on one file do not mix theirs.
pub(super) fn append(out: &mut impl Write, lines: &[u8], torn: &mut bool) -> io::Result<()> {
    if *torn {
        out.write_all(b"\n")?;
        *torn = false;
    }
    let mut written = 0;
    while written < lines.len() {
        match out.write(&lines[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => {
                written += more;
                *torn = lines[written - 1] != b'\n';
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The one who writes.
pub(super) struct AuditWriter {
    output: AuditOutput,
    metrics: Metrics,
    /// Entries have a random beginning, and are counted: so every one has its own id, in all processes.
    process: u64,
    count: u64,
    /// How many were lost since the last one that was written.
    lost: u64,
}

impl AuditWriter {
    pub(super) fn new(output: AuditOutput, metrics: Metrics) -> Self {
        let process = RandomState::new().hash_one(0_u64);
        Self { output, metrics, process, count: 0, lost: 0 }
    }

    /// Writes until nobody is left who could send something.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<AuditMessage>) {
        let (mut lines, mut flushed) = (Vec::with_capacity(BATCH), Vec::new());
        while let Some(first) = queue.blocking_recv() {
            let (mut next, mut entries) = (Some(first), 0);
            while let Some(message) = next {
                match message {
                    AuditMessage::Entry(facts) => {
                        self.count += 1;
                        let id = format!("{:016x}{:08x}", self.process, self.count);
                        line::write(&mut lines, &facts, &id).expect("a Vec grows");
                        entries += 1;
                    }
                    AuditMessage::Flush(done) => flushed.push(done),
                }
                next = if lines.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            self.write(&lines, entries);
            lines.clear();
            for done in flushed.drain(..) {
                // Who asked may not wait any more.
                let _ = done.send(());
            }
        }
    }

    /// Writes a batch or loses it: whoever looks at the log is told of the first one, and when it works again.
    pub(super) fn write(&mut self, lines: &[u8], entries: u64) {
        if lines.is_empty() {
            return;
        }
        match self.output.append(lines) {
            Ok(()) if self.lost > 0 => {
                let lost = std::mem::take(&mut self.lost);
                tracing::warn!(lost, "the audit log is written again; {lost} entries are lost");
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    tracing::error!(%error, "the audit log cannot be written, entries are lost: {error}");
                }
                self.lost += entries;
                self.metrics.audit_dropped(entries);
            }
        }
    }
}
