//! The counters of images and repositories equal a live count, whatever was pushed, tagged and deleted before.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use berth_engine::{
    Delete, EngineError, ImageCounters, ImageNameFilter, ImageSummary, ImageSummaryList,
    ImageSummaryOrder, PageRequest, Pull, Push, RepositorySummaryList, SortOrder, TagHandling,
};
use meta::{Meta, SqlParam, Tx};
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::list_filter::SortDirection;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use model::permissions::artifactregistry;
use model::reference::Reference;
use serde_json::{Value, json};

use crate::registry::{TestRegistry, caller, descriptor_of, numbered_image, repository_name};

const IMAGES: [&str; 2] = ["image", "other/image"];
const TAGS: [&str; 4] = ["a", "b", "c", "latest"];
const BLOBS: [&[u8]; 3] = [b"{}", b"layer one", b"the second layer"];

/// Numbers that look random and are the same in each run (a linear congruential generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { Some(&all[self.below(all.len())]) }
    }
}

/// A pushed manifest: its image, digest and descriptor.
#[derive(Clone)]
struct Pushed {
    image: &'static str,
    digest: Digest,
    descriptor: Value,
}

/// A registry to which random requests are sent.
struct RandomClient<'a> {
    registry: &'a TestRegistry,
    numbers: Numbers,
    pushed: Vec<Pushed>,
    count: u64,
}

impl RandomClient<'_> {
    fn random_tags(&mut self) -> Vec<&'static str> {
        let count = self.numbers.below(4).saturating_sub(1);
        (0..count).map(|_| TAGS[self.numbers.below(TAGS.len())]).collect()
    }

    async fn push(&mut self, image: &'static str, manifest: Value) {
        let tags = self.random_tags();
        let descriptor = json!({
            "mediaType": manifest["mediaType"],
            "digest": Digest::of(manifest.to_string().as_bytes()).as_str(),
            "size": manifest.to_string().len(),
        });
        let digest = self.registry.push_to(image, manifest, &tags).await;
        self.pushed.push(Pushed { image, digest, descriptor });
    }

    async fn push_image(&mut self) {
        let image = IMAGES[self.numbers.below(2)];
        // A manifest may be pushed again, under other tags.
        self.count += self.numbers.below(4).min(1) as u64;
        let mut manifest = numbered_image(self.count, BLOBS[0]);
        let layers: Vec<_> = (0..self.numbers.below(4))
            .map(|_| descriptor_of("application/x", BLOBS[self.numbers.below(3)]))
            .collect();
        manifest["layers"] = json!(layers);
        if self.numbers.below(4) == 0
            && let Some(subject) = self.numbers.one_of(&self.pushed)
        {
            manifest["subject"] = subject.descriptor.clone();
        }
        self.push(image, manifest).await;
    }

    async fn push_index(&mut self) {
        let image = IMAGES[self.numbers.below(2)];
        let (of_image, count) = (|one: &&Pushed| one.image == image, self.numbers.below(3) + 1);
        let children: Vec<_> = self.pushed.iter().filter(of_image).cloned().collect();
        let mut manifests = Vec::new();
        for _ in 0..count {
            if let Some(child) = self.numbers.one_of(&children)
                && self.is_there(child).await
            {
                manifests.push(child.descriptor.clone());
            }
        }
        self.count += 1;
        let index = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests,
            "annotations": { "number": self.count.to_string() },
        });
        self.push(image, index).await;
    }

    async fn is_there(&self, one: &Pushed) -> bool {
        let access = self.registry.open_image::<Pull>(one.image).await;
        access.pull_manifest(&Reference::Digest(one.digest.clone())).await.is_ok()
    }

    async fn delete_tag(&mut self) {
        let (image, tag) = (IMAGES[self.numbers.below(2)], TAGS[self.numbers.below(TAGS.len())]);
        let access = self.registry.open_image::<Delete>(image).await;
        let tag = Reference::Tag(tag.parse().expect("a tag"));
        expect_known(access.delete_manifest(&tag).await);
    }

    async fn delete_version(&mut self) {
        // The latest ones are more likely to be there.
        let latest = self.pushed.len().saturating_sub(20);
        let Some(one) = self.numbers.one_of(&self.pushed[latest..]).cloned() else { return };
        let access = self.registry.open_image::<Delete>(one.image).await;
        expect_known(access.delete_manifest(&Reference::Digest(one.digest)).await);
    }

    async fn delete_image(&mut self) {
        let name = package(IMAGES[self.numbers.below(2)]);
        let authorized =
            self.registry.authorize(&caller(), artifactregistry::PACKAGES_DELETE).await;
        expect_known(self.registry.engine.delete_package(&authorized, &name).await);
    }

    async fn step(&mut self) {
        match self.numbers.below(20) {
            0..6 => self.push_image().await,
            6..10 => self.push_index().await,
            10..13 => self.delete_tag().await,
            13..19 => self.delete_version().await,
            _ if self.numbers.below(4) == 0 => self.delete_image().await,
            _ => self.push_image().await,
        }
    }
}

