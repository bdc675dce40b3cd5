//! What transactions promise, on each database. The tables' own functions are tested through the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::digest::Digest;
use model::name::{ImagePath, RepositoryName};

use super::*;

/// Runs a test on SQLite in a file and in memory, and on PostgreSQL where `TEST_POSTGRES_URL` names one.
async fn on_each<F: AsyncFn(Meta)>(test: F) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = Database::SqliteFile(folder.path().join("test.db"));
    let mut databases = vec![file, Database::SqliteMemory];
    databases.extend(new_postgres().await);
    for database in databases {
        let meta = Meta::open(database).await.expect("a new database");
        test(meta.clone()).await;
        meta.close().await;
    }
}

async fn new_postgres() -> Option<Database> {
    let Ok(admin) = std::env::var("TEST_POSTGRES_URL") else {
        println!("SKIPPED on PostgreSQL: TEST_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("m{}", Id::new());
    let connected = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("it runs");
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("an administrator");
    let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
    Some(Database::Postgres(format!("{server}/{name}")))
}

fn name() -> RepositoryName {
    RepositoryName {
        project: "p".parse().expect("a project"),
        location: "us-west1".parse().expect("a location"),
        repository: "r".parse().expect("a repository"),
    }
}

/// A repository with one image, and their ids.
fn image(tx: &mut Tx<'_>) -> Result<(Id, Id), MetaError> {
    repositories::insert(tx, &name(), true, 1)?;
    let repository = repositories::find(tx, &name())?.expect("just made").id;
    let path = ImagePath::parse("p/r/image", None).expect("a path");
    let package = packages::ensure(tx, &repository, (&path, &name().location), 1)?;
    Ok((repository, package))
}

fn version(tx: &mut Tx<'_>, package: &Id, bytes: &[u8]) -> Result<Id, MetaError> {
    let new = versions::NewVersion {
        package_id: package,
        digest: &Digest::of(bytes),
        bytes,
        media_type: "x",
        image_bytes: 1,
        artifact_type: None,
        subject: None,
        annotations: "{}",
        platforms: "[]",
        built_at: None,
        now: 1,
    };
    Ok(versions::insert(tx, &new)?.expect("new"))
}

/// A blob of `size` bytes in the repository.
fn blob(
    tx: &mut Tx<'_>,
    repository: &Id,
    (bytes, size): (&[u8], i64),
) -> Result<Digest, MetaError> {
    let (copy, digest) = (Id::new(), Digest::of(bytes));
    blobs::insert_copy(tx, &copy, 1)?;
    let finished =
        blobs::Finished { id: &copy, digest: &digest, size, mtime_ns: 1, ctime_ns: 1, now: 1 };
    assert!(blobs::make_live(tx, &finished)?);
    blobs::link(tx, repository, (&digest, size), 1)?;
    Ok(digest)
}

fn reference(digest: &Digest, size: i64, binding: versions::Binding) -> versions::Reference {
    versions::Reference { digest: digest.clone(), size, binding }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost() {
    on_each(async |meta| {
        let add = |_| {
            let meta = meta.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    meta.write(|tx| {
                        let value = epochs::get(tx, "count")?;
                        tx.exec(
                            "INSERT INTO epochs (name, value) VALUES ('count', ?1)
                             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                            params![value + 1],
                        )
                    })
                    .await
                    .expect("retried until it succeeds");
                }
            })
        };
        for task in (0..16).map(add).collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        assert_eq!(meta.read(|tx| epochs::get(tx, "count")).await.expect("readable"), 160);
    })
    .await;
}

