//! The destination of the audit log, and the thread that writes to it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{AuditMessage, line};
use crate::layer::metrics::Metrics;

/// The size in bytes from which lines are written, so that a busy log takes few system calls.
const BATCH_BYTES: usize = 64 << 10;

/// The destination of lines.
pub(super) enum AuditOutput {
    /// Standard error, where the log goes too.
    StandardError,
    /// A file.
    File(AppendedFile),
}

/// A file that lines are appended to.
pub(super) struct AppendedFile {
    path: PathBuf,
    file: File,
    /// The file's device and inode numbers. If the file at the path has others, this file was moved away.
    id: (u64, u64),
    /// Set if the last line is not complete. The next line must not continue it.
    torn: bool,
}

impl AuditOutput {
    /// Opens a file. A new file is readable by its owner alone.
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
        // Opened for reading too, to see whether the last line is complete.
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let mut last = [b'\n'];
        if metadata.is_file() && metadata.len() > 0 {
            file.read_exact_at(&mut last, metadata.len() - 1)?;
        }
        Ok(Self { path: path.to_owned(), file, id: id(&metadata), torn: last != *b"\n" })
    }

    /// Opens the file again if the path leads to another file or to none. A program that rotates logs moves the file
    /// without notice, so that the path is looked at before each batch.
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

/// Appends whole lines, in one call if the system takes all of it, so that several processes can share a file without
/// mixing their lines.
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

/// The writer of entries, which runs on a thread of its own.
pub(super) struct AuditWriter {
    output: AuditOutput,
    metrics: Metrics,
    /// The random first half of each entry's id. With `count` as the second half, an id is unique among all processes.
    process: u64,
    count: u64,
    /// The number of entries that were lost since the last successful write.
    lost: u64,
}

impl AuditWriter {
    pub(super) fn new(output: AuditOutput, metrics: Metrics) -> Self {
        let process = RandomState::new().hash_one(0_u64);
        Self { output, metrics, process, count: 0, lost: 0 }
    }

    /// Writes until all senders are gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<AuditMessage>) {
        let (mut lines, mut flushed) = (Vec::with_capacity(BATCH_BYTES), Vec::new());
        while let Some(first) = queue.blocking_recv() {
            let (mut next, mut entries) = (Some(first), 0);
            while let Some(message) = next {
                match message {
                    AuditMessage::Entry(record) => {
                        self.count += 1;
                        let id = format!("{:016x}{:08x}", self.process, self.count);
                        line::write(&mut lines, &record, &id).expect("a Vec grows");
                        entries += 1;
                    }
                    AuditMessage::Flush(done) => flushed.push(done),
                }
                next = if lines.len() < BATCH_BYTES { queue.try_recv().ok() } else { None };
            }
            self.write(&lines, entries);
            lines.clear();
            for done in flushed.drain(..) {
                // The one that asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    /// Writes a batch, or loses it if it cannot be written. The log names the first failure, and the first success
    /// after it.
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