/// Fails unless the request was done or there was nothing to do.
fn expect_known(outcome: Result<(), EngineError>) {
    match outcome {
        Ok(())
        | Err(
            EngineError::ManifestUnknown(_)
            | EngineError::InUse { .. }
            | EngineError::ResourceUnknown(_),
        ) => {}
        Err(error) => panic!("{error}"),
    }
}

fn package(image: &str) -> PackageName {
    PackageName { repository: repository_name(), image: image.parse().expect("a name") }
}

async fn push_blobs(registry: &TestRegistry) {
    for bytes in BLOBS {
        registry.push_blob(bytes).await;
    }
}

async fn fold(registry: &TestRegistry) {
    registry.engine.flush_pulls().await.expect("writable");
    registry.engine.fold_usage().await.expect("writable");
    let counted = registry.engine.count_images(|| ControlFlow::Continue(()));
    counted.await.expect("writable");
}

/// Lists the images in an order, two on each page.
async fn summaries(
    registry: &TestRegistry,
    names: ImageNameFilter,
    order: SortOrder<ImageSummaryOrder>,
) -> Vec<ImageSummary> {
    let authorized = registry.authorize(&caller(), artifactregistry::PACKAGES_LIST).await;
    let (mut all, mut start) = (Vec::new(), String::new());
    loop {
        let page = PageRequest { start, limit: 2 };
        let list = ImageSummaryList { names: names.clone(), order, page };
        let page = registry.engine.image_summaries(&authorized, &repository_name(), list).await;
        let page = page.expect("readable");
        all.extend(page.entries);
        match page.next {
            Some(next) => start = next,
            None => return all,
        }
    }
}

fn by(field: ImageSummaryOrder, direction: SortDirection) -> SortOrder<ImageSummaryOrder> {
    SortOrder { field, direction }
}

async fn all_counters(registry: &TestRegistry) -> BTreeMap<String, Option<ImageCounters>> {
    let order = by(ImageSummaryOrder::Name, SortDirection::Ascending);
    let all = summaries(registry, ImageNameFilter::All, order).await;
    all.into_iter().map(|image| (image.name, image.counters)).collect()
}

/// Counts everything anew, by statements that read all rows.
async fn live_counters(meta: &Meta) -> BTreeMap<String, Option<ImageCounters>> {
    let counted = meta.read(|tx: &mut Tx<'_>| {
        let images = tx.query("SELECT id, name FROM packages WHERE name > '/'", &[], |row| {
            Ok((row.id(0)?, row.text(1)?))
        })?;
        let mut all = BTreeMap::new();
        for (id, name) in images {
            let mut count = |sql: &str| {
                let found = tx.query_first(sql, &[SqlParam::from(&id)], |row| row.int(0));
                found.map(Option::unwrap_or_default)
            };
            let counters = ImageCounters {
                tags: count("SELECT count(*) FROM tags WHERE package_id = ?1")?,
                versions: count("SELECT count(*) FROM versions WHERE package_id = ?1")?,
                untagged: count(
                    "SELECT count(*) FROM versions v WHERE package_id = ?1 AND subject IS NULL
                       AND id NOT IN (SELECT version_id FROM tags)
                       AND NOT EXISTS (SELECT 1 FROM manifest_refs r JOIN versions i ON i.id = r.version_id
                         WHERE r.digest = v.digest AND r.is_manifest AND i.package_id = v.package_id)",
                )?,
                stored_bytes: count(
                    "SELECT CAST(coalesce(sum(manifest_bytes), 0) AS BIGINT) FROM versions WHERE package_id = ?1",
                )? + count(
                    "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM
                       (SELECT DISTINCT blob_digest, size FROM manifest_refs
                        WHERE package_id = ?1 AND blob_digest IS NOT NULL) blobs",
                )?,
            };
            all.insert(name, Some(counters));
        }
        Ok::<_, meta::MetaError>(all)
    });
    counted.await.expect("readable")
}

fn without_bytes(
    all: BTreeMap<String, Option<ImageCounters>>,
) -> BTreeMap<String, Option<[i64; 3]>> {
    let counts = |counters: ImageCounters| [counters.tags, counters.versions, counters.untagged];
    all.into_iter().map(|(name, counters)| (name, counters.map(counts))).collect()
}

