//! The write-ahead log of a database in a file: its length, and the log that a killed process leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::TestDatabase;
use crate::{DatabaseLocation, Meta, MetaError, Tx};

const MEBIBYTE: u64 = 1 << 20;

fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn insert(tx: &mut Tx<'_>, digest: &str, bytes: &[u8]) -> Result<u64, MetaError> {
    tx.execute(
        "INSERT INTO manifest_contents (digest, bytes) VALUES (?1, ?2)",
        params![digest, bytes],
    )
}

/// Several tasks write and several read all the time, so the log never rests.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_busy_log_keeps_its_bound() {
    const WRITERS: usize = 4;
    const EACH: usize = 40;
    let db = TestDatabase::file().await.expect("there always is one");
    let DatabaseLocation::SqliteFile(path) = db.database.clone() else { panic!("a file") };
    let (log, over) = (log_of(&path), Arc::new(AtomicBool::new(false)));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (meta, over) = (db.meta.clone(), over.clone());
        readers.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let count = |tx: &mut Tx<'_>| {
                    tx.query_first("SELECT count(*) FROM manifest_contents", params![], |row| {
                        row.int(0)
                    })
                };
                meta.read(count).await.expect("readable");
            }
        }));
    }
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (meta, log) = (db.meta.clone(), log.clone());
        writers.push(tokio::spawn(async move {
            let mut longest = 0;
            for n in 0..EACH {
                let bytes = vec![0; MEBIBYTE as usize];
                let write = move |tx: &mut Tx<'_>| insert(tx, &format!("{writer}.{n}"), &bytes);
                meta.write(write).await.expect("there is room");
                longest = longest.max(length(&log));
            }
            longest
        }));
    }
    for writer in writers {
        let longest = writer.await.expect("it ends");
        assert!(longest <= 64 * MEBIBYTE, "{longest}");
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("it ends");
    }
    db.delete().await;
}

#[tokio::test]
async fn what_a_killed_process_left_is_emptied_at_the_start() {
    let db = TestDatabase::file().await.expect("there always is one");
    let DatabaseLocation::SqliteFile(path) = db.database.clone() else { panic!("a file") };
    db.meta.close().await;
    let process = Connection::open(&path).expect("a database");
    process.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("SQLite's own");
    for digest in 0..80 {
        let row = (digest.to_string(), vec![0; MEBIBYTE as usize]);
        process.execute("INSERT INTO manifest_contents VALUES (?1, ?2)", row).expect("room");
    }
    // A copy of the files, as SIGKILL would leave them.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let left = folder.path().join("meta.db");
    std::fs::copy(&path, &left).expect("room");
    std::fs::copy(log_of(&path), log_of(&left)).expect("room");
    assert!(length(&log_of(&left)) > 64 * MEBIBYTE);
    let meta = Meta::open(DatabaseLocation::SqliteFile(left.clone())).await.expect("it is sound");
    assert_eq!(length(&log_of(&left)), 0);
    let count = |tx: &mut Tx<'_>| {
        tx.query_first("SELECT count(*) FROM manifest_contents", params![], |row| row.int(0))
    };
    assert_eq!(meta.read(count).await.expect("readable"), Some(80));
    meta.close().await;
    drop(process);
    db.delete().await;
}
