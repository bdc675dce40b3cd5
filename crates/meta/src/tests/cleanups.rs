//! The schedule of cleanups, and the manifests that a run reads.

use super::{NOW, TestDatabase, add_manifest, ensure_image, on_each, repository_name};
use crate::cleanups::{self, CleanupCursor};
use crate::{MetaError, Tx, deletion, repositories, tags};

/// Returns the name of the repository that is due at a time, or an empty text.
fn due(tx: &mut Tx<'_>, now: i64) -> Result<String, MetaError> {
    Ok(cleanups::find_due(tx, now)?.map_or(String::new(), |due| due.name.repository.to_string()))
}

on_each! {
    async fn a_run_goes_on_where_it_was_unless_it_is_asked_for_anew(db: &TestDatabase) {
        db.write(|tx| {
            let (a, b) = (ensure_image(tx, "a", "i")?.repository, ensure_image(tx, "b", "i")?.repository);
            cleanups::schedule(tx, &a, NOW)?;
            cleanups::schedule(tx, &b, NOW + 1)?;
            assert_eq!(due(tx, NOW - 1)?, "");
            assert_eq!(due(tx, NOW + 1)?, "a");
            let run = cleanups::find_due(tx, NOW)?.expect("due");
            assert_eq!(run.cursor, CleanupCursor::start());
            let position = CleanupCursor { package: "i".to_owned(), uploaded_at: 7, version: a };
            assert_eq!(cleanups::advance(tx, &run, &position, run.due_at)?, 1);
            assert_eq!(cleanups::find_due(tx, NOW)?.expect("not done").cursor, position);
            assert_eq!(cleanups::advance(tx, &run, &CleanupCursor::start(), NOW + 9)?, 1);
            assert_eq!(due(tx, NOW + 8)?, "b");
            // The cleanup is scheduled again during a run. The position of that run is not recorded any more.
            let run = cleanups::find_due(tx, NOW + 1)?.expect("due");
            cleanups::schedule(tx, &b, NOW + 5)?;
            assert_eq!(cleanups::advance(tx, &run, &position, run.due_at)?, 0);
            assert_eq!(cleanups::find_due(tx, NOW + 5)?.expect("due").cursor, CleanupCursor::start());
            cleanups::unschedule(tx, &b)?;
            assert_eq!(due(tx, NOW + 8)?, "");
            Ok(())
        }).await;
    }

    async fn a_repository_that_goes_takes_its_place_along(db: &TestDatabase) {
        db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            cleanups::schedule(tx, &test_image.repository, NOW)?;
            repositories::hide(tx, &test_image.repository, NOW)?;
            assert_eq!(cleanups::find_settings(tx, &test_image.repository)?, None);
            while !deletion::delete_some_of_repository(tx, &test_image.repository, 10)?.is_complete {}
            assert!(cleanups::find_due(tx, NOW)?.is_none());
            Ok(())
        }).await;
    }

    async fn the_newest_come_first(db: &TestDatabase) {
        db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            let mut ids = Vec::new();
            for number in 0..7 {
                let bytes = format!("m{number}");
                let id = add_manifest(tx, &test_image, bytes.as_bytes(), None, &[])?.expect("new");
                // Two manifests at a time have the same push time.
                tx.execute("UPDATE versions SET uploaded_at = ?2 WHERE id = ?1", params![&id, NOW + number / 2])?;
                ids.push((NOW + number / 2, id));
            }
            ids.sort();
            ids.reverse();
            let (mut cursor, mut seen) = (CleanupCursor::before("i".to_owned()), Vec::new());
            loop {
                let some = cleanups::list_candidates(tx, &test_image.package, &cursor, 2)?;
                let Some(last) = some.last() else { break };
                (cursor.uploaded_at, cursor.version) = (last.uploaded_at, last.version.id);
                for candidate in some {
                    let newer = seen.len() as i64;
                    assert!(newer == 0 || cleanups::has_newer(tx, &candidate, newer)?);
                    assert!(!cleanups::has_newer(tx, &candidate, newer + 1)?);
                    seen.push((candidate.uploaded_at, candidate.version.id));
                }
            }
            assert_eq!(seen, ids);
            Ok(())
        }).await;
    }

    async fn images_that_are_being_removed_are_passed_over(db: &TestDatabase) {
        db.write(|tx| {
            let (a, b) = (ensure_image(tx, "r", "a")?, ensure_image(tx, "r", "b/c")?);
            crate::packages::hide(tx, &a.package)?;
            let next = cleanups::find_next_package(tx, &a.repository, "")?;
            assert_eq!(next, Some((b.package, "b/c".to_owned())));
            assert_eq!(cleanups::find_next_package(tx, &a.repository, "b/c")?, None);
            Ok(())
        }).await;
    }

    async fn the_beginning_of_a_tag_is_found_among_many(db: &TestDatabase) {
        db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            let version = add_manifest(tx, &test_image, b"m", None, &[])?.expect("new");
            assert!(!tags::has_prefix(tx, &version, "")?);
            for number in 0..150 {
                tags::set(tx, &test_image.package, &format!("a{number}"), &version, NOW)?;
            }
            tags::set(tx, &test_image.package, "v1.0", &version, NOW)?;
            for (beginning, there) in [("", true), ("v", true), ("v1.0", true), ("v1.0.", false), ("b", false), ("w", false)] {
                assert_eq!(tags::has_prefix(tx, &version, beginning)?, there, "{beginning}");
            }
            Ok(())
        }).await;
    }

    /// The migration schedules repositories whose policies were set by a version of Berth that did not act on them.
    async fn policies_of_old_are_acted_on(db: &TestDatabase) {
        db.write(|tx| {
            let with = ensure_image(tx, "with", "i")?.repository;
            ensure_image(tx, "without", "i")?;
            let settings = r#"{"cleanupPolicies":{}}"#;
            tx.execute("UPDATE repositories SET settings = ?2 WHERE id = ?1", params![&with, settings])?;
            let migration = include_str!("../../migrations/0006_cleanup.sql");
            let (_, backfill) = migration.split_once("INSERT").expect("it is the last statement");
            tx.script(&format!("INSERT{backfill}"))?;
            let found = cleanups::find_due(tx, NOW)?.expect("it is due");
            assert_eq!(found.name, repository_name("with"));
            assert!(cleanups::find_next_package(tx, &with, &found.cursor.package)?.is_some());
            cleanups::unschedule(tx, &with)?;
            assert!(cleanups::find_due(tx, NOW)?.is_none());
            Ok(())
        }).await;
    }
}