async fn images_in_summary(registry: &TestRegistry) -> (i64, i64) {
    let project = model::resource::Resource::Project("p".parse().expect("a project"));
    let permission = artifactregistry::REPOSITORIES_LIST;
    let authorized = registry.engine.identity().admit(&caller(), permission, project).await;
    let list = RepositorySummaryList {
        contains: String::new(),
        direction: SortDirection::Ascending,
        page: PageRequest { start: String::new(), limit: 10 },
    };
    let page = registry.engine.repository_summaries(&authorized.expect("allowed"), list).await;
    let [summary] = &page.expect("readable").entries[..] else { panic!("one repository") };
    (summary.images, summary.stored_bytes)
}

#[tokio::test]
async fn counters_equal_a_live_count_after_random_requests() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let numbers = Numbers(1);
        let mut client =
            RandomClient { registry: &registry, numbers, pushed: Vec::new(), count: 0 };
        for round in 0..8 {
            for _ in 0..25 {
                client.step().await;
            }
            // Open changes are part of what is shown. Only the bytes wait for a measurement.
            let live = live_counters(&registry.meta).await;
            let shown = without_bytes(all_counters(&registry).await);
            assert_eq!(shown, without_bytes(live.clone()), "round {round}");
            registry.clock.advance_minutes(1);
            fold(&registry).await;
            assert_eq!(all_counters(&registry).await, live, "round {round}");
            assert_eq!(images_in_summary(&registry).await.0, live.len() as i64);
            if round % 4 == 3 {
                registry.clock.advance_minutes(3 * 24 * 60);
                registry.collect_garbage().await;
                push_blobs(&registry).await;
            }
        }
        assert!(client.pushed.len() > 100);
        registry.delete().await;
    }
}

/// What an older release stored has no counters.
async fn forget_counters(meta: &Meta) {
    let forget = |tx: &mut Tx<'_>| {
        for sql in [
            "UPDATE versions SET untagged = NULL",
            "DELETE FROM usage_deltas",
            "UPDATE image_counters SET versions = 0, tags = 0, untagged = 0, manifest_bytes = 0, stored_bytes = 0,
               measured_at = 0, measure_due = 0",
        ] {
            tx.execute(sql, &[])?;
        }
        Ok::<_, meta::MetaError>(())
    };
    meta.write(forget).await.expect("writable");
}

#[tokio::test]
async fn what_an_older_release_stored_is_counted_while_it_changes() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let numbers = Numbers(7);
        let mut client =
            RandomClient { registry: &registry, numbers, pushed: Vec::new(), count: 0 };
        for _ in 0..80 {
            client.push_image().await;
            client.push_index().await;
        }
        fold(&registry).await;
        forget_counters(&registry.meta).await;
        let shown = all_counters(&registry).await;
        assert_eq!(shown.into_values().collect::<Vec<_>>(), [None, None]);
        // Some requests change versions that were not counted yet, and some come between two steps of counting.
        for _ in 0..60 {
            client.step().await;
        }
        let counted = registry.engine.count_images(|| ControlFlow::Break(()));
        counted.await.expect("writable");
        for _ in 0..60 {
            client.step().await;
        }
        registry.clock.advance_minutes(1);
        fold(&registry).await;
        let live = live_counters(&registry.meta).await;
        assert_eq!(all_counters(&registry).await, live);
        registry.delete().await;
    }
}

#[tokio::test]
async fn an_image_of_an_older_process_was_pushed_when_it_was() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let pushed_at = registry.clock_now();
        registry.push_manifest(numbered_image(1, b"{}"), &["v1"]).await;
        // A process of an older release beside this one records nothing of that.
        let forget = |tx: &mut Tx<'_>| tx.execute("DELETE FROM image_counters", &[]);
        registry.meta.write(forget).await.expect("writable");
        forget_counters(&registry.meta).await;
        registry.clock.advance_minutes(60);
        fold(&registry).await;
        let order = by(ImageSummaryOrder::Name, SortDirection::Ascending);
        let all = summaries(&registry, ImageNameFilter::All, order).await;
        let [image] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(image.counters.map(|counters| (counters.versions, counters.tags)), Some((1, 1)));
        let later = image.last_push - pushed_at;
        assert!((0..60 * 60_000_000).contains(&later), "{later} µs after the push");
        registry.delete().await;
    }
}

