//! The history of tags and the activity of images: who changed what, when and by which way.

use berth_engine::{
    ActivityEntry, ActivityFilter, ActivityScope, Delete, EventAction, ListPage, PageRequest, Pull,
    TagChange,
};
use identity::ChangeWay;
use model::artifact_name::{PackageName, TagName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::reference::Reference;

use crate::registry::{TestRegistry, caller, numbered_image, repository_name};

fn image() -> PackageName {
    PackageName { repository: repository_name(), image: "image".parse().expect("a name") }
}

fn version(digest: &Digest) -> VersionName {
    VersionName { package: image(), digest: digest.clone() }
}

fn tag(name: &str) -> TagName {
    TagName { package: image(), tag: name.parse().expect("a tag") }
}

/// Reads all pages of a list, each with at most two entries.
async fn all_pages<T, F: Future<Output = ListPage<T>>>(read: impl Fn(PageRequest) -> F) -> Vec<T> {
    let (mut all, mut start) = (Vec::new(), String::new());
    loop {
        let page = read(PageRequest { start, limit: 2 }).await;
        assert!(page.entries.len() <= 2);
        all.extend(page.entries);
        match page.next {
            Some(next) => start = next,
            None => return all,
        }
    }
}

async fn history(registry: &TestRegistry, tag: Option<&str>) -> Vec<TagChange> {
    let authorized = registry.authorize(&caller(), artifactregistry::TAGS_LIST).await;
    let (tag, image) = (tag.map(|tag| tag.parse().expect("a tag")), image());
    all_pages(async |page| {
        let history = registry.engine.tag_history(&authorized, &image, tag.clone(), page);
        history.await.expect("readable")
    })
    .await
}

async fn activity(
    registry: &TestRegistry,
    scope: ActivityScope,
    filter: ActivityFilter,
) -> Vec<ActivityEntry> {
    let authorized = registry.authorize(&caller(), artifactregistry::REPOSITORIES_GET).await;
    all_pages(async |page| {
        let activity = registry.engine.activity(&authorized, scope.clone(), filter.clone(), page);
        activity.await.expect("readable")
    })
    .await
}

/// Tags two manifests by a push, an API and the console, and deletes one tag by the registry protocol.
async fn change_tags(registry: &TestRegistry) -> [Digest; 2] {
    registry.push_blob(b"{}").await;
    let one = registry.push_manifest(numbered_image(1, b"{}"), &["latest"]).await;
    let two = registry.push_manifest(numbered_image(2, b"{}"), &["latest"]).await;
    let engine = &registry.engine;
    let authorized = registry.authorize(&caller(), artifactregistry::TAGS_CREATE).await;
    engine.create_tag(&authorized, &tag("old"), &version(&one)).await.expect("a new tag");
    let console = caller().with_way(ChangeWay::Restore);
    let authorized = registry.authorize(&console, artifactregistry::TAGS_UPDATE).await;
    engine.move_tag(&authorized, &tag("latest"), &version(&one)).await.expect("its version");
    let old = Reference::Tag("old".parse().expect("a tag"));
    registry.open_access::<Delete>().await.delete_manifest(&old).await.expect("there");
    [one, two]
}

#[tokio::test]
async fn the_history_of_tags_names_the_way_of_each_change() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        let [one, two] = change_tags(&registry).await;
        let (one, two) = (Some(&one), Some(&two));
        let expected = [
            ("old", one, None, ChangeWay::Push),
            ("latest", two, one, ChangeWay::Restore),
            ("old", None, one, ChangeWay::Api),
            ("latest", one, two, ChangeWay::Push),
            ("latest", None, one, ChangeWay::Push),
        ];
        let of = |changes: Vec<TagChange>, expected: &[_]| {
            let changes = changes.iter();
            let changes: Vec<_> = changes
                .map(|one| (one.tag.as_str(), one.from.as_ref(), one.to.as_ref(), one.way))
                .collect();
            assert_eq!(changes, expected);
        };
        of(history(&registry, None).await, &expected);
        of(history(&registry, Some("old")).await, &[expected[0], expected[2]]);
        of(history(&registry, Some("none")).await, &[]);
        registry.delete().await;
    }
}

#[tokio::test]
async fn activity_is_listed_by_image_actor_kind_and_time() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        let before = registry.clock_now();
        let [one, _] = change_tags(&registry).await;
        registry.clock.advance_minutes(60);
        registry.push_to("other", numbered_image(1, b"{}"), &["a"]).await;
        let repository = || ActivityScope::Repository(repository_name());
        let of_image =
            |image: &str| ActivityScope::Image(repository_name(), image.parse().expect("a name"));
        let actions = |entries: &[ActivityEntry]| {
            entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>().join(" ")
        };
        let all = activity(&registry, repository(), ActivityFilter::default()).await;
        assert_eq!(actions(&all), "tag push untag tag tag tag push tag push create");
        let image = activity(&registry, of_image("image"), ActivityFilter::default()).await;
        assert_eq!(image[..], all[2..9]);
        assert_eq!((image[6].digest.as_ref(), image[6].way), (Some(&one), ChangeWay::Push));
        assert_eq!((image[1].tag.as_deref(), image[1].way), (Some("latest"), ChangeWay::Restore));
        assert_eq!(image[0].image.as_deref(), Some("image"));
        let kinds = vec![EventAction::Untag, EventAction::Create];
        let filter = ActivityFilter { kinds, ..ActivityFilter::default() };
        assert_eq!(actions(&activity(&registry, repository(), filter).await), "untag create");
        let actor = Some("user:nobody@example.com".to_owned());
        let filter = ActivityFilter { actor, ..ActivityFilter::default() };
        assert_eq!(activity(&registry, repository(), filter).await, []);
        let hour = Some(before + 30 * 60_000_000);
        let filter = ActivityFilter { since: hour, ..ActivityFilter::default() };
        assert_eq!(activity(&registry, repository(), filter).await[..], all[..2]);
        let filter = ActivityFilter { until: hour, ..ActivityFilter::default() };
        assert_eq!(activity(&registry, repository(), filter).await[..], all[2..]);
        registry.delete().await;
    }
}

