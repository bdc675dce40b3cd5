//! The functions of the tables: they read back the rows that they wrote.

use model::digest::Digest;
use model::name::Location;
use model::secret::{SecretName, SecretVersion};

use super::{
    NOW, TestDatabase, TestImage, add_blob, add_manifest, ensure_image, on_each, parsed, reference,
    repository_name,
};
use crate::change_way::ChangeWay;
use crate::events::{EventAction, EventPlace};
use crate::gc_queue::{GcReview, ReviewKind};
use crate::tags::TagChange;
use crate::versions::{ImageAddress, ReferenceBinding, ReferrerRange};
use crate::{
    Id, MetaError, Tx, epochs, events, gc_queue, leases, packages, repositories, revoked_tokens,
    roles, secrets, tags, usage, usage_deltas, versions,
};

/// Creates an image with the manifests `m0`, `m1`, …, which have no references.
fn manifests(tx: &mut Tx<'_>, count: usize) -> Result<(TestImage, Vec<Id>), MetaError> {
    let test_image = ensure_image(tx, "r", "i")?;
    let ids = (0..count)
        .map(|number| {
            let id = add_manifest(tx, &test_image, format!("m{number}").as_bytes(), None, &[])?;
            Ok(id.expect("it is new"))
        })
        .collect::<Result<_, MetaError>>()?;
    Ok((test_image, ids))
}

