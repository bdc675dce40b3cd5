//! Cleanups: dry runs, real runs, the command and the background.

use std::collections::BTreeSet;
use std::time::Duration;

use meta::change_way::ChangeWay;
use meta::events::{self, EventAction};
use model::media_type::OCI_MANIFEST;
use serde_json::json;

use super::{
    REPOSITORY, change_repository, delete_policy, digest_set, dry_run_digests, index_of_manifests,
    keep_recent_policy, push_manifest, referrer_manifest, remaining_digests, run_cleanup,
    set_policies, tiny_manifest,
};
use crate::audit::written_entries;
use crate::util::process::run_berth;
use crate::util::server::TestServer;
use crate::util::{Backend, Client, StartOn, on_both, with_deadline};

on_both![
    a_run_deletes_what_a_dry_run_lists,
    an_index_pushed_before_its_image_is_deleted_before_it,
    a_version_tagged_meanwhile_stays,
    the_command_shows_deleted_versions,
    a_repository_is_cleaned_in_the_background
];

async fn a_run_deletes_what_a_dry_run_lists(server: TestServer) {
    let admin = server.admin();
    let images: Vec<String> = (0..7).map(tiny_manifest).collect();
    let mut digests = Vec::new();
    for image in &images {
        digests.push(push_manifest(&admin, "a", "", image).await);
    }
    // An index is deleted together with its images. An image of a tagged index stays.
    let going =
        push_manifest(&admin, "a", "", &index_of_manifests(&[&images[0], &images[1]])).await;
    let staying =
        push_manifest(&admin, "a", "latest", &index_of_manifests(&[&images[1], &images[2]])).await;
    // A referrer stays as long as its subject.
    let of_going = push_manifest(&admin, "a", "", &referrer_manifest(&images[3])).await;
    let of_staying = push_manifest(
        &admin,
        "a",
        "",
        &referrer_manifest(&index_of_manifests(&[&images[1], &images[2]])),
    )
    .await;
    digests.extend([&going, &staying, &of_going, &of_staying].map(Clone::clone));
    let expected = digest_set(&[
        &digests[0],
        &digests[3],
        &digests[4],
        &digests[5],
        &digests[6],
        &going,
        &of_going,
    ]);
    set_policies(&server, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    let (would, dry) = run_cleanup(&server, true).await;
    assert_eq!(would, expected);
    assert_eq!(
        (&dry["versions"], &dry["held"], &dry["dry_run"]),
        (&json!(7), &json!(3), &json!(true))
    );
    assert_eq!(
        remaining_digests(&admin, "a", &digests).await.len(),
        11,
        "a dry run deletes nothing"
    );
    let (gone, done) = run_cleanup(&server, false).await;
    assert_eq!(gone, would);
    assert_eq!((&done["versions"], &done["bytes"]), (&dry["versions"], &dry["bytes"]));
    let expected: BTreeSet<String> =
        digests.iter().filter(|one| !gone.contains(*one)).cloned().collect();
    assert_eq!(remaining_digests(&admin, "a", &digests).await, expected);
    let (again, _) = run_cleanup(&server, false).await;
    assert_eq!(again, BTreeSet::new());
    // The events name no person, and the audit log has each delete.
    let events = server
        .open_meta()
        .await
        .read(|tx| events::list_after(tx, &meta::Id::from([0; 16]), 1_000))
        .await
        .expect("readable");
    let cleaned = events.iter().filter(|(_, event)| {
        event.action == EventAction::Delete
            && event.principal == "system:cleanup-policy"
            && event.way == ChangeWay::Cleanup
    });
    assert_eq!(cleaned.count(), 7);
    let entries = written_entries(&server).await;
    let cleaned = entries
        .iter()
        .map(|entry| &entry["protoPayload"])
        .filter(|one| one["methodName"] == "Cleanup-DeleteManifest");
    let named: BTreeSet<String> = cleaned
        .filter(|one| one["authenticationInfo"]["principalEmail"] == "system:cleanup-policy")
        .map(|one| one["resourceName"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(
        named,
        gone.iter().map(|digest| format!("{REPOSITORY}/dockerImages/a@{digest}")).collect()
    );
}

/// In a sparse repository an index may come before what it names.
async fn an_index_pushed_before_its_image_is_deleted_before_it(server: TestServer) {
    let admin = server.admin();
    let image = tiny_manifest(1);
    push_manifest(&admin, "a", "", &tiny_manifest(2)).await;
    server
        .open_meta()
        .await
        .write(|tx| {
            tx.execute("UPDATE repositories SET sparse = ?1", &[meta::SqlParam::from(true)])
        })
        .await
        .expect("ours");
    let index = push_manifest(&admin, "a", "latest", &index_of_manifests(&[&image])).await;
    let image = push_manifest(&admin, "a", "", &image).await;
    set_policies(&server, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    assert!(!dry_run_digests(&server).await.contains(&image));
    set_policies(&server, &[delete_policy(json!({ "olderThan": "0s" }))]).await;
    let would = dry_run_digests(&server).await;
    assert!(would.is_superset(&digest_set(&[&index, &image])), "{would:?}");
    assert_eq!(run_cleanup(&server, false).await.0, would);
    assert_eq!(remaining_digests(&admin, "a", &[index, image]).await, BTreeSet::new());
}

/// A version that is tagged during a cleanup stays, unless it was deleted before.
async fn a_version_tagged_meanwhile_stays(server: TestServer) {
    let admin = server.admin();
    let mut digests = Vec::new();
    for number in 0..60 {
        digests.push(push_manifest(&admin, "a", "", &tiny_manifest(number)).await);
    }
    set_policies(&server, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    let google = server.google_admin();
    let tagging = async {
        let mut tagged = Vec::new();
        for (number, digest) in digests.iter().enumerate() {
            let version = format!("{REPOSITORY}/packages/a/versions/{digest}");
            let path = format!("/v1/{REPOSITORY}/packages/a/tags?tagId=t{number}");
            let answer = google.post(&path, &json!({ "version": version })).await;
            match answer.status.as_u16() {
                200 => tagged.push(digest.clone()),
                404 => {}
                _ => panic!("{answer:#?}"),
            }
        }
        tagged
    };
    let (tagged, (gone, _)) = tokio::join!(tagging, run_cleanup(&server, false));
    let tagged: BTreeSet<String> = tagged.into_iter().collect();
    assert!(gone.is_disjoint(&tagged), "{gone:?} {tagged:?}");
    assert_eq!(gone.len() + tagged.len(), digests.len());
    assert_eq!(remaining_digests(&admin, "a", &digests).await, tagged);
}

async fn the_command_shows_deleted_versions(server: TestServer) {
    let admin = server.admin();
    let digest = push_manifest(&admin, "team/web", "1.0", &tiny_manifest(1)).await;
    set_policies(&server, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
    let data = server.data.to_str().expect("plain").to_owned();
    let shown = |arguments: &'static [&'static str]| {
        let mut all: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        all.extend(["--data".to_owned(), data.clone()]);
        tokio::task::spawn_blocking(move || {
            let output = run_berth(&all.iter().map(String::as_str).collect::<Vec<_>>());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.success(), text(&output.stdout), text(&output.stderr))
        })
    };
    let (well, out, _) = shown(&["cleanup", "--dry-run", "p/r1"]).await.expect("it runs");
    assert!(well && out.starts_with(&format!("team/web@{digest}  1.0  ")), "{out}");
    assert!(out.contains("1 of 1 versions would be deleted"), "{out}");
    let (well, out, _) = shown(&["cleanup", REPOSITORY]).await.expect("it runs");
    assert!(well && out.contains("1 of 1 versions deleted"), "{out}");
    set_policies(&server, &[keep_recent_policy(1)]).await;
    let (well, _, error) = shown(&["cleanup", "p/r1"]).await.expect("it runs");
    assert!(well && error.contains("warning: nothing is ever deleted"), "{error}");
    let (well, _, error) = shown(&["cleanup", "p/r1/image"]).await.expect("it runs");
    assert!(!well && error.contains("is no repository"), "{error}");
}

async fn a_repository_is_cleaned_in_the_background(server: CleaningServer) {
    let CleaningServer(server) = server;
    let admin = server.admin();
    let tagged = push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let untagged = push_manifest(&admin, "a", "", &tiny_manifest(2)).await;
    change_repository(&server, "cleanupPolicyDryRun", json!(true)).await;
    set_policies(&server, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    // The repository's setting holds for an operator, too.
    let (would, done) = run_cleanup(&server, false).await;
    assert_eq!((would, &done["dry_run"]), (digest_set(&[&untagged]), &json!(true)));
    assert!(done["warnings"][0].as_str().expect("text").contains("nothing was deleted"), "{done}");
    // The policies of the second repository act. When its version is gone, the first repository was looked at as well.
    admin.push_blob("p/r2/b", "{}").await;
    admin
        .push_manifest(("p/r2/b", &untagged), OCI_MANIFEST, tiny_manifest(2))
        .await
        .expect_status(201);
    let body = json!({ "cleanupPolicies": { "delete": delete_policy(json!({ "tagState": "UNTAGGED" })) } });
    let second = REPOSITORY.replace("r1", "r2");
    let path = format!("/v1/{second}?updateMask=cleanupPolicies");
    server.google_admin().patch(&path, &body).await.expect_status(200);
    wait_until_gone(&admin, &format!("/v2/p/r2/b/manifests/{untagged}")).await;
    assert_eq!(
        remaining_digests(&admin, "a", std::slice::from_ref(&untagged)).await,
        digest_set(&[&untagged])
    );
    change_repository(&server, "cleanupPolicyDryRun", json!(false)).await;
    wait_until_gone(&admin, &format!("/v2/p/r1/a/manifests/{untagged}")).await;
    assert_eq!(
        remaining_digests(&admin, "a", std::slice::from_ref(&tagged)).await,
        digest_set(&[&tagged])
    );
}

/// A server that cleans every 100 ms.
struct CleaningServer(TestServer);

impl StartOn for CleaningServer {
    async fn start(backend: Backend) -> Self {
        let often = |config: &mut berth_server::config::Config| {
            config.cleanup.interval = "100ms".parse().expect("a length of time");
        };
        Self(TestServer::start_with(backend, often).await)
    }
}

/// Waits until a path answers 404.
async fn wait_until_gone(admin: &Client, path: &str) {
    let gone = async {
        while admin.head(path).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_deadline(gone).await;
}
