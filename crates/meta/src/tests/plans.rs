//! The query plans of lists. Each follows an index, without a scan of a table and without a sort.

use super::{NOW, TestDatabase, add_manifest, ensure_image, on_each};
use crate::gc_queue::ReviewKind;
use crate::{
    DatabaseLocation, Id, SqlParam, activity, attachments, blobs, cache_limits, cleanups,
    complete_list, day_counts, files, gc_queue, image_counters, image_summaries, images,
    operations, outbox, packages, projects, repositories, repository_summaries, revoked_tokens,
    roles, rules, search, secrets, sessions, tag_history, tag_table, tags, uploads, upstream_tags,
    upstreams, usage, usage_deltas, users, versions,
};

/// Checks a statement that sorts a bounded number of rows for each row of its list.
async fn check_with_inner_sorts(
    db: &TestDatabase,
    sql: &'static str,
    params: &[SqlParam<'static>],
) {
    let params = params.to_vec();
    let plan = db.read(move |tx| tx.query_plan(sql, &params)).await;
    let plan = plan.replace("SCAN few", "").replace("SCAN found", "");
    for unwanted in ["Seq Scan", "SCAN", "USE TEMP B-TREE FOR ORDER BY"] {
        assert!(!plan.contains(unwanted), "{unwanted} in {sql}:\n{plan}");
    }
}

async fn check(db: &TestDatabase, sql: &'static str, params: &[SqlParam<'static>]) {
    let params = params.to_vec();
    let plan = db.read(move |tx| tx.query_plan(sql, &params)).await;
    // Scans of subqueries with few rows are allowed: those with a limit of their own, and those that step from row to
    // row.
    let plan = plan.replace("SCAN few", "").replace("SCAN found", "");
    // A scan of these indexes is allowed: they hold only the rows that the query returns.
    let plan = plan.replace("SCAN v USING INDEX versions_incomplete", "");
    let plan = plan.replace("SCAN versions USING INDEX versions_uncounted", "SEARCH");
    let plan = plan.replace("SCAN usage_deltas USING INDEX usage_deltas_by_image", "SEARCH");
    let (unwanted, wanted): (&[&str], _) = match db.database {
        DatabaseLocation::Postgres(_) => (&["Seq Scan", "Sort"], "Index"),
        DatabaseLocation::SqliteFile(_) | DatabaseLocation::SqliteMemory => {
            (&["SCAN", "TEMP B-TREE", "MATERIALIZE"], "SEARCH")
        }
    };
    assert!(plan.contains(wanted), "{sql}:\n{plan}");
    for unwanted in unwanted {
        assert!(!plan.contains(unwanted), "{unwanted} in {sql}:\n{plan}");
    }
}

/// PostgreSQL gets rows and statistics, because its planner would read a small table as a whole.
async fn fill(db: &TestDatabase) {
    db.write(|tx| {
        let test_image = ensure_image(tx, "r", "i")?;
        let version = add_manifest(tx, &test_image, b"m", None, &[])?.expect("new");
        tags::set(tx, &test_image.package, "t", &version, NOW)?;
        gc_queue::enqueue(tx, ReviewKind::Link, &["a".into(), "b".into()], NOW)?;
        usage_deltas::add_delta(tx, &test_image.repository, 1)?;
        Ok(())
    })
    .await;
    if let DatabaseLocation::Postgres(_) = db.database {
        db.write(|tx| tx.execute("ANALYZE", params![])).await;
    }
}

