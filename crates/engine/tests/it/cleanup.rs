//! Cleanup in the background: interrupted runs, and changes between a decision and its delete.

use std::ops::ControlFlow;
use std::time::Duration;

use berth_engine::{CleanupMode, EngineError, Pull};
use meta::{Id, Tx, cleanups, usage};
use model::digest::Digest;
use model::name::RepositoryName;
use model::reference::Reference;
use serde_json::{Value, json};

use crate::registry::{TestRegistry, numbered_image, poll_once};

const HOUR: Duration = Duration::from_secs(3600);

/// A registry with this number of manifests, and a policy that deletes them on this condition.
async fn registry_with_images(count: u64, condition: Value) -> (TestRegistry, Vec<Digest>) {
    let registry = TestRegistry::new().await;
    registry.push_blob(b"{}").await;
    let mut digests = Vec::new();
    for number in 0..count {
        digests.push(registry.push_manifest(numbered_image(number, b"{}"), &[]).await);
    }
    set_policy(&registry, condition).await;
    (registry, digests)
}

/// Sets the one policy, as the API does.
async fn set_policy(registry: &TestRegistry, condition: Value) {
    let repository = registry.repository_id().await;
    let policy = json!({ "id": "p", "action": "DELETE", "condition": condition });
    let settings = json!({ "cleanupPolicies": { "p": policy } }).to_string();
    let set = move |tx: &mut Tx<'_>| {
        let params = [meta::SqlParam::from(&repository), meta::SqlParam::from(settings.as_str())];
        tx.execute("UPDATE repositories SET settings = ?2 WHERE id = ?1", &params)?;
        cleanups::schedule(tx, &repository, 0)
    };
    registry.meta.write(set).await.expect("ours");
}

async fn count_versions(registry: &TestRegistry) -> i64 {
    let sql = "SELECT count(*) FROM versions";
    let count = registry.meta.read(move |tx| tx.query_first(sql, &[], |row| row.int(0)));
    count.await.expect("readable").expect("a number")
}

fn repository_name() -> RepositoryName {
    "projects/p/locations/us-west1/repositories/r".parse().expect("a name")
}

#[tokio::test]
async fn an_interrupted_run_continues_where_it_stopped() {
    let (registry, digests) = registry_with_images(
        250,
        json!({ "versionNamePrefixes": ["sha256:0", "sha256:1", "sha256:2", "sha256:3"] }),
    )
    .await;
    let (mut runs, mut cursors) = (0, Vec::new());
    loop {
        // Each run is interrupted after its first step, as by the end of a process.
        registry.engine.clean_due(HOUR, |_, _| ControlFlow::Break(())).await.expect("writable");
        runs += 1;
        let due = registry.meta.read(|tx| cleanups::find_due(tx, 0)).await.expect("readable");
        let Some(due) = due else { break };
        assert!(!cursors.contains(&due.cursor), "it did not get on");
        cursors.push(due.cursor);
    }
    assert_eq!(runs, 3, "250 manifests and their image, a hundred at once");
    let stays =
        |digest: &&Digest| digest.as_str()["sha256:".len()..].starts_with(|letter| letter > '3');
    assert_eq!(count_versions(&registry).await, digests.iter().filter(stays).count() as i64);
    // The repository is due again after the interval.
    set_policy(&registry, json!({ "tagState": "ANY" })).await;
    registry.engine.clean_due(HOUR, |_, _| ControlFlow::Continue(())).await.expect("writable");
    assert_eq!(count_versions(&registry).await, 0);
    registry.push_manifest(numbered_image(0, b"{}"), &[]).await;
    registry.engine.clean_due(HOUR, |_, _| ControlFlow::Continue(())).await.expect("writable");
    assert_eq!(count_versions(&registry).await, 1);
    registry.clock.advance_minutes(61);
    registry.engine.clean_due(HOUR, |_, _| ControlFlow::Continue(())).await.expect("writable");
    assert_eq!(count_versions(&registry).await, 0);
}