/// Each takes one of two things if both are there. Serializable: one is left.
#[tokio::test(flavor = "multi_thread")]
async fn no_two_decide_on_the_same_sight() {
    on_each(async |meta| {
        let both = |tx: &mut Tx<'_>| {
            epochs::bump(tx, "a")?;
            epochs::bump(tx, "b")
        };
        meta.write(both).await.expect("writable");
        let take = |name: &'static str| {
            let meta = meta.clone();
            tokio::spawn(async move {
                meta.write(move |tx| {
                    if epochs::get(tx, "a")? + epochs::get(tx, "b")? == 2 {
                        tx.exec("UPDATE epochs SET value = 0 WHERE name = ?1", params![name])?;
                    }
                    Ok::<_, MetaError>(())
                })
                .await
                .expect("retried");
            })
        };
        for task in [take("a"), take("b"), take("a"), take("b")] {
            task.await.expect("no panic");
        }
        let left =
            meta.read(|tx| Ok::<_, MetaError>(epochs::get(tx, "a")? + epochs::get(tx, "b")?));
        assert_eq!(left.await.expect("readable"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_failed_ends_its_transaction_even_when_nobody_minds() {
    on_each(async |meta| {
        let outcome = meta.write(|tx| {
            epochs::bump(tx, "before")?;
            let failed = tx.exec("INSERT INTO epochs (name, value) VALUES (NULL, 1)", params![]);
            assert_eq!(failed.expect_err("NOT NULL").kind(), ErrorKind::Check);
            let refused = epochs::bump(tx, "after");
            assert_eq!(refused.expect_err("over").kind(), ErrorKind::Check);
            Ok::<_, MetaError>(())
        });
        assert_eq!(outcome.await.expect_err("not committed").kind(), ErrorKind::Check);
        let read = |tx: &mut Tx<'_>| {
            Ok::<_, MetaError>((epochs::get(tx, "before")?, epochs::get(tx, "after")?))
        };
        assert_eq!(meta.read(read).await.expect("readable"), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_panics_is_rolled_back_alone() {
    on_each(async |meta| {
        let panicking = meta.clone();
        let panicked = tokio::spawn(async move {
            let write = panicking.write(|tx| {
                epochs::bump(tx, "panic")?;
                if epochs::get(tx, "panic")? == 1 {
                    panic!("on purpose");
                }
                Ok::<_, MetaError>(())
            });
            write.await
        });
        let beside = meta.write(|tx| epochs::bump(tx, "beside"));
        beside.await.expect("its neighbour's panic is not its own");
        assert!(panicked.await.expect_err("it panicked").is_panic());
        let read = |tx: &mut Tx<'_>| {
            Ok::<_, MetaError>((epochs::get(tx, "panic")?, epochs::get(tx, "beside")?))
        };
        assert_eq!(meta.read(read).await.expect("readable"), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_leaves_changes_nothing() {
    on_each(async |meta| {
        // A bit for each closure that ran; one that had to run again sets it again.
        let ran = Arc::new(AtomicU32::new(0));
        for n in 0..20 {
            let ran = ran.clone();
            let write = meta.write(move |tx| {
                ran.fetch_or(1 << n, Ordering::Relaxed);
                epochs::bump(tx, "left")
            });
            let _ = tokio::time::timeout(std::time::Duration::from_micros(50), write).await;
        }
        // One that waits its turn behind them.
        meta.write(|tx| epochs::bump(tx, "last")).await.expect("writable");
        let read = |tx: &mut Tx<'_>| epochs::get(tx, "left");
        let ran = || i64::from(ran.load(Ordering::Relaxed).count_ones());
        while meta.read(read).await.expect("readable") < ran() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_needed_cannot_be_deleted() {
    on_each(async |meta| {
        let (repository, digest) = meta
            .write(|tx| {
                let (repository, package) = image(tx)?;
                let digest = blob(tx, &repository, (b"layer", 5))?;
                let version = version(tx, &package, b"manifest")?;
                let refs = [reference(&digest, 5, versions::Binding::Blob)];
                versions::insert_refs(tx, &version, (&repository, &package), &refs)?;
                Ok::<_, MetaError>((repository, digest))
            })
            .await
            .expect("writable");
        let wanted = digest.clone();
        let unlinked = meta.write(move |tx| blobs::unlink(tx, &repository, &wanted)).await;
        assert_eq!(unlinked.expect_err("needed").kind(), ErrorKind::ForeignKey);
        let deleted = meta.write(move |tx| blobs::delete(tx, &digest)).await;
        assert_eq!(deleted.expect_err("linked").kind(), ErrorKind::ForeignKey);
    })
    .await;
}

#[tokio::test]
async fn a_manifest_binds_what_is_there_with_the_size_that_it_has() {
    on_each(async |meta| {
        for (bytes, size) in [(&b"never pushed"[..], 12), (b"layer", 6)] {
            let refused = meta.write(move |tx| {
                let (repository, package) = image(tx)?;
                blob(tx, &repository, (b"layer", 5))?;
                let version = version(tx, &package, b"manifest")?;
                let refs = [reference(&Digest::of(bytes), size, versions::Binding::Blob)];
                versions::insert_refs(tx, &version, (&repository, &package), &refs)
            });
            assert_eq!(refused.await.expect_err("refused").kind(), ErrorKind::ForeignKey);
        }
    })
    .await;
}

#[tokio::test]
async fn open_references_are_bound_when_their_content_comes() {
    on_each(async |meta| {
        let bound = meta.write(|tx| {
            let (repository, package) = image(tx)?;
            let (layer, child) = (Digest::of(b"layer"), Digest::of(b"child"));
            let parent = version(tx, &package, b"parent")?;
            let refs = [
                reference(&layer, 5, versions::Binding::OpenBlob),
                reference(&child, 5, versions::Binding::OpenChild),
            ];
            versions::insert_refs(tx, &parent, (&repository, &package), &refs)?;
            assert_eq!(versions::bind_blob(tx, &repository, (&layer, 4))?, 0, "another size");
            blob(tx, &repository, (b"layer", 5))?;
            assert_eq!(versions::bind_blob(tx, &repository, (&layer, 5))?, 1);
            assert_eq!(versions::bind_blob(tx, &repository, (&layer, 5))?, 0);
            let id = version(tx, &package, b"child")?;
            assert_eq!(versions::bind_child(tx, (&repository, &package), (&child, 5), &id)?, 1);
            Ok::<_, MetaError>((
                versions::user_of_blob(tx, &repository, &layer)?,
                versions::parent_of(tx, &id)?,
            ))
        });
        let parent = Some(Digest::of(b"parent"));
        assert_eq!(bound.await.expect("writable"), (parent.clone(), parent));
    })
    .await;
}

#[tokio::test]
async fn a_review_that_was_put_off_is_not_taken() {
    on_each(async |meta| {
        let outcome = meta.write(|tx| {
            gc_queue::enqueue(tx, "blob", &["a".to_owned(), "b".to_owned()], 10)?;
            gc_queue::enqueue(tx, "blob", &["a".to_owned()], 5)?;
            let before =
                gc_queue::Review { kind: String::new(), id: String::new(), review_after: i64::MIN };
            let due = gc_queue::due(tx, 10, &before, 100)?;
            assert_eq!(due.iter().map(|review| review.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(gc_queue::due(tx, 10, &due[0], 100)?.len(), 1, "a cursor");
            assert!(gc_queue::due(tx, 9, &before, 100)?.is_empty());
            assert_eq!(gc_queue::put_off(tx, ("blob", "a"), 20, 15)?, 1);
            assert_eq!(gc_queue::put_off(tx, ("blob", "a"), 21, 15)?, 0, "late enough already");
            Ok::<_, MetaError>((gc_queue::take(tx, &due[0])?, gc_queue::take(tx, &due[1])?))
        });
        assert_eq!(outcome.await.expect("writable"), (false, true));
    })
    .await;
}

#[tokio::test]
async fn one_holds_a_lease() {
    on_each(async |meta| {
        let outcome = meta.write(|tx| {
            Ok::<_, MetaError>([
                leases::acquire(tx, "gc", "one", (0, 10))?,
                leases::acquire(tx, "gc", "two", (5, 15))?,
                leases::acquire(tx, "gc", "one", (6, 16))?,
                leases::acquire(tx, "gc", "two", (16, 26))?,
                leases::acquire(tx, "gc", "one", (17, 27))?,
            ])
        });
        assert_eq!(outcome.await.expect("writable"), [Some(1), None, Some(1), Some(2), None]);
    })
    .await;
}

#[tokio::test]
async fn rows_in_slices() {
    on_each(async |meta| {
        let names: Vec<String> = (0..1000).map(|n| format!("n{n}")).collect();
        let rows = meta.write(move |tx| {
            let rows: Vec<_> =
                names.iter().map(|name| vec![Param::from(name.as_str()), Param::from(7)]).collect();
            tx.exec_values("INSERT INTO epochs (name, value)", "", &rows)
        });
        assert_eq!(rows.await.expect("writable"), 1000);
        let sum = meta.read(|tx| {
            tx.opt("SELECT CAST(sum(value) AS BIGINT) FROM epochs", params![], |row| row.int(0))
        });
        assert_eq!(sum.await.expect("readable"), Some(7000));
    })
    .await;
}

/// Every list walks its index from where the page begins: no scan of a table, no sorting.
#[tokio::test]
async fn lists_walk_their_indexes() {
    on_each(async |meta| {
        let plans = meta.read(|tx| {
            let (id, text, some) = (Id::new(), "x", 5_i64);
            let digest = Digest::of(b"");
            Ok::<_, MetaError>([
                tx.explain(packages::CATALOG_SQL, params![text, text, some])?,
                tx.explain(packages::BETWEEN_SQL, params![&id, text, text, some])?,
                tx.explain(tags::LIST_SQL, params![&id, text, some])?,
                tx.explain(versions::REFERRERS_SQL, params![&id, digest.as_str(), text, some])?,
                tx.explain(gc_queue::DUE_SQL, params![some, some, text, text, some])?,
            ])
        });
        for plan in plans.await.expect("explained") {
            for word in ["SCAN", "TEMP B-TREE", "Seq Scan", "Sort"] {
                assert!(!plan.contains(word), "{plan}");
            }
            assert!(plan.contains("INDEX") || plan.contains("Index"), "{plan}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::SqliteFile(folder.path().join("test.db"));
    let meta = Meta::open(database.clone()).await.expect("new");
    meta.write(|tx| epochs::bump(tx, "kept")).await.expect("writable");
    // Not closed: as after a kill.
    let again = Meta::open(database).await.expect("the same");
    assert_eq!(again.read(|tx| epochs::get(tx, "kept")).await.expect("readable"), 1);
    meta.close().await;
    let closed = meta.write(|tx| epochs::bump(tx, "late")).await;
    assert_eq!(closed.expect_err("closed").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_database_of_another_berth_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = Database::SqliteFile(folder.path().join("test.db"));
    for database in [Some(file), new_postgres().await].into_iter().flatten() {
        for change in [
            "UPDATE migrations SET checksum = 'another'",
            "INSERT INTO migrations (name, checksum) VALUES ('9999_future', 'x')",
        ] {
            let meta = Meta::open(database.clone()).await.expect("ours");
            meta.write(move |tx| tx.exec(change, params![])).await.expect("writable");
            meta.close().await;
            let refused = Meta::open(database.clone()).await.err().expect("another's");
            assert!(refused.to_string().contains("migration"), "{refused}");
            if let Database::Postgres(_) = database {
                break;
            }
            std::fs::remove_file(folder.path().join("test.db")).expect("there");
        }
    }
}

#[test]
fn ids() {
    let ids: Vec<_> = (0..1000).map(|_| Id::new()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "new rows stand behind old ones");
    let id = Id::random();
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(id.to_string().len(), 32);
    for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &id.to_string()[1..]] {
        assert!(text.parse::<Id>().is_err(), "{text}");
    }
}