#[tokio::test]
async fn old_history_goes_but_for_the_last_change_of_each_tag() {
    const DAY: i64 = 24 * 60;
    for registry in TestRegistry::on_each_database(|_| ()).await {
        change_tags(&registry).await;
        let scope = || ActivityScope::Repository(repository_name());
        let all = activity(&registry, scope(), ActivityFilter::default()).await;
        registry.clock.advance_minutes(399 * DAY);
        registry.forget_history().await;
        assert_eq!(activity(&registry, scope(), ActivityFilter::default()).await, all);
        assert_eq!(history(&registry, None).await.len(), 5);
        registry.clock.advance_minutes(2 * DAY);
        registry.forget_history().await;
        assert_eq!(activity(&registry, scope(), ActivityFilter::default()).await, []);
        let left = history(&registry, None).await;
        let left: Vec<_> = left.iter().map(|one| (one.tag.as_str(), one.way)).collect();
        assert_eq!(left, [("old", ChangeWay::Push), ("latest", ChangeWay::Restore)]);
        registry.delete().await;
    }
    for registry in TestRegistry::on_each_database(|settings| settings.history_kept = None).await {
        change_tags(&registry).await;
        registry.clock.advance_minutes(9_999 * DAY);
        registry.forget_history().await;
        assert_eq!(history(&registry, None).await.len(), 5);
        registry.delete().await;
    }
}

async fn count_days(registry: &TestRegistry) -> Vec<i64> {
    let tables = ["image_days", "repository_days", "pull_counts"];
    let counting = registry.meta.read(move |tx| {
        let count = |table| {
            let sql = format!("SELECT count(*) FROM {table}");
            Ok(tx.query_first(&sql, &[], |row| row.int(0))?.unwrap_or_default())
        };
        tables.into_iter().map(count).collect::<Result<Vec<_>, meta::MetaError>>()
    });
    counting.await.expect("readable")
}

#[tokio::test]
async fn old_days_go_but_for_those_that_are_shown() {
    const DAY: i64 = 24 * 60;
    let settings = |settings: &mut berth_engine::Settings| {
        settings.history_kept = Some(std::time::Duration::from_secs(3600));
    };
    for registry in TestRegistry::on_each_database(settings).await {
        registry.push_blob(b"{}").await;
        let digest = registry.push_manifest(numbered_image(1, b"{}"), &["v1"]).await;
        let pulled = registry.open_image::<Pull>("image").await;
        pulled.pull_manifest(&Reference::Digest(digest)).await.expect("there");
        registry.engine.flush_pulls().await.expect("writable");
        registry.engine.fold_usage().await.expect("writable");
        assert_eq!(count_days(&registry).await, [1, 1, 1]);
        registry.clock.advance_minutes(29 * DAY);
        registry.forget_history().await;
        let authorized = registry.authorize(&caller(), artifactregistry::REPOSITORIES_GET).await;
        let scope = ActivityScope::Image(repository_name(), image().image);
        let days = registry.engine.activity_days(&authorized, scope).await.expect("readable");
        let days: Vec<_> = days.iter().map(|day| (day.pulls, day.pushes)).collect();
        assert_eq!(days, [(1, 1)], "the last 30 days are shown");
        registry.clock.advance_minutes(DAY);
        registry.forget_history().await;
        assert_eq!(count_days(&registry).await, [0, 0, 0]);
        registry.delete().await;
    }
}

#[tokio::test]
async fn a_deleted_image_keeps_its_events_and_a_new_repository_has_none() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        change_tags(&registry).await;
        let authorized = registry.authorize(&caller(), artifactregistry::PACKAGES_DELETE).await;
        registry.engine.delete_package(&authorized, &image()).await.expect("there");
        registry.collect_garbage().await;
        let scope = || ActivityScope::Image(repository_name(), image().image);
        let entries = activity(&registry, scope(), ActivityFilter::default()).await;
        assert_eq!(entries.len(), 8);
        assert_eq!(
            (entries[0].action, entries[0].way),
            (EventAction::DeletePackage, ChangeWay::Api)
        );
        let authorized = registry.authorize(&caller(), artifactregistry::REPOSITORIES_DELETE).await;
        registry.engine.delete_repository(&authorized).await.expect("there");
        registry.push_blob(b"{}").await;
        assert_eq!(activity(&registry, scope(), ActivityFilter::default()).await, []);
        let repository = ActivityScope::Repository(repository_name());
        assert_eq!(activity(&registry, repository, ActivityFilter::default()).await.len(), 1);
        registry.delete().await;
    }
}
