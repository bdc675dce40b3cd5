use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::audit::AuditCode;
use engine::EngineError;
use identity::{Caller, SystemClock};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use model::permissions::artifactregistry;

const PUT: AuditedOperation = AuditedOperation::write("Docker-PutManifest");

/// A log whose queue is emptied only through the returned receiver.
fn stuck(places: usize, reads: bool) -> (AuditLog, Metrics, mpsc::Receiver<AuditMessage>) {
    let (queue, entries) = mpsc::channel(places);
    let (metrics, clock) = (Metrics::default(), Arc::new(SystemClock));
    let sink = AuditSink::new(queue, reads, metrics.clone(), clock);
    (AuditLog(Some(Arc::new(sink))), metrics, entries)
}

fn attempt(audit: &AuditLog, operation: AuditedOperation) -> AuditGuard {
    audit.begin(Some(operation), None, &HeaderMap::new())
}

#[track_caller]
fn dropped(metrics: &Metrics, expected: u64) {
    let text = metrics.encode();
    assert!(text.contains(&format!("berth_audit_dropped_total {expected}\n")), "{text}");
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted() {
    let (audit, metrics, mut entries) = stuck(2, false);
    for _ in 0..5 {
        drop(attempt(&audit, PUT));
    }
    dropped(&metrics, 3);
    // Where there is a place again, the next one takes it.
    entries.try_recv().expect("the first");
    drop(attempt(&audit, PUT));
    dropped(&metrics, 3);
    drop(entries);
    drop(attempt(&audit, PUT));
    dropped(&metrics, 4);
}

/// Checks whether a request leaves an entry, after `note` has noted facts.
#[track_caller]
fn check(
    reads: bool,
    operation: AuditedOperation,
    note: impl FnOnce(&AuditRecorder),
    expected: bool,
) {
    let (audit, _, mut entries) = stuck(2, reads);
    let attempt = attempt(&audit, operation.clone());
    let trail = attempt.trail().clone();
    note(&trail);
    drop(attempt);
    // Too late, and no second entry.
    trail.note_outcome(AuditCode::Ok, "");
    assert_eq!(entries.try_recv().is_ok(), expected, "{operation:?}, reads: {reads}");
    assert!(entries.try_recv().is_err(), "twice");
}

#[test]
fn what_becomes_an_entry() {
    let get = || AuditedOperation::read("Docker-GetManifest");
    let patch = || AuditedOperation::part("Docker-PatchUpload");
    let denied = |trail: &AuditRecorder| {
        let denied: Result<(), _> = Err(EngineError::InsufficientScope);
        trail.note_check(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, &"r", &denied);
    };
    let granted = |trail: &AuditRecorder| {
        trail.note_check(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, &"r", &Ok(()))
    };
    let refused =
        |trail: &AuditRecorder| trail.note_refusal(&identity::CredentialError::Expired.into());
    check(false, PUT, |_| (), true);
    check(false, PUT, denied, true);
    check(false, get(), denied, false);
    check(true, get(), granted, true);
    check(true, get(), denied, true);
    for reads in [false, true] {
        check(reads, patch(), granted, false);
        check(reads, patch(), denied, true);
        check(reads, patch(), refused, true);
        check(
            reads,
            AuditedOperation::door("Docker-Token"),
            |trail| trail.note_outcome(AuditCode::Ok, ""),
            false,
        );
        check(reads, AuditedOperation::door("Docker-Token"), refused, true);
    }
}

/// Entries that anybody can cause may be left out. Those that need a permission or an account may not.
#[test]
fn what_may_be_left_out() {
    let check = |note: &dyn Fn(&AuditRecorder), expected: bool| {
        let trail = AuditRecorder::new(AuditRecord::new(0));
        trail.note_operation(Some(PUT));
        note(&trail);
        assert_eq!(trail.close().expect("kept").needs_no_account(), expected);
    };
    let asked = |trail: &AuditRecorder, outcome: Result<(), EngineError>| {
        trail.note_check(artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS, &"r", &outcome);
    };
    let account =
        |trail: &AuditRecorder| trail.note_principal(&"user:a@example.com".parse().expect("one"));
    let denied = || Err(EngineError::InsufficientScope);
    check(&|trail| trail.note_refusal(&identity::CredentialError::Expired.into()), true);
    check(&|trail| trail.note_failure(http::StatusCode::BAD_REQUEST, "no name"), true);
    check(&|trail| asked(trail, denied()), true);
    check(&|_| (), true);
    check(&|trail| asked(trail, Ok(())), false);
    check(&|trail| trail.note_outcome(AuditCode::Ok, ""), false);
    check(
        &|trail| {
            asked(trail, Ok(()));
            trail.note_failure(http::StatusCode::NOT_FOUND, "not there");
        },
        false,
    );
    check(
        &|trail| {
            account(trail);
            asked(trail, denied());
        },
        false,
    );
}

#[test]
fn reads_that_are_not_written_down_keep_nothing() {
    let (audit, ..) = stuck(1, false);
    assert!(!attempt(&audit, AuditedOperation::read("Docker-GetManifest")).trail().is_kept());
    assert!(attempt(&audit, PUT).trail().is_kept());
    assert!(!audit.begin(None, None, &HeaderMap::new()).trail().is_kept());
    let off = AuditLog::default();
    assert!(!attempt(&off, PUT).trail().is_kept());
    assert!(!off.begin_unnamed(None, &HeaderMap::new()).trail().is_kept());
}

/// A writer on a file, and the file.
struct Written {
    writer: AuditWriter,
    metrics: Metrics,
    folder: PathBuf,
}

impl Written {
    fn new(folder: &Path) -> Self {
        let metrics = Metrics::default();
        let output = AuditOutput::open(&folder.join("audit.log")).expect("it can be made");
        Self {
            writer: AuditWriter::new(output, metrics.clone()),
            metrics,
            folder: folder.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    fn write(&mut self, line: &str) {
        self.writer.write(format!("{line}\n").as_bytes(), 1);
    }

    #[track_caller]
    fn holds(&self, expected: &str) {
        assert_eq!(fs::read_to_string(self.path()).expect("there"), expected);
    }
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut log = Written::new(folder.path());
    let mode = fs::metadata(log.path()).expect("made at once").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    log.write("1");
    fs::rename(log.path(), folder.path().join("audit.log.1")).expect("ours");
    log.write("2");
    log.holds("2\n");
    fs::remove_file(log.path()).expect("ours");
    log.write("3");
    log.holds("3\n");
    // A program that rotates by copying truncates the file so.
    fs::File::create(log.path()).expect("ours");
    log.write("4");
    log.holds("4\n");
    assert_eq!(fs::read_to_string(folder.path().join("audit.log.1")).expect("there"), "1\n");
    dropped(&log.metrics, 0);
}

/// A log that tests read.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_once_and_counted() {
    let captured = Captured::default();
    let log = tracing_subscriber::fmt().with_writer(captured.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(log);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("ours");
    let mut log = Written::new(&inner);
    log.write("1");
    fs::remove_dir_all(&inner).expect("ours");
    for line in ["2", "3", "4"] {
        log.write(line);
    }
    dropped(&log.metrics, 3);
    fs::create_dir(&inner).expect("ours");
    log.write("5");
    log.holds("5\n");
    dropped(&log.metrics, 3);
    let said = String::from_utf8(captured.0.lock().expect("nobody panicked").clone());
    let said = said.expect("text");
    assert_eq!(said.matches("cannot be written").count(), 1, "{said}");
    assert_eq!(said.matches("3 entries are lost").count(), 1, "{said}");
}

/// A disk that takes so many bytes.
struct Full(usize, Vec<u8>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.0.min(bytes.len());
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= taken;
        self.1.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_was_cut_short_is_not_continued() {
    for (room, torn, expected) in [
        (0, false, "whole\n"),
        (2, true, "1\nwhole\n"),
        (3, true, "1\n2\nwhole\n"),
        (5, true, "1\n234\nwhole\n"),
    ] {
        let (mut disk, mut is_torn) = (Full(room, Vec::new()), false);
        file::append(&mut disk, b"1\n2345\n", &mut is_torn).expect_err("full");
        assert_eq!(is_torn, torn && room != 2, "{room}");
        disk.0 = 100;
        file::append(&mut disk, b"whole\n", &mut is_torn).expect("there is room");
        assert_eq!(String::from_utf8(disk.1).expect("text"), expected);
    }
    // One that an earlier process left.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("audit.log"), "{\"half\":").expect("ours");
    let mut log = Written::new(folder.path());
    log.write("whole");
    log.write("whole");
    log.holds("{\"half\":\nwhole\nwhole\n");
}

/// The line of an attempt, after it was noted on.
fn line(operation: AuditedOperation, note: impl FnOnce(&AuditRecorder)) -> String {
    let (audit, _, mut entries) = stuck(1, true);
    let attempt = attempt(&audit, operation);
    note(attempt.trail());
    drop(attempt);
    let Ok(AuditMessage::Entry(mut facts)) = entries.try_recv() else { panic!("no entry") };
    facts.began = 1_714_979_289_123_456;
    let mut line = Vec::new();
    line::write(&mut line, &facts, "7").expect("a Vec grows");
    String::from_utf8(line).expect("JSON is text")
}

#[test]
fn an_entry_is_a_log_entry_with_an_audit_log_in_it() {
    let name = "projects/p/locations/us/repositories/r";
    let written = line(PUT, |trail| {
        trail.note_caller(&Caller::anonymous());
        trail.note_resource(&name);
        let denied: Result<(), _> = Err(EngineError::Denied {
            permission: artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
            resource: name.to_owned(),
            anonymous: true,
        });
        trail.note_check(
            artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
            &"what was not missing",
            &denied,
        );
        trail.note_check(
            artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
            &"the same again",
            &denied,
        );
        trail.note_failure(http::StatusCode::UNAUTHORIZED, "no");
    });
    let written: Value = serde_json::from_str(&written).expect("JSON");
    let expected = json!({
        "insertId": "7",
        "timestamp": "2024-05-06T07:08:09.123456Z",
        "severity": "ERROR",
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Fdata_access",
        "resource": { "type": "audited_resource", "labels": {
            "service": "artifactregistry.googleapis.com",
            "method": "Docker-PutManifest",
            "project_id": "p",
        } },
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "artifactregistry.googleapis.com",
            "methodName": "Docker-PutManifest",
            "resourceName": name,
            "authenticationInfo": {},
            "authorizationInfo": [{
                "resource": name,
                "permission": "artifactregistry.repositories.uploadArtifacts",
                "granted": false,
                "permissionType": "DATA_WRITE",
            }],
            "requestMetadata": { "requestAttributes": { "id": "" } },
            "status": { "code": 16, "message": "no" },
        },
    });
    assert_eq!(written, expected);
}

#[test]
fn whatever_a_name_holds_an_entry_is_one_line() {
    let name = "projects/p/\"}\n{\"insertId\":\"x\"}\r\n\u{85}\u{9b}2J\u{2028}\u{7f}\0\\u000a-ü";
    let written = line(PUT, |trail| {
        trail.note_resource(&name);
        trail.note_failure(http::StatusCode::NOT_FOUND, name);
    });
    let (one, rest) = written.split_once('\n').expect("its end");
    assert_eq!(rest, "");
    assert!(!one.contains(|c: char| c.is_control() || c == '\u{2028}'), "{one:?}");
    let entry: Value = serde_json::from_str(one).expect("JSON");
    assert_eq!(entry["protoPayload"]["resourceName"], name);
    assert_eq!(entry["protoPayload"]["status"]["message"], name);
    // What is longer than an entry takes is cut, and not in the middle of a letter.
    let written = line(PUT, |trail| trail.note_resource(&"ü".repeat(5_000)));
    let entry: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(entry["protoPayload"]["resourceName"], "ü".repeat(512));
}