/// Checks that a delete uses the manifest's state at its own time. The first manifest is changed after the decision,
/// and the second one is not.
async fn check_meanwhile(
    condition: Value,
    change: impl FnOnce(Id) -> Box<dyn FnMut(&mut Tx<'_>) -> Result<(), EngineError> + Send>,
) {
    let (registry, digests) = registry_with_images(2, condition).await;
    registry.clock.advance_minutes(60);
    let wanted = digests[0].clone();
    let id = registry.meta.read(move |tx| {
        let sql = "SELECT id FROM versions WHERE digest = ?1";
        tx.query_first(sql, &[meta::SqlParam::from(wanted.as_str())], |row| row.id(0))
    });
    let change = change(id.await.expect("readable").expect("pushed"));
    let mut run =
        registry.engine.cleanup(&repository_name(), CleanupMode::Clean).await.expect("there");
    let held = registry.hold_database().await;
    let change = poll_once(registry.meta.write(change)).await;
    let step = tokio::spawn(async move { run.step().await });
    // The step needs time to decide before the change is made. Its deletes wait behind the change. If the time were too
    // short, the step would see the change at once.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    change.await.expect("writable");
    let step = step.await.expect("no panic").expect("writable");
    let cleaned: Vec<_> = step.cleaned.iter().map(|one| one.digest.clone()).collect();
    assert_eq!((cleaned, step.done), (digests[1..].to_vec(), true));
    let left = Reference::Digest(digests[0].clone());
    registry.open_access::<Pull>().await.stat_manifest(&left).await.expect("it is still there");
}

#[tokio::test]
async fn a_version_tagged_after_the_decision_stays() {
    check_meanwhile(json!({ "tagState": "UNTAGGED" }), |version| {
        Box::new(move |tx| {
            let sql = "SELECT package_id FROM versions WHERE id = ?1";
            let package =
                tx.query_first(sql, &[meta::SqlParam::from(&version)], |row| row.id(0))?;
            Ok(meta::tags::set(tx, &package.expect("its own"), "v1", &version, 1)?)
        })
    })
    .await;
}

#[tokio::test]
async fn a_version_pulled_after_the_decision_stays() {
    check_meanwhile(json!({ "moreStaleThan": "60s" }), |version| {
        let later = i64::MAX / 2;
        Box::new(move |tx| Ok(usage::add_pulls(tx, &version, 1, 1, later).map(drop)?))
    })
    .await;
}

#[tokio::test]
async fn a_version_stays_when_the_policies_are_deleted_meanwhile() {
    let (registry, digests) = registry_with_images(1, json!({ "tagState": "ANY" })).await;
    let mut run =
        registry.engine.cleanup(&repository_name(), CleanupMode::Clean).await.expect("there");
    let held = registry.hold_database().await;
    let change = poll_once(registry.meta.write(|tx| {
        Ok::<_, EngineError>(tx.execute("UPDATE repositories SET settings = '{}'", &[])?)
    }))
    .await;
    let step = tokio::spawn(async move { run.step().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    change.await.expect("writable");
    assert!(step.await.expect("no panic").expect("writable").cleaned.is_empty());
    assert_eq!(count_versions(&registry).await, digests.len() as i64);
}

/// A pull that only this process knows counts, too.
#[tokio::test]
async fn a_pull_that_is_not_in_the_database_counts() {
    let (registry, digests) = registry_with_images(2, json!({ "moreStaleThan": "60s" })).await;
    registry.clock.advance_minutes(60);
    let pulled = Reference::Digest(digests[0].clone());
    registry.open_access::<Pull>().await.pull_manifest(&pulled).await.expect("pushed");
    registry.engine.clean_due(HOUR, |_, _| ControlFlow::Continue(())).await.expect("writable");
    assert_eq!(count_versions(&registry).await, 1);
    registry.open_access::<Pull>().await.stat_manifest(&pulled).await.expect("it is still there");
}

/// Unreadable policies delete nothing, and other repositories do not wait for them.
#[tokio::test]
async fn unreadable_policies_delete_nothing() {
    let (registry, _) = registry_with_images(1, json!({})).await;
    registry.engine.clean_due(HOUR, |_, _| ControlFlow::Continue(())).await.expect("writable");
    assert_eq!(count_versions(&registry).await, 1);
    let due = registry.meta.read(|tx| cleanups::find_due(tx, 0)).await.expect("readable");
    assert!(due.is_none(), "it is looked at again later");
}