#[tokio::test]
async fn images_are_listed_in_the_order_of_each_counter() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let names = ["b", "a/a", "a/b", "c", "ab"];
        for (number, name) in names.into_iter().enumerate() {
            for version in 0..=number {
                let tags: Vec<_> = TAGS[..=(version % 3)].to_vec();
                let manifest = numbered_image((number * 10 + version) as u64, BLOBS[0]);
                registry.push_to(name, manifest, &tags).await;
            }
            registry.clock.advance_minutes(1);
        }
        fold(&registry).await;
        let listed = async |names: ImageNameFilter, field, direction| {
            let all = summaries(&registry, names, by(field, direction)).await;
            all.into_iter().map(|image| image.name).collect::<Vec<_>>().join(" ")
        };
        let (up, down) = (SortDirection::Ascending, SortDirection::Descending);
        let all = || ImageNameFilter::All;
        assert_eq!(listed(all(), ImageSummaryOrder::Name, up).await, "a/a a/b ab b c");
        assert_eq!(listed(all(), ImageSummaryOrder::Name, down).await, "c b ab a/b a/a");
        assert_eq!(listed(all(), ImageSummaryOrder::LastPush, down).await, "ab c a/b a/a b");
        assert_eq!(listed(all(), ImageSummaryOrder::LastPush, up).await, "b a/a a/b c ab");
        assert_eq!(listed(all(), ImageSummaryOrder::Stored, down).await, "ab c a/b a/a b");
        assert!(listed(all(), ImageSummaryOrder::Tags, up).await.starts_with("b a/a "));
        let prefix = || ImageNameFilter::Prefix("a/".to_owned());
        for direction in [up, down] {
            let both = listed(prefix(), ImageSummaryOrder::Name, direction).await;
            assert_eq!(both.split(' ').count(), 2, "{both}");
            assert!(both.contains("a/a") && both.contains("a/b"), "{both}");
        }
        assert_eq!(listed(prefix(), ImageSummaryOrder::LastPush, down).await, "a/b a/a");
        let part = ImageNameFilter::Contains("b".to_owned());
        assert_eq!(listed(part, ImageSummaryOrder::Name, up).await, "a/b ab b");
        registry.delete().await;
    }
}

#[tokio::test]
async fn a_new_image_shows_its_counters_at_once() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let manifest = numbered_image(1, BLOBS[0]);
        let length = manifest.to_string().len() as i64;
        let before = registry.clock_now();
        let digest = registry.push_manifest(manifest, &["v1"]).await;
        registry.push_manifest(numbered_image(2, BLOBS[0]), &["v1"]).await;
        let authorized = registry.authorize(&caller(), artifactregistry::PACKAGES_GET).await;
        let summary = registry.engine.image_summary(&authorized, &package("image")).await;
        let summary = summary.expect("pushed");
        let expected =
            ImageCounters { tags: 1, versions: 2, untagged: 1, stored_bytes: 2 * length + 2 };
        assert_eq!(summary.counters, Some(expected));
        assert_eq!(summary.newest_tag.as_deref(), Some("v1"));
        assert!(summary.last_push >= before);
        let authorized = registry.authorize(&caller(), artifactregistry::VERSIONS_LIST).await;
        let page = PageRequest { start: String::new(), limit: 10 };
        let untagged = registry
            .engine
            .untagged_versions(&authorized, &package("image"), SortDirection::Descending, page)
            .await;
        let [version] = &untagged.expect("readable").entries[..] else { panic!("one") };
        assert_eq!(version.digest, digest);
        // Deleting it takes it from all counters.
        let authorized = registry.authorize(&caller(), artifactregistry::VERSIONS_DELETE).await;
        let name = VersionName { package: package("image"), digest };
        let deleted = registry.engine.delete_version(&authorized, &name, TagHandling::DeleteTags);
        deleted.await.expect("there");
        fold(&registry).await;
        assert_eq!(all_counters(&registry).await, live_counters(&registry.meta).await);
        registry.delete().await;
    }
}

/// Returns the untagged versions of the image, the newest first.
async fn untagged(registry: &TestRegistry) -> Vec<Digest> {
    let authorized = registry.authorize(&caller(), artifactregistry::VERSIONS_LIST).await;
    let page = PageRequest { start: String::new(), limit: 10 };
    let page = registry
        .engine
        .untagged_versions(&authorized, &package("image"), SortDirection::Descending, page)
        .await;
    let versions = page.expect("readable").entries.into_iter().map(|version| version.digest);
    let versions: Vec<_> = versions.collect();
    let shown = without_bytes(all_counters(registry).await)["image"].expect("counted");
    assert_eq!(shown[2], versions.len() as i64);
    versions
}