on_each! {
    async fn a_repository_is_made_once(db: &TestDatabase) {
        db.write(|tx| {
            let name = repository_name("r");
            assert_eq!(repositories::find(tx, &name)?, None);
            assert!(repositories::insert(tx, &name, true, NOW)?);
            assert!(!repositories::insert(tx, &name, false, NOW)?);
            let found = repositories::find(tx, &name)?.expect("made");
            assert!(found.allows_missing_content);
            assert_eq!(repositories::find_size_bytes(tx, &found.id)?, Some(0));
            assert_eq!(repositories::find_size_bytes(tx, &Id::new())?, None);
            assert_eq!(repositories::find(tx, &repository_name("other"))?, None);
            Ok(())
        }).await;
    }

    async fn the_catalog_pages_in_byte_order(db: &TestDatabase) {
        let pages = db.write(|tx| {
            for (repository, image) in [("r", "b"), ("r", "a/b"), ("r", "a-b"), ("q", "z")] {
                let first = ensure_image(tx, repository, image)?;
                assert_eq!(ensure_image(tx, repository, image)?.package, first.package);
                assert_eq!(packages::find(tx, &first.repository, image)?, Some(first.package));
                assert_eq!(packages::find(tx, &first.repository, "none")?, None);
            }
            let (mut pages, mut last) = (Vec::new(), String::new());
            let location: Location = parsed("us");
            loop {
                let page = packages::list_catalog(tx, &location, &last, 3)?;
                let Some(entry) = page.last() else { break };
                last.clone_from(&entry.path);
                pages.push(page.into_iter().map(|entry| entry.path).collect::<Vec<_>>());
            }
            assert!(packages::list_catalog(tx, &parsed("eu"), "", 3)?.is_empty());
            let entry = packages::list_catalog(tx, &location, "", 1)?.remove(0);
            assert_eq!((entry.project.as_str(), entry.repository.as_str()), ("p", "q"));
            let repository = ensure_image(tx, "r", "b")?.repository;
            let between = packages::list_names_between(tx, &repository, "a-", "a0", 10)?;
            assert_eq!(between, ["a-b", "a/b"]);
            assert_eq!(packages::list_names_between(tx, &repository, "a", "c", 2)?, ["a-b", "a/b"]);
            Ok(pages)
        }).await;
        assert_eq!(pages, [vec!["p/q/z", "p/r/a-b", "p/r/a/b"], vec!["p/r/b"]]);
    }

    async fn a_manifest_is_read_by_tag_and_digest(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, ids) = manifests(tx, 1)?;
            let (at, digest) = (ImageAddress { repository: &test_image.repository, image: "i" }, Digest::of(b"m0"));
            assert_eq!(add_manifest(tx, &test_image, b"m0", None, &[])?, None);
            tags::set(tx, &test_image.package, "t", &ids[0], NOW)?;
            let by_tag = versions::find_by_tag(tx, at, "t")?.expect("tagged");
            assert_eq!((by_tag.id, by_tag.package_id), (ids[0], test_image.package));
            assert_eq!((&by_tag.digest, by_tag.manifest_bytes), (&digest, 2));
            assert_eq!((by_tag.media_type.as_str(), by_tag.subject), ("application/vnd.oci.image.manifest.v1+json", None));
            assert_eq!(versions::find_by_digest(tx, at, &digest)?.expect("stored").id, ids[0]);
            let (version, bytes) = versions::find_content_by_tag(tx, at, "t")?.expect("tagged");
            assert_eq!((version.id, bytes.as_slice()), (ids[0], b"m0".as_slice()));
            let (version, bytes) = versions::find_content_by_digest(tx, at, &digest)?.expect("stored");
            assert_eq!((version.id, bytes.as_slice()), (ids[0], b"m0".as_slice()));
            assert_eq!(versions::find_in_package(tx, &test_image.package, &digest)?, Some((ids[0], 2)));
            // Another image of the repository has neither the tag nor the manifest.
            let elsewhere = ImageAddress { image: "other", ..at };
            assert!(versions::find_by_tag(tx, elsewhere, "t")?.is_none());
            assert!(versions::find_by_digest(tx, elsewhere, &digest)?.is_none());
            assert!(versions::find_content_by_tag(tx, at, "none")?.is_none());
            Ok(())
        }).await;
    }

    async fn a_deleted_manifest_leaves_no_bytes(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, ids) = manifests(tx, 2)?;
            let digest = Digest::of(b"m0");
            assert!(versions::is_content_used(tx, &digest)?);
            assert_eq!(versions::delete(tx, &ids[0])?, 1);
            assert_eq!(versions::delete(tx, &ids[0])?, 0);
            assert!(!versions::is_content_used(tx, &digest)?);
            assert_eq!(versions::delete_content(tx, &digest)?, 1);
            assert_eq!(versions::find_in_package(tx, &test_image.package, &digest)?, None);
            assert!(versions::is_content_used(tx, &Digest::of(b"m1"))?);
            Ok(())
        }).await;
    }

    async fn tags_page_in_byte_order(db: &TestDatabase) {
        let pages = db.write(|tx| {
            let (test_image, ids) = manifests(tx, 2)?;
            for number in 1..=25 {
                tags::set(tx, &test_image.package, &format!("t{number}"), &ids[number % 2], NOW)?;
            }
            let (mut pages, mut last) = (Vec::new(), String::new());
            loop {
                let page = tags::list(tx, &test_image.package, &last, 10)?;
                let Some(tag) = page.last() else { break };
                let shown = &tag.version;
                assert_eq!((shown.image_bytes, shown.uploaded_at, shown.built_at), (42, NOW, None));
                last.clone_from(&tag.name);
                pages.push(page.into_iter().map(|tag| tag.name).collect::<Vec<_>>());
            }
            assert_eq!(tags::list_first_of_version(tx, &ids[0], 100)?.len(), 12);
            assert_eq!(tags::list_first_of_version(tx, &ids[0], 2)?, ["t10", "t12"]);
            Ok(pages)
        }).await;
        let mut expected: Vec<_> = (1..=25).map(|number| format!("t{number}")).collect();
        expected.sort();
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(pages.concat(), expected);
    }

    async fn a_tag_moves_and_goes(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, ids) = manifests(tx, 2)?;
            assert_eq!(tags::find(tx, &test_image.package, "t")?, None);
            for (id, bytes) in ids.iter().zip([b"m0", b"m1"]) {
                tags::set(tx, &test_image.package, "t", id, NOW)?;
                let found = tags::find(tx, &test_image.package, "t")?.expect("set");
                assert_eq!((found.version_id, found.digest), (*id, Digest::of(bytes)));
            }
            assert!(tags::list_first_of_version(tx, &ids[0], 1)?.is_empty());
            assert_eq!(tags::delete(tx, &test_image.package, "t")?, 1);
            assert_eq!(tags::delete(tx, &test_image.package, "t")?, 0);
            let changes = [(None, Some(b"m0")), (Some(b"m0"), Some(b"m1")), (Some(b"m1"), None)];
            let changes = changes.map(|(from, to)| TagChange {
                tag: "t".into(),
                from: from.map(|bytes| Digest::of(bytes)),
                to: to.map(|bytes| Digest::of(bytes)),
                principal: "user:a@example.com".into(),
                changed_at: NOW,
                way: ChangeWay::Console,
            });
            for change in &changes {
                tags::record_change(tx, &test_image.package, change)?;
            }
            assert_eq!(tags::list_changes(tx, &test_image.package, "t")?, changes);
            assert!(tags::list_changes(tx, &test_image.package, "u")?.is_empty());
            Ok(())
        }).await;
    }

    async fn referrers_page_by_digest(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, _) = manifests(tx, 1)?;
            let subject = Digest::of(b"m0");
            let mut expected: Vec<_> = (0..5).map(|number| format!("signature {number}")).collect();
            for bytes in &expected {
                add_manifest(tx, &test_image, bytes.as_bytes(), Some(&subject), &[])?;
            }
            expected.sort_by_key(|bytes| Digest::of(bytes.as_bytes()));
            let first = versions::list_referrer_sizes(tx, &test_image.package, &subject, "", 3)?;
            let last = first.last().expect("a page").digest.clone();
            let second = versions::list_referrer_sizes(tx, &test_image.package, &subject, last.as_str(), 3)?;
            assert_eq!((first.len(), second.len()), (3, 2));
            let end = second.last().expect("a page").digest.clone();
            for artifact_type in ["", "text/signature"] {
                let range = ReferrerRange { last: "", to: &end, artifact_type };
                let all = versions::list_referrers(tx, &test_image.package, &subject, range)?;
                assert_eq!(all.len(), 5);
                for ((found, size), bytes) in all.iter().zip(first.iter().chain(&second)).zip(&expected) {
                    assert_eq!((&found.digest, found.size), (&Digest::of(bytes.as_bytes()), 11));
                    assert_eq!(found.artifact_type.as_deref(), Some("text/signature"));
                    assert_eq!(found.annotations, "{}");
                    assert_eq!((&size.digest, &size.artifact_type), (&found.digest, &found.artifact_type));
                    assert_eq!(size.annotations, 2);
                }
            }
            let range = ReferrerRange { last: last.as_str(), to: &end, artifact_type: "" };
            assert_eq!(versions::list_referrers(tx, &test_image.package, &subject, range)?.len(), 2);
            let range = ReferrerRange { last: "", to: &end, artifact_type: "text/other" };
            assert!(versions::list_referrers(tx, &test_image.package, &subject, range)?.is_empty());
            let at = ImageAddress { repository: &test_image.repository, image: "i" };
            let one = versions::find_by_digest(tx, at, &last)?.expect("stored");
            assert_eq!(one.subject, Some(subject));
            Ok(())
        }).await;
    }

    async fn reviews_wait_until_they_are_due(db: &TestDatabase) {
        db.write(|tx| {
            let review = |id: &str, review_after| GcReview { kind: ReviewKind::Link, id: id.into(), review_after };
            gc_queue::enqueue(tx, ReviewKind::Link, &["b".into(), "a".into(), "b".into()], 100)?;
            gc_queue::enqueue(tx, ReviewKind::Link, &["c".into()], 50)?;
            assert!(gc_queue::list_due(tx, 49, None, 10)?.is_empty());
            let all = [review("c", 50), review("a", 100), review("b", 100)];
            assert_eq!(gc_queue::list_due(tx, 100, None, 10)?, all);
            assert_eq!(gc_queue::list_due(tx, 100, Some(&all[1]), 10)?, all[2..]);
            assert_eq!(gc_queue::list_due(tx, 100, None, 1)?, all[..1]);
            // A review is postponed, but its time never becomes earlier.
            gc_queue::enqueue(tx, ReviewKind::Link, &["a".into()], 200)?;
            gc_queue::enqueue(tx, ReviewKind::Link, &["b".into()], 1)?;
            assert_eq!(gc_queue::find_review_time(tx, ReviewKind::Link, "a")?, Some(200));
            assert_eq!(gc_queue::find_review_time(tx, ReviewKind::Link, "b")?, Some(100));
            assert_eq!(gc_queue::find_review_time(tx, ReviewKind::Blob, "b")?, None);
            assert_eq!(gc_queue::postpone(tx, ReviewKind::Link, "b", 300, 100)?, 0);
            assert_eq!(gc_queue::postpone(tx, ReviewKind::Link, "b", 300, 101)?, 1);
            // A review that was postponed after it was read is not deleted.
            assert!(!gc_queue::finish(tx, &all[2])?);
            assert!(gc_queue::finish(tx, &all[0])?);
            assert!(!gc_queue::finish(tx, &all[0])?);
            assert_eq!(gc_queue::list_due(tx, 1_000, None, 10)?, [review("a", 200), review("b", 300)]);
            Ok(())
        }).await;
    }

    async fn usage_is_counted_and_folded(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, ids) = manifests(tx, 1)?;
            let other = ensure_image(tx, "q", "i")?.repository;
            for bytes in [100, -30, 0, 5] {
                usage_deltas::add_delta(tx, &test_image.repository, bytes)?;
            }
            usage_deltas::add_delta(tx, &other, 7)?;
            let sizes = |tx: &mut Tx<'_>| Ok::<_, MetaError>((
                repositories::find_size_bytes(tx, &test_image.repository)?,
                repositories::find_size_bytes(tx, &other)?,
            ));
            assert_eq!(sizes(tx)?, (Some(75), Some(7)));
            for expected in [2, 2, 0] {
                assert_eq!(usage::fold_deltas(tx, NOW, 2)?, expected);
                assert_eq!(sizes(tx)?, (Some(75), Some(7)));
            }
            assert_eq!(usage::find_last_pull(tx, &ids[0])?, None);
            usage::add_pulls(tx, &ids[0], 19_000, 3, NOW)?;
            usage::add_pulls(tx, &ids[0], 19_000, 2, NOW - 5)?;
            usage::add_pulls(tx, &ids[0], 19_001, 1, NOW + 5)?;
            assert_eq!(usage::find_last_pull(tx, &ids[0])?, Some(NOW + 5));
            assert_eq!(usage::list_pulls_by_day(tx, &ids[0])?, [(19_000, 5), (19_001, 1)]);
            usage::add_pulls(tx, &Id::new(), 19_000, 1, NOW)?;
            versions::delete(tx, &ids[0])?;
            assert_eq!(usage::find_last_pull(tx, &ids[0])?, None);
            assert!(usage::list_pulls_by_day(tx, &ids[0])?.is_empty());
            Ok(())
        }).await;
    }

    async fn a_pull_of_an_index_is_a_use_of_what_it_names(db: &TestDatabase) {
        db.write(|tx| {
            let (test_image, ids) = manifests(tx, 3)?;
            let named: Vec<_> = (0..3)
                .map(|number| reference(format!("m{number}").as_bytes(), ReferenceBinding::Manifest(ids[number])))
                .chain([reference(b"never pushed", ReferenceBinding::MissingManifest)])
                .collect();
            let index = add_manifest(tx, &test_image, b"index", None, &named)?.expect("new");
            let (mut after, mut steps) = (Some(-1), 0);
            while let Some(position) = after {
                after = usage::record_pulls_of_children(tx, &index, position, 2, NOW)?;
                steps += 1;
            }
            assert_eq!(steps, 2);
            for id in &ids {
                assert_eq!(usage::find_last_pull(tx, id)?, Some(NOW));
                assert!(usage::list_pulls_by_day(tx, id)?.is_empty());
            }
            assert_eq!(usage::record_pulls_of_children(tx, &ids[0], -1, 2, NOW)?, None);
            Ok(())
        }).await;
    }

    async fn events_come_in_the_order_they_were_written(db: &TestDatabase) {
        db.write(|tx| {
            let event = |action, digest| events::AuditEvent {
                action,
                principal: "user:a".into(),
                resource: "projects/p".into(),
                tag: None,
                digest,
                occurred_at: NOW,
                way: ChangeWay::Cleanup,
                place: Some(EventPlace { repository: Id::from([7; 16]), image: Some("a/b".into()) }),
            };
            let written = [event(EventAction::Push, Some(Digest::of(b"m"))), event(EventAction::Tag, None), event(EventAction::Delete, None)];
            for event in &written {
                events::insert(tx, event)?;
            }
            let all = events::list_after(tx, &parsed(&"0".repeat(32)), 10)?;
            assert_eq!(all.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), written);
            assert_eq!(events::list_after(tx, &all[0].0, 1)?, all[1..2]);
            Ok(())
        }).await;
    }

    async fn a_deleted_role_keeps_its_id(db: &TestDatabase) {
        db.write(|tx| {
            let role = |id: &str| roles::RoleRow {
                parent: "projects/p".to_owned(),
                id: id.to_owned(),
                title: "Own".to_owned(),
                description: String::new(),
                stage: "GA".to_owned(),
                permissions: "[]".to_owned(),
                etag: vec![1],
                updated_at: NOW,
                deleted_at: None,
            };
            let ids = |tx: &mut Tx<'_>, last: &str, deleted_after, limit| {
                let found = roles::list(tx, "projects/p", last, deleted_after, limit)?;
                Ok::<_, MetaError>(found.into_iter().map(|role| role.id).collect::<Vec<_>>())
            };
            for id in ["b", "a", "c"] {
                assert!(roles::insert(tx, &role(id))?);
                assert!(!roles::insert(tx, &role(id))?);
            }
            let changed = roles::RoleRow { deleted_at: Some(NOW), etag: vec![2], ..role("b") };
            assert_eq!(roles::update(tx, &changed)?, 1);
            assert_eq!(roles::update(tx, &role("none"))?, 0);
            assert_eq!(roles::find(tx, "projects/p", "b")?, Some(changed.clone()));
            assert_eq!(roles::find(tx, "projects/q", "b")?, None);
            assert!(!roles::insert(tx, &role("b"))?);
            assert_eq!(ids(tx, "", i64::MAX, 10)?, ["a", "c"]);
            assert_eq!(ids(tx, "", NOW - 1, 10)?, ["a", "b", "c"]);
            assert_eq!(ids(tx, "a", NOW - 1, 1)?, ["b"]);
            assert_eq!(roles::count(tx, "projects/p", i64::MAX)?, 2);
            assert_eq!(roles::count(tx, "projects/p", NOW - 1)?, 3);
            assert_eq!(roles::find_deleted_before(tx, NOW - 1)?, None);
            assert_eq!(roles::find_deleted_before(tx, NOW)?, Some(changed));
            assert_eq!(roles::delete(tx, "projects/p", "b")?, 1);
            assert_eq!(roles::find_deleted_before(tx, NOW)?, None);
            Ok(())
        }).await;
    }

    async fn secrets_have_versions_and_users(db: &TestDatabase) {
        db.write(|tx| {
            let name: SecretName = "projects/p/secrets/s".parse().expect("a name");
            assert_eq!(secrets::find(tx, &name)?, None);
            let row = secrets::SecretRow { id: Id::new(), name: name.clone(), origin: "https://a".into(), last_version: 0, created_at: NOW };
            secrets::insert(tx, &row)?;
            for number in [1, 2] {
                let version = secrets::SecretVersionRow { number, sealed_value: vec![7], enabled: true, created_at: NOW };
                secrets::insert_version(tx, &row.id, &version)?;
            }
            let found = secrets::find(tx, &name)?.expect("stored");
            assert_eq!(found, secrets::SecretRow { last_version: 2, ..row });
            let numbers = |tx: &mut Tx<'_>| Ok::<_, MetaError>(
                secrets::list_versions(tx, &found.id)?.iter().map(|version| (version.number, version.enabled)).collect::<Vec<_>>(),
            );
            assert_eq!(secrets::set_enabled(tx, &found.id, 1, false)?, 1);
            assert_eq!(secrets::set_enabled(tx, &found.id, 3, false)?, 0);
            assert_eq!(numbers(tx)?, [(1, false), (2, true)]);
            let latest = |tx: &mut Tx<'_>| Ok::<_, MetaError>(
                secrets::find_version(tx, &found.id, SecretVersion::Latest)?.map(|version| version.number),
            );
            assert_eq!(latest(tx)?, Some(2));
            assert_eq!(secrets::list_sealed(tx, &Id::from([0; 16]), 0, 10)?.len(), 2);
            assert_eq!(secrets::list_sealed(tx, &found.id, 1, 10)?[0].version.number, 2);
            assert_eq!(secrets::delete_version(tx, &found.id, 2)?, 1);
            assert_eq!(latest(tx)?, Some(1));
            let first = secrets::find_version(tx, &found.id, SecretVersion::Number(1))?.expect("stored");
            assert_eq!((first.sealed_value, first.enabled), (vec![7], false));
            assert_eq!(secrets::list(tx, "", "", 10)?.as_slice(), std::slice::from_ref(&found));
            assert!(secrets::list(tx, "p", "s", 10)?.is_empty());
            let repository = ensure_image(tx, "r", "i")?.repository;
            for added_by in ["user:a", "user:b"] {
                let new = secrets::SecretUse { secret: name.clone(), added_by: added_by.into(), added_at: NOW };
                secrets::set_use(tx, &repository, &new)?;
                assert_eq!(secrets::find_use(tx, &repository)?, Some(new));
            }
            assert_eq!(secrets::list_users(tx, &name, 10)?, [repository_name("r")]);
            assert_eq!(secrets::delete(tx, &found.id)?, 1);
            assert!(secrets::list_sealed(tx, &Id::from([0; 16]), 0, 10)?.is_empty());
            assert!(secrets::find_use(tx, &repository)?.is_some(), "the secret may come back");
            assert_eq!(secrets::delete_use(tx, &repository)?, 1);
            assert_eq!(secrets::find_use(tx, &repository)?, None);
            Ok(())
        }).await;
    }

    async fn an_epoch_rises(db: &TestDatabase) {
        db.write(|tx| {
            for expected in 0..3 {
                assert_eq!(epochs::get(tx, epochs::ACCESS)?, expected);
                epochs::bump(tx, epochs::ACCESS)?;
            }
            assert_eq!(epochs::get(tx, "other")?, 0);
            Ok(())
        }).await;
    }

    async fn a_revocation_is_remembered_for_longer_than_its_token_lives(db: &TestDatabase) {
        const HOUR: i64 = 3_600_000_000;
        const DAY: i64 = 24 * HOUR;
        db.write(|tx| {
            assert!(revoked_tokens::revoke(tx, "a", 0, HOUR)?);
            assert!(!revoked_tokens::revoke(tx, "a", 1, HOUR)?, "the token is revoked already");
            assert!(revoked_tokens::revoke(tx, "b", 2 * DAY, HOUR)?, "an expired token may have been used to derive others");
            assert!(revoked_tokens::is_revoked(tx, "a")?, "an upload that the token began may still be in progress");
            assert_eq!(revoked_tokens::list_since(tx, 0, 10)?, [(1, "a".to_owned()), (2, "b".to_owned())]);
            assert_eq!(revoked_tokens::list_since(tx, 0, 1)?, [(1, "a".to_owned())]);
            assert_eq!(revoked_tokens::list_since(tx, 1, 10)?, [(2, "b".to_owned())]);
            assert!(!revoked_tokens::revoke(tx, "c", 8 * DAY, HOUR)?, "nothing can depend on it any more");
            assert!(revoked_tokens::revoke(tx, "d", 8 * DAY, 8 * DAY)?);
            assert_eq!(revoked_tokens::list_since(tx, 0, 10)?, [(3, "d".to_owned())], "the old revocations are deleted");
            Ok(())
        }).await;
    }

    async fn a_lease_has_one_holder_and_a_rising_fence(db: &TestDatabase) {
        db.write(|tx| {
            assert_eq!(leases::acquire(tx, "gc", "a", 0, 10)?, Some(1));
            assert_eq!(leases::acquire(tx, "gc", "b", 5, 15)?, None);
            assert_eq!(leases::acquire(tx, "gc", "a", 5, 15)?, Some(1));
            assert_eq!(leases::acquire(tx, "gc", "b", 15, 25)?, Some(2));
            assert_eq!(leases::release(tx, "gc", "a")?, 0);
            assert_eq!(leases::release(tx, "gc", "b")?, 1);
            assert_eq!(leases::acquire(tx, "gc", "a", 16, 26)?, Some(3));
            assert_eq!(leases::acquire(tx, "other", "b", 16, 26)?, Some(1));
            Ok(())
        }).await;
    }

    async fn references_name_what_keeps_what(db: &TestDatabase) {
        db.write(|tx| {
            let test_image = ensure_image(tx, "r", "i")?;
            for bytes in [b"layer".as_slice(), b"config"] {
                add_blob(tx, &test_image.repository, bytes)?;
            }
            let references = [reference(b"layer", ReferenceBinding::Blob), reference(b"config", ReferenceBinding::Blob)];
            // A manifest may name the same layer twice.
            let references = [&references[..], &references[..1]].concat();
            let image = add_manifest(tx, &test_image, b"image", None, &references)?.expect("new");
            let child = [reference(b"image", ReferenceBinding::Manifest(image))];
            let index = add_manifest(tx, &test_image, b"index", None, &child)?.expect("new");
            let at = ImageAddress { repository: &test_image.repository, image: "i" };
            let parents = |tx: &mut Tx<'_>, bytes: &[u8]| {
                let version = versions::find_by_digest(tx, at, &Digest::of(bytes))?.expect("there");
                versions::list_parents(tx, &test_image.repository, &version, 5)
            };
            assert_eq!(parents(tx, b"image")?, [Digest::of(b"index")]);
            assert_eq!(parents(tx, b"index")?, []);
            // This index named the image before the image was pushed.
            let open = [reference(b"image", ReferenceBinding::MissingManifest)];
            let early = add_manifest(tx, &test_image, b"early", None, &open)?.expect("new");
            assert_eq!(parents(tx, b"image")?, [Digest::of(b"index"), Digest::of(b"early")]);
            assert_eq!(versions::delete(tx, &early)?, 1);
            let layer = Digest::of(b"layer");
            assert_eq!(versions::find_manifest_with_blob(tx, &test_image.repository, &layer)?, Some(Digest::of(b"image")));
            let mut kept = versions::list_blobs(tx, &image)?;
            kept.sort();
            let mut expected = [layer.clone(), Digest::of(b"config")];
            expected.sort();
            assert_eq!(kept, expected);
            versions::delete(tx, &index)?;
            versions::delete(tx, &image)?;
            assert_eq!(versions::find_manifest_with_blob(tx, &test_image.repository, &layer)?, None);
            Ok(())
        }).await;
    }
}
