//! The promises of a transaction, whatever the tables are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::{TestDatabase, on_each};
use crate::{ErrorKind, Id, Meta, MetaError, RetryCause, Tx, epochs};

/// The error type of a caller. It may contain an error of the database.
#[derive(Debug)]
enum CallerError {
    Database(MetaError),
    Refused,
}

impl From<MetaError> for CallerError {
    fn from(error: MetaError) -> Self {
        Self::Database(error)
    }
}

impl RetryCause for CallerError {
    fn retry_cause(&self) -> Option<&MetaError> {
        match self {
            Self::Database(error) => Some(error),
            Self::Refused => None,
        }
    }
}

async fn value(db: &TestDatabase, name: &'static str) -> i64 {
    db.read(move |tx| epochs::get(tx, name)).await
}

on_each! {
    async fn what_is_written_is_read(db: &TestDatabase) {
        db.write(|tx| epochs::bump(tx, "a")).await;
        assert_eq!(value(db, "a").await, 1);
        assert_eq!(db.meta.read_by_key(|tx| epochs::get(tx, "a")).await.unwrap(), 1);
        db.meta.ping().await.unwrap();
    }

    async fn an_error_of_the_caller_rolls_back(db: &TestDatabase) {
        let refused = db.meta.write(|tx| {
            epochs::bump(tx, "a")?;
            Err::<(), _>(CallerError::Refused)
        });
        assert!(matches!(refused.await, Err(CallerError::Refused)));
        assert_eq!(value(db, "a").await, 0);
    }

    async fn a_swallowed_error_ends_the_transaction(db: &TestDatabase) {
        let swallowed = db.meta.write(|tx| {
            epochs::bump(tx, "a")?;
            let first = tx.execute("INSERT INTO epochs (name, value) VALUES ('a', 9)", params![]);
            assert_eq!(first.unwrap_err().kind(), ErrorKind::Unique);
            let later = epochs::bump(tx, "b");
            assert_eq!(later.unwrap_err().kind(), ErrorKind::Unique);
            Ok::<_, MetaError>("swallowed")
        });
        assert_eq!(swallowed.await.unwrap_err().kind(), ErrorKind::Unique);
        assert_eq!((value(db, "a").await, value(db, "b").await), (0, 0));
    }

    async fn a_panic_takes_nobody_along(db: &TestDatabase) {
        let panicking = db.meta.write(|tx| {
            epochs::bump(tx, "panicking")?;
            if true {
                panic!("on purpose");
            }
            Ok::<_, MetaError>(())
        });
        let neighbour = db.meta.write(|tx| epochs::bump(tx, "neighbour"));
        let (panicked, neighbour) = tokio::join!(panicking, neighbour);
        let panicked = panicked.unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::Other);
        assert!(panicked.to_string().contains("on purpose"), "{panicked}");
        neighbour.unwrap();
        assert_eq!((value(db, "panicking").await, value(db, "neighbour").await), (0, 1));
        for _ in 0..20 {
            let read = db.meta.read(|_| -> Result<(), MetaError> { panic!("on purpose") }).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Other);
        }
        assert_eq!(value(db, "neighbour").await, 1);
    }

    async fn no_update_is_lost(db: &TestDatabase) {
        let bump = |tx: &mut Tx<'_>| {
            // Read, decide, write. An update by `value + 1` in SQL would be right at any isolation level.
            let value = epochs::get(tx, "counter")?;
            tx.execute(
                "INSERT INTO epochs (name, value) VALUES ('counter', ?1)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![value + 1],
            )?;
            Ok::<_, MetaError>(())
        };
        let writers = (0..40).map(|_| tokio::spawn({
            let meta = db.meta.clone();
            async move { meta.write(bump).await }
        }));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap().unwrap();
        }
        assert_eq!(value(db, "counter").await, 40);
    }

    /// Two transactions read both rows, and each writes one of them. The result must be that of running them one after
    /// the other.
    async fn transactions_are_serializable(db: &TestDatabase) {
        for round in 0..10 {
            db.write(|tx| {
                tx.execute("DELETE FROM epochs", params![])?;
                epochs::bump(tx, "left")?;
                epochs::bump(tx, "right")
            }).await;
            let leave = |name: &'static str| db.meta.write(move |tx| {
                if epochs::get(tx, "left")? + epochs::get(tx, "right")? == 2 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    tx.execute("UPDATE epochs SET value = 0 WHERE name = ?1", params![name])?;
                }
                Ok::<_, MetaError>(())
            });
            let (left, right) = tokio::join!(leave("left"), leave("right"));
            left.unwrap();
            right.unwrap();
            let sum = value(db, "left").await + value(db, "right").await;
            assert_eq!(sum, 1, "round {round}: both wrote, each because it read that the other had not");
        }
    }

    async fn a_dropped_caller_does_not_abort(db: &TestDatabase) {
        let (started, has_started) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let meta = db.meta.clone();
        let caller = tokio::spawn(async move {
            meta.write(move |tx| {
                started.send(()).unwrap();
                let _ = may_go_on.recv();
                epochs::bump(tx, "a")
            }).await
        });
        tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        while value(db, "a").await == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn values_of_each_type_come_back(db: &TestDatabase) {
        let id = Id::random();
        let row = db.read(move |tx| tx.query_first(
            "SELECT CAST(?1 AS TEXT), CAST(?2 AS BIGINT), CAST(?3 AS TEXT), CAST(?4 AS BIGINT)",
            params!["a'b\"ü", i64::MAX, None::<&str>, None::<i64>],
            |row| Ok((row.text(0)?, row.int(1)?, row.opt_text(2)?, row.opt_int(3)?)),
        )).await;
        assert_eq!(row, Some(("a'b\"ü".to_owned(), i64::MAX, None, None)));
        let bytes: Vec<u8> = (0..=255).collect();
        let expected = bytes.clone();
        let stored = db.write(move |tx| {
            tx.execute("INSERT INTO manifest_contents (digest, bytes) VALUES ('d', ?1)", params![bytes.as_slice()])?;
            tx.execute("INSERT INTO copies (id, state, size, mtime_ns, ctime_ns, verified_at, created_at)
                     VALUES (?1, 'live', 0, 0, 0, 0, 0)", params![&id])?;
            let bytes = tx.query_first("SELECT bytes FROM manifest_contents", params![], |row| row.bytes(0))?;
            let id = tx.query_first("SELECT id, digest FROM copies", params![], |row| Ok((row.id(0)?, row.opt_text(1)?)))?;
            Ok((bytes, id))
        }).await;
        assert_eq!(stored, (Some(expected), Some((id, None))));
    }

    async fn a_column_refuses_what_it_does_not_hold(db: &TestDatabase) {
        let missing = db.meta.write(|tx| tx.execute(
            "INSERT INTO epochs (name, value) VALUES ('a', ?1)", params![None::<i64>],
        ));
        assert_eq!(missing.await.unwrap_err().kind(), ErrorKind::InvalidValue);
        let state = db.meta.write(|tx| tx.execute(
            "INSERT INTO copies (id, state, size, mtime_ns, ctime_ns, verified_at, created_at)
             VALUES (?1, 'lost', 0, 0, 0, 0, 0)", params![&Id::new()],
        ));
        assert_eq!(state.await.unwrap_err().kind(), ErrorKind::InvalidValue);
        let misread = db.meta.read(|tx| tx.query_first("SELECT CAST('x' AS TEXT)", params![], |row| row.int(0)));
        assert_eq!(misread.await.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    async fn many_rows_go_in_at_once(db: &TestDatabase) {
        let names: Vec<String> = (0..1_237).map(|number| format!("n{number:05}")).collect();
        let expected = names.clone();
        let found = db.write(move |tx| {
            let rows: Vec<_> = names.iter().map(|name| vec![name.as_str().into(), 7_i64.into()]).collect();
            let inserted = tx.execute_values(
                "INSERT INTO epochs (name, value)", "ON CONFLICT (name) DO NOTHING", &rows,
            )?;
            assert_eq!(inserted, 1_237);
            assert_eq!(tx.execute_values("INSERT INTO epochs (name, value)", "", &[])?, 0);
            tx.query("SELECT name FROM epochs WHERE value = 7 ORDER BY name", params![], |row| row.text(0))
        }).await;
        assert_eq!(found, expected);
    }

    /// Keys sort by their bytes, whatever the locale of the server is, because pages continue after a key.
    async fn text_sorts_by_its_bytes(db: &TestDatabase) {
        let sorted = db.write(|tx| {
            for name in ["a", "B", "_", "b", "A", "é", "-"] {
                epochs::bump(tx, name)?;
            }
            tx.query("SELECT name FROM epochs WHERE name > '' ORDER BY name", params![], |row| row.text(0))
        }).await;
        assert_eq!(sorted, ["-", "A", "B", "_", "a", "b", "é"]);
    }

    async fn a_closure_runs_again_only_when_another_was_in_the_way(db: &TestDatabase) {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let refused = db.meta.write(move |tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            tx.execute("INSERT INTO tags (package_id, name, version_id, created_at, updated_at)
                     VALUES (?1, 't', ?1, 0, 0)", params![&Id::new()])?;
            Ok::<_, MetaError>(())
        });
        assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::ForeignKey);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}

async fn reads_see_only_what_is_committed(db: TestDatabase) {
    let (wrote, has_written) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let meta = db.meta.clone();
    let writer = tokio::spawn(async move {
        meta.write(move |tx| {
            epochs::bump(tx, "a")?;
            wrote.send(()).unwrap();
            let _ = may_go_on.recv();
            Ok::<_, MetaError>(())
        })
        .await
    });
    tokio::task::spawn_blocking(move || has_written.recv().unwrap()).await.unwrap();
    assert_eq!(value(&db, "a").await, 0);
    go_on.send(()).unwrap();
    writer.await.unwrap().unwrap();
    assert_eq!(value(&db, "a").await, 1);
    db.delete().await;
}

/// This does not run in memory, because reads wait for the writer there.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_shows_only_what_is_committed() {
    reads_see_only_what_is_committed(TestDatabase::file().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_shows_only_what_is_committed() {
    if let Some(db) = TestDatabase::postgres().await {
        reads_see_only_what_is_committed(db).await;
    }
}

/// Rows that were answered are there when the database is opened again, even if the first handle was not closed.
async fn survives(db: TestDatabase) {
    let writers = (0..100).map(|number| {
        let meta = db.meta.clone();
        tokio::spawn(
            async move { meta.write(move |tx| epochs::bump(tx, &format!("n{number}"))).await },
        )
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let again = Meta::open(db.database.clone()).await.unwrap();
    let count =
        again.read(|tx| tx.query_first("SELECT count(*) FROM epochs", params![], |row| row.int(0)));
    assert_eq!(count.await.unwrap(), Some(100));
    again.close().await;
    db.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_survives() {
    survives(TestDatabase::file().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives() {
    if let Some(db) = TestDatabase::postgres().await {
        survives(db).await;
    }
}

/// SQLite rolls back a whole transaction when the disk is full. Here, one of four closures in a transaction causes a
/// rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_takes_only_its_cause_along() {
    for db in [TestDatabase::file().await, TestDatabase::memory().await].into_iter().flatten() {
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let bump = |name| {
            let meta = db.meta.clone();
            tokio::spawn(async move { meta.write(move |tx| epochs::bump(tx, name)).await })
        };
        let meta = db.meta.clone();
        let first = tokio::spawn(async move {
            meta.write(move |tx| {
                // The second run does not wait, because the sender was dropped.
                let _ = may_go_on.recv();
                epochs::bump(tx, "first")
            })
            .await
        });
        let second = bump("second");
        let meta = db.meta.clone();
        let cause = tokio::spawn(async move {
            meta.write(|tx| tx.execute("ROLLBACK", params![])).await.map(|_| ())
        });
        let last = bump("last");
        // The three get time to queue up behind the first. Otherwise each would be committed alone.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        drop(go_on);
        for neighbour in [first, second, last] {
            neighbour.await.unwrap().unwrap();
        }
        assert_eq!(cause.await.unwrap().unwrap_err().kind(), ErrorKind::DiskFull);
        for name in ["first", "second", "last"] {
            assert_eq!(value(&db, name).await, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn a_closed_database_takes_no_writes() {
    let db = TestDatabase::file().await.unwrap();
    db.write(|tx| epochs::bump(tx, "a")).await;
    db.meta.close().await;
    let refused = db.meta.write(|tx| epochs::bump(tx, "a")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// A backup or an operator's shell may hold the lock of the file. The writer continues afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_process_is_waited_for() {
    let db = TestDatabase::file().await.unwrap();
    let crate::DatabaseLocation::SqliteFile(path) = db.database.clone() else {
        unreachable!("a file")
    };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let meta = db.meta.clone();
    let writer = tokio::spawn(async move { meta.write(|tx| epochs::bump(tx, "a")).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    other.execute_batch("COMMIT").unwrap();
    writer.await.unwrap().unwrap();
    db.meta.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cannot_write() {
    let db = TestDatabase::file().await.unwrap();
    db.meta.read(|tx| epochs::bump(tx, "a")).await.unwrap_err();
    if let Some(db) = TestDatabase::postgres().await {
        db.meta.read(|tx| epochs::bump(tx, "a")).await.unwrap_err();
        db.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let nowhere =
        Meta::open(crate::DatabaseLocation::Postgres("postgres://x@127.0.0.1:1/x".into())).await;
    assert_eq!(nowhere.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
}

/// The server ends every connection. Reads and writes continue with new ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_made_anew() {
    let Some(db) = TestDatabase::postgres().await else { return };
    db.write(|tx| epochs::bump(tx, "a")).await;
    let name = match &db.database {
        crate::DatabaseLocation::Postgres(url) => url.rsplit_once('/').unwrap().1.to_owned(),
        _ => unreachable!("PostgreSQL"),
    };
    for expected in 2..5 {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        super::administer(&end).await;
        assert_eq!(value(&db, "a").await, expected - 1);
        super::administer(&end).await;
        db.write(|tx| epochs::bump(tx, "a")).await;
        assert_eq!(value(&db, "a").await, expected);
    }
    db.delete().await;
}