#[tokio::test]
async fn a_version_is_untagged_while_no_tag_and_no_index_names_it() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let manifest = numbered_image(1, BLOBS[0]);
        let bytes = manifest.to_string();
        let named = descriptor_of(OCI_MANIFEST, bytes.as_bytes());
        let image = registry.push_manifest(manifest.clone(), &[]).await;
        assert_eq!(untagged(&registry).await, std::slice::from_ref(&image));
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named] });
        let index = registry.push_manifest(index, &[]).await;
        assert_eq!(untagged(&registry).await, std::slice::from_ref(&index));
        let delete = async |reference: Reference| {
            registry
                .open_access::<Delete>()
                .await
                .delete_manifest(&reference)
                .await
                .expect("there");
        };
        delete(Reference::Digest(index)).await;
        assert_eq!(untagged(&registry).await, std::slice::from_ref(&image));
        // A push of what is there already, under a tag.
        registry.push_manifest(manifest, &["v1"]).await;
        assert_eq!(untagged(&registry).await, []);
        let other = registry.push_manifest(numbered_image(2, BLOBS[0]), &["v1", "v2"]).await;
        assert_eq!(untagged(&registry).await, std::slice::from_ref(&image));
        for tag in ["v1", "v2"] {
            delete(Reference::Tag(tag.parse().expect("a tag"))).await;
        }
        assert_eq!(untagged(&registry).await, [other.clone(), image.clone()]);
        let mut signature = numbered_image(3, BLOBS[0]);
        signature["subject"] = named;
        registry.push_manifest(signature, &[]).await;
        assert_eq!(untagged(&registry).await, [other.clone(), image.clone()]);
        delete(Reference::Digest(image)).await;
        assert_eq!(untagged(&registry).await, [other]);
        registry.delete().await;
    }
}

#[tokio::test]
async fn a_pull_of_an_index_and_of_its_manifest_is_one() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        let manifest = numbered_image(1, BLOBS[0]);
        let length = manifest.to_string().len();
        let child = registry.push_manifest(manifest, &[]).await;
        let named = json!({ "mediaType": OCI_MANIFEST, "digest": child.as_str(), "size": length });
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named] });
        let index = registry.push_manifest(index, &["v1"]).await;
        for digest in [&index, &child, &index, &child] {
            let access = registry.open_access::<Pull>().await;
            access.pull_manifest(&Reference::Digest(digest.clone())).await.expect("pushed");
        }
        fold(&registry).await;
        let authorized = registry.authorize(&caller(), artifactregistry::PACKAGES_GET).await;
        let summary = registry.engine.image_summary(&authorized, &package("image")).await;
        assert_eq!(summary.expect("pushed").pulls_30_days, 2);
        let authorized = registry.authorize(&caller(), artifactregistry::REPOSITORIES_GET).await;
        for scope in [
            berth_engine::ActivityScope::Repository(repository_name()),
            berth_engine::ActivityScope::Image(repository_name(), package("image").image),
        ] {
            let days = registry.engine.activity_days(&authorized, scope).await.expect("readable");
            let sums = days
                .iter()
                .fold((0, 0), |(pulls, pushes), day| (pulls + day.pulls, pushes + day.pushes));
            assert_eq!(sums, (2, 2));
        }
        registry.clock.advance_minutes(31 * 24 * 60);
        let authorized = registry.authorize(&caller(), artifactregistry::PACKAGES_GET).await;
        let summary = registry.engine.image_summary(&authorized, &package("image")).await;
        assert_eq!(summary.expect("pushed").pulls_30_days, 0);
        registry.delete().await;
    }
}

#[tokio::test]
async fn projects_show_what_their_repositories_hold() {
    for registry in TestRegistry::on_each_database(|_| ()).await {
        push_blobs(&registry).await;
        registry.open_access::<Push>().await;
        registry.push_manifest(numbered_image(1, BLOBS[0]), &["v1"]).await;
        fold(&registry).await;
        let projects = vec!["p".parse().expect("a project"), "empty".parse().expect("a project")];
        let summaries = registry.engine.project_summaries(&caller(), projects.clone()).await;
        let [full, empty] = &summaries.expect("readable")[..] else { panic!("two") };
        let content = full.content.expect("visible");
        assert_eq!((content.repositories, empty.content.expect("visible").repositories), (1, 0));
        assert_eq!((1, content.stored_bytes), images_in_summary(&registry).await);
        assert!(content.last_push.is_some());
        let stranger = identity::Caller::anonymous();
        let summaries = registry.engine.project_summaries(&stranger, projects).await;
        assert!(summaries.expect("readable").iter().all(|one| one.content.is_none()));
        registry.delete().await;
    }
}