on_each! {
    async fn lists_follow_an_index(db: &TestDatabase) {
        fill(db).await;
        let id: &'static Id = Box::leak(Box::new(Id::new()));
        let (id, text, limit) = (SqlParam::from(id), SqlParam::from("a"), SqlParam::from(10));
        check(db, packages::CATALOG_SQL, &[text, text, limit]).await;
        check(db, packages::BETWEEN_SQL, &[id, text, text, limit]).await;
        for sql in packages::LIST_SQL {
            check(db, sql, &[id, text, limit]).await;
        }
        let by_time =
            [images::OF_REPOSITORY_BY_UPLOAD, images::OF_REPOSITORY_BY_UPDATE, images::OF_PACKAGE_BY_UPLOAD, images::OF_PACKAGE_BY_UPDATE];
        for sql in by_time.iter().flat_map(|list| list.0) {
            check(db, sql, &[id, limit, id, limit]).await;
        }
        for sql in images::OF_PACKAGE_SQL {
            check(db, sql, &[id, text, limit]).await;
        }
        check(db, images::REFERRING_SQL, &[id, text, limit]).await;
        check(db, images::CHILDREN_SQL, &[id, limit]).await;
        check(db, images::TAGGED_BETWEEN_SQL, &[id, text, text, limit]).await;
        let of_files = [files::BLOBS_SQL, files::MANIFESTS_SQL, files::BLOBS_OF_PACKAGE_SQL, files::MANIFESTS_OF_PACKAGE_SQL];
        for sql in of_files.iter().flatten() {
            check(db, sql, &[id, text, limit]).await;
        }
        check(db, files::OF_VERSION_SQL, &[id]).await;
        check(db, versions::incomplete::INCOMPLETE_SQL, &[limit]).await;
        check(db, attachments::OF_REPOSITORY_SQL, &[id, text, limit]).await;
        check(db, attachments::BY_NAME_SQL, &[id, text]).await;
        check(db, attachments::OF_TARGET_SQL, &[id, text, limit, text]).await;
        for sql in tag_table::BY_NAME_SQL {
            check_with_inner_sorts(db, sql, &[id, text, limit, limit, limit]).await;
        }
        for sql in tag_table::BY_TIME_SQL {
            check_with_inner_sorts(db, sql, &[id, text, limit, limit, limit, limit]).await;
        }
        check(db, tags::NAMES_SQL, &[id, text, limit]).await;
        check(db, tags::NAMES_OF_VERSION_SQL, &[id, text, limit]).await;
        check(db, versions::referrers::REFERRER_SIZES_SQL, &[id, text, text, limit]).await;
        check(db, versions::referrers::REFERRERS_SQL, &[id, text, text, text, text]).await;
        check(db, tags::BEGINNING_SQL, &[id, text]).await;
        check(db, cleanups::DUE_SQL, &[limit]).await;
        check(db, cleanups::NEXT_PACKAGE_SQL, &[id, text]).await;
        check(db, cleanups::CANDIDATES_SQL, &[id, limit, id, limit]).await;
        check(db, cleanups::NEWER_SQL, &[id, limit, id, limit]).await;
        check(db, tags::LIST_SQL, &[id, text, limit]).await;
        check(db, tags::UNTAGGED_SQL, &[id, limit, limit]).await;
        check(db, complete_list::VERSIONS_SQL, &[id, text, limit, limit]).await;
        check(db, upstreams::READERS_SQL, &[id, limit]).await;
        check(db, repositories::HOLDERS_SQL, &[text, limit]).await;
        for sql in versions::HELD_SQL {
            check(db, sql, &[text, text, limit, limit]).await;
        }
        check(db, search::PREFIX_SQL, &[text, id, text, limit]).await;
        check(db, search::DIGEST_SQL, &[text, id, limit]).await;
        check(db, blobs::NAMED_SQL, &[text, limit]).await;
        for condition in repositories::HOLDING_SQL {
            let sql: &'static str = Box::leak(repositories::holding_sql(condition, 2).into());
            check(db, sql, &[text, id, id]).await;
        }
        check(db, upstream_tags::FORGET_SQL, &[limit, limit]).await;
        check(db, upstream_tags::FOUND_SQL, &[id, text, text, limit]).await;
        check(db, operations::FORGET_SQL, &[limit, limit]).await;
        check(db, revoked_tokens::SINCE_SQL, &[limit, limit]).await;
        check(db, revoked_tokens::FORGET_SQL, &[limit]).await;
        check(db, outbox::DUE_SQL, &[text, limit, limit]).await;
        check(db, outbox::WAITING_SQL, &[text, limit]).await;
        check(db, outbox::FORGET_SQL, &[limit, limit]).await;
        check(db, versions::ADOPT_SQL, &[limit]).await;
        check(db, rules::LIST_SQL, &[id, text, limit]).await;
        check(db, rules::OF_SQL, &[id, text, text]).await;
        check(db, secrets::LIST_SQL, &[text, text, limit]).await;
        check(db, secrets::SEALED_SQL, &[id, limit, limit]).await;
        check(db, secrets::USERS_SQL, &[text, text, limit]).await;
        check(db, users::LIST_SQL, &[text, limit]).await;
        check(db, roles::LIST_SQL, &[text, text, limit, limit]).await;
        check(db, roles::DELETED_BEFORE_SQL, &[limit]).await;
        check(db, users::EXPIRED_LINKS_SQL, &[limit]).await;
        check(db, sessions::LIST_SQL, &[id, limit]).await;
        for sql in sessions::ENDED_SQL {
            check(db, sql, &[limit]).await;
        }
        check(db, uploads::OPEN_SQL, &[id, text, limit]).await;
        check(db, packages::DELETING_SQL, &[id, text]).await;
        check(db, cache_limits::NEXT_SQL, &[id]).await;
        check(db, cache_limits::LIST_SQL, &[id, limit, id, limit, limit]).await;
        check(db, cache_limits::BLOBS_SQL, &[id, text, limit]).await;
        check(db, tag_history::LIST_SQL[0], &[id, id, limit]).await;
        check(db, tag_history::LIST_SQL[1], &[id, id, limit, text]).await;
        check(db, blobs::DUE_SQL, &[limit, limit, id, limit]).await;
        check(db, gc_queue::DUE_SQL, &[limit, limit, text, text, limit]).await;
    }

    async fn counters_and_history_follow_an_index(db: &TestDatabase) {
        fill(db).await;
        let id: &'static Id = Box::leak(Box::new(Id::new()));
        let (id, text, limit) = (SqlParam::from(id), SqlParam::from("a"), SqlParam::from(10));
        let [ascending, descending] = images::UNTAGGED_BY_UPLOAD.0;
        check(db, ascending, &[id, limit, id, limit]).await;
        check(db, descending, &[id, limit, id, limit]).await;
        check(db, Box::leak(versions::untagged::recount_sql(2).into()), &[id, id]).await;
        check(db, versions::untagged::UNCOUNTED_SQL, &[limit]).await;
        check(db, usage::WAITING_SQL, &[limit]).await;
        check(db, image_counters::DUE_SQL, &[limit]).await;
        for table in day_counts::DayTable::ALL {
            check(db, table.forget_sql(), &[limit, limit]).await;
        }
        check(db, image_counters::BLOB_SIZES_SQL, &[id, text, limit]).await;
        for sql in image_summaries::BY_NAME_SQL {
            check(db, sql, &[id, text, limit]).await;
        }
        let by_counter = [image_summaries::BY_PUSH_SQL, image_summaries::BY_SIZE_SQL, image_summaries::BY_TAGS_SQL];
        for sql in by_counter.iter().flatten() {
            check(db, sql, &[id, limit, limit, id]).await;
        }
        let reads = [(image_summaries::READ_SQL, limit), (repository_summaries::READ_SQL, text)];
        for (sql, first) in reads {
            check(db, Box::leak(format!("{sql} (?2, ?3)").into()), &[first, id, id]).await;
        }
        for sql in repository_summaries::LIST_SQL {
            check(db, sql, &[text, text, text, limit]).await;
        }
        for sql in projects::LIST_SQL {
            check(db, sql, &[text, limit]).await;
        }
        for sql in tag_table::OF_VERSION_SQL {
            check_with_inner_sorts(db, sql, &[id, text, limit, limit, limit]).await;
        }
        check(db, repository_summaries::PROJECT_SQL, &[text]).await;
        check(db, tag_history::OLD_SQL, &[id, id, limit]).await;
        check(db, activity::FORGET_SQL, &[id, limit]).await;
        check(db, activity::LIST_SQL[0], &[id, limit, id, limit]).await;
        check(db, activity::LIST_SQL[1], &[id, limit, id, limit, text]).await;
    }
}
