//! Cleanup policies, by the operator's socket and in the background.

use std::collections::BTreeSet;
use std::time::Duration;

use meta::events;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::audit::written_entries;
use crate::gc::run_command_lines;
use crate::util::process::run_berth;
use crate::util::server::TestServer;
use crate::util::{
    Backend, Client, Image, StartOn, descriptor_of, digest_of, index_of, on_both, with_deadline,
};

const REPOSITORY: &str = "projects/p/locations/us-west1/repositories/r1";
const DAY: i64 = 24;

/// A manifest whose only blob is `{}`, with another digest for each number.
fn tiny_manifest(number: u64) -> String {
    let blob = json!({ "mediaType": "application/x", "digest": digest_of("{}"), "size": 2 });
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": [],
        "annotations": { "number": number.to_string() },
    })
    .to_string()
}

fn index_of_manifests(manifests: &[&str]) -> String {
    let named: Vec<Value> =
        manifests.iter().map(|bytes| descriptor_of(OCI_MANIFEST, bytes)).collect();
    index_of(&named)
}

fn referrer_manifest(bytes: &str) -> String {
    let subject = descriptor_of(OCI_MANIFEST, bytes);
    Image::referring_to(&subject, "text/signature").manifest
}

/// Pushes a manifest under a tag or, if the tag is empty, under its digest.
async fn push_manifest(admin: &Client, image: &str, tag: &str, bytes: &str) -> String {
    let digest = digest_of(bytes);
    let path = format!("p/r1/{image}");
    let media_type = if bytes.contains("manifests\":[") { OCI_INDEX } else { OCI_MANIFEST };
    let reference = if tag.is_empty() { &digest } else { tag };
    admin.push_blob(&path, "{}").await;
    admin.push_manifest((&path, reference), media_type, bytes.to_owned()).await.expect_status(201);
    digest
}

/// Sets the repository's policies. Each policy has its id in it.
async fn set_policies(admin: &Client, policies: &[Value]) {
    let policies: serde_json::Map<_, _> = policies
        .iter()
        .map(|one| (one["id"].as_str().expect("text").to_owned(), one.clone()))
        .collect();
    let body = json!({ "cleanupPolicies": policies }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicies"), body)
        .await
        .expect_status(200);
}

fn delete_policy(condition: Value) -> Value {
    json!({ "id": "delete", "action": "DELETE", "condition": condition })
}

fn keep_policy(condition: Value) -> Value {
    json!({ "id": "keep", "action": "KEEP", "condition": condition })
}

fn keep_recent_policy(count: u32) -> Value {
    json!({ "id": "recent", "action": "KEEP", "mostRecentVersions": { "keepCount": count } })
}

/// Runs a cleanup. Returns the digests that it deletes or would delete, and the last line.
async fn run_cleanup(server: &TestServer, dry_run: bool) -> (BTreeSet<String>, Value) {
    let command = json!({ "command": "cleanup", "repository": REPOSITORY, "dry_run": dry_run });
    let mut lines = run_command_lines(server, command).await;
    let mut gone = BTreeSet::new();
    for line in &lines {
        let said = if line["done"].is_null() { &line["progress"] } else { &line["done"] };
        for one in said["cleaned"].as_array().unwrap_or_else(|| panic!("{line}")) {
            assert!(gone.insert(one["digest"].as_str().expect("text").to_owned()), "{one} twice");
        }
    }
    (gone, lines.pop().expect("a line")["done"].clone())
}

async fn dry_run_digests(server: &TestServer) -> BTreeSet<String> {
    run_cleanup(server, true).await.0
}

/// The digests, of those given, that an image still has.
async fn remaining_digests(admin: &Client, image: &str, digests: &[String]) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    for digest in digests {
        if admin.head(&format!("/v2/p/r1/{image}/manifests/{digest}")).await.status == 200 {
            left.insert(digest.clone());
        }
    }
    left
}

fn digest_set(digests: &[&String]) -> BTreeSet<String> {
    digests.iter().map(|digest| (*digest).clone()).collect()
}

on_both![
    each_condition_selects_versions_and_keep_precedes_delete,
    a_run_deletes_what_a_dry_run_lists,
    an_index_pushed_before_its_image_is_deleted_before_it,
    a_signature_with_a_tag_stays_with_its_image,
    the_most_recent_of_many_versions_stay,
    one_tag_keeps_a_version_with_many_tags,
    immutable_tags_keep_their_versions,
    a_version_tagged_meanwhile_stays,
    invalid_policies_are_refused,
    the_command_shows_deleted_versions,
    a_repository_is_cleaned_in_the_background
];

async fn each_condition_selects_versions_and_keep_precedes_delete(server: TestServer) {
    let admin = server.admin();
    let tagged = push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let untagged = push_manifest(&admin, "a", "", &tiny_manifest(2)).await;
    let other = push_manifest(&admin, "team/b", "rc-1", &tiny_manifest(3)).await;
    server.clock.advance_hours(2 * DAY);
    let new = push_manifest(&admin, "a", "v2", &tiny_manifest(4)).await;
    admin.get("/v2/p/r1/a/manifests/v1").await.expect_status(200);
    let all = [&tagged, &untagged, &other, &new];
    let start = &untagged[..12];
    for (policies, expected) in [
        (vec![], &[][..]),
        (vec![delete_policy(json!({ "tagState": "ANY" }))], &all),
        (
            vec![delete_policy(json!({ "tagState": "any", "packageNamePrefixes": ["a"] }))],
            &[&tagged, &untagged, &new],
        ),
        (vec![delete_policy(json!({ "tagState": "TAGGED" }))], &[&tagged, &other, &new]),
        (vec![delete_policy(json!({ "tagState": "UNTAGGED" }))], &[&untagged]),
        (vec![delete_policy(json!({ "tagPrefixes": ["v1", "rc"] }))], &[&tagged, &other]),
        (vec![delete_policy(json!({ "versionNamePrefixes": [start] }))], &[&untagged]),
        (vec![delete_policy(json!({ "packageNamePrefixes": ["team/"] }))], &[&other]),
        (vec![delete_policy(json!({ "olderThan": "86400s" }))], &[&tagged, &untagged, &other]),
        (vec![delete_policy(json!({ "newerThan": "86400.0s" }))], &[&new]),
        (vec![delete_policy(json!({ "moreStaleThan": "86400s" }))], &[&untagged, &other]),
        (
            vec![delete_policy(
                json!({ "tagState": "TAGGED", "olderThan": "86400s", "packageNamePrefixes": ["a"] }),
            )],
            &[&tagged],
        ),
        (
            vec![
                delete_policy(json!({ "tagState": "ANY" })),
                keep_policy(json!({ "tagPrefixes": ["v"] })),
            ],
            &[&untagged, &other],
        ),
        (
            vec![delete_policy(json!({ "tagState": "ANY" })), keep_recent_policy(1)],
            &[&tagged, &untagged],
        ),
        (vec![keep_policy(json!({ "tagState": "UNTAGGED" })), keep_recent_policy(1)], &[]),
    ] {
        set_policies(&admin, &policies).await;
        assert_eq!(dry_run_digests(&server).await, digest_set(expected), "{policies:#?}");
    }
    let (_, done) = run_cleanup(&server, false).await;
    let warnings = done["warnings"].as_array().expect("a list");
    assert!(warnings[0].as_str().expect("text").contains("nothing is ever deleted"), "{done}");
    set_policies(&admin, &[]).await;
    let (_, done) = run_cleanup(&server, false).await;
    assert!(done["warnings"][0].as_str().expect("text").contains("no cleanup policies"), "{done}");
    let digests = all.map(Clone::clone);
    assert_eq!(
        remaining_digests(&admin, "a", &digests).await.len()
            + remaining_digests(&admin, "team/b", &digests).await.len(),
        4
    );
}

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
    set_policies(&admin, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
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
        .read(|tx| events::after(tx, &meta::Id::from([0; 16]), 1_000))
        .await
        .expect("readable");
    let cleaned = events.iter().filter(|(_, event)| {
        event.action == "delete" && event.principal == "system:cleanup-policy"
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
        .write(|tx| tx.exec("UPDATE repositories SET sparse = ?1", &[meta::Param::from(true)]))
        .await
        .expect("ours");
    let index = push_manifest(&admin, "a", "latest", &index_of_manifests(&[&image])).await;
    let image = push_manifest(&admin, "a", "", &image).await;
    set_policies(&admin, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    assert!(!dry_run_digests(&server).await.contains(&image));
    set_policies(&admin, &[delete_policy(json!({ "olderThan": "0s" }))]).await;
    let would = dry_run_digests(&server).await;
    assert!(would.is_superset(&digest_set(&[&index, &image])), "{would:?}");
    assert_eq!(run_cleanup(&server, false).await.0, would);
    assert_eq!(remaining_digests(&admin, "a", &[index, image]).await, BTreeSet::new());
}

async fn a_signature_with_a_tag_stays_with_its_image(server: TestServer) {
    let admin = server.admin();
    let image = push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let tag = format!("sha256-{}.sig", &image["sha256:".len()..]);
    let signature = push_manifest(&admin, "a", &tag, &tiny_manifest(2)).await;
    let other =
        push_manifest(&admin, "a", &format!("sha256-{}.sig", "0".repeat(64)), &tiny_manifest(3))
            .await;
    set_policies(
        &admin,
        &[
            delete_policy(json!({ "tagState": "ANY" })),
            keep_policy(json!({ "tagPrefixes": ["v"] })),
        ],
    )
    .await;
    assert_eq!(dry_run_digests(&server).await, digest_set(&[&other]));
    set_policies(&admin, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
    let (gone, _) = run_cleanup(&server, false).await;
    assert_eq!(gone, digest_set(&[&image, &signature, &other]));
}

async fn the_most_recent_of_many_versions_stay(server: TestServer) {
    let admin = server.admin();
    let mut digests = Vec::new();
    for number in 0..250 {
        digests.push(push_manifest(&admin, "a", "", &tiny_manifest(number)).await);
    }
    let other = push_manifest(&admin, "b", "", &tiny_manifest(0)).await;
    set_policies(&admin, &[delete_policy(json!({ "tagState": "ANY" })), keep_recent_policy(120)])
        .await;
    let (oldest, newest) = digests.split_at(130);
    assert_eq!(dry_run_digests(&server).await, oldest.iter().cloned().collect());
    let (gone, done) = run_cleanup(&server, false).await;
    assert_eq!(gone, oldest.iter().cloned().collect());
    assert_eq!((&done["reviewed"], &done["kept"]), (&json!(251), &json!(121)));
    assert_eq!(remaining_digests(&admin, "a", &digests).await, newest.iter().cloned().collect());
    assert_eq!(
        remaining_digests(&admin, "b", std::slice::from_ref(&other)).await,
        digest_set(&[&other])
    );
}

async fn one_tag_keeps_a_version_with_many_tags(server: TestServer) {
    let admin = server.admin();
    let kept = push_manifest(&admin, "a", "release", &tiny_manifest(1)).await;
    let gone = push_manifest(&admin, "a", "other", &tiny_manifest(2)).await;
    for number in 0..150 {
        push_manifest(&admin, "a", &format!("a{number}"), &tiny_manifest(1)).await;
    }
    for number in 0..310 {
        push_manifest(&admin, "a", &format!("b{number}"), &tiny_manifest(2)).await;
    }
    set_policies(
        &admin,
        &[
            delete_policy(json!({ "tagPrefixes": ["a", "b"] })),
            keep_policy(json!({ "tagPrefixes": ["release"] })),
        ],
    )
    .await;
    assert_eq!(dry_run_digests(&server).await, digest_set(&[&gone]));
    // The image has 311 tags. The first 300 are deleted first, and those that the policy looks for with them.
    assert_eq!(run_cleanup(&server, false).await.0, digest_set(&[&gone]));
    assert_eq!(remaining_digests(&admin, "a", &[kept.clone(), gone]).await, digest_set(&[&kept]));
    admin.get("/v2/p/r1/a/manifests/other").await.expect_status(404);
}

async fn immutable_tags_keep_their_versions(server: TestServer) {
    let admin = server.admin();
    let tagged = push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let untagged = push_manifest(&admin, "a", "", &tiny_manifest(2)).await;
    set_policies(&admin, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
    let body = json!({ "dockerConfig": { "immutableTags": true } }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=dockerConfig"), body)
        .await
        .expect_status(200);
    assert_eq!(dry_run_digests(&server).await, digest_set(&[&untagged]));
    let (gone, done) = run_cleanup(&server, false).await;
    assert_eq!((gone, &done["held"]), (digest_set(&[&untagged]), &json!(1)));
    admin.get("/v2/p/r1/a/manifests/v1").await.expect_status(200);
    assert_eq!(
        remaining_digests(&admin, "a", std::slice::from_ref(&tagged)).await,
        digest_set(&[&tagged])
    );
}

/// A version that is tagged during a cleanup stays, unless it was deleted before.
async fn a_version_tagged_meanwhile_stays(server: TestServer) {
    let admin = server.admin();
    let mut digests = Vec::new();
    for number in 0..60 {
        digests.push(push_manifest(&admin, "a", "", &tiny_manifest(number)).await);
    }
    set_policies(&admin, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
    let tagging = async {
        let mut tagged = Vec::new();
        for (number, digest) in digests.iter().enumerate() {
            let version = format!("{REPOSITORY}/packages/a/versions/{digest}");
            let path = format!("/v1/{REPOSITORY}/packages/a/tags?tagId=t{number}");
            let answer = admin.post(&path, json!({ "version": version }).to_string()).await;
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

async fn invalid_policies_are_refused(server: TestServer) {
    let admin = server.admin();
    push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let path = format!("/v1/{REPOSITORY}?updateMask=cleanupPolicies");
    for policy in [
        json!({ "id": "p", "action": "DELETE" }),
        json!({ "id": "p", "action": "DELETE", "condition": {} }),
        json!({ "id": "p", "action": "DELETE", "mostRecentVersions": { "keepCount": 1 } }),
        json!({ "id": "p", "action": "KEEP", "mostRecentVersions": {} }),
        json!({ "id": "p", "action": "DELETE", "condition": { "olderThan": "-1s" } }),
        json!({ "id": "q", "action": "DELETE", "condition": { "tagState": "ANY" } }),
    ] {
        let body = json!({ "cleanupPolicies": { "p": policy } }).to_string();
        let refused = admin.patch(&path, body).await.expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("cleanup_policies"), "{policy}: {refused:#?}");
    }
    let body =
        json!({ "cleanupPolicies": { "delete": delete_policy(json!({ "tagState": "ANY" })) } })
            .to_string();
    assert!(server.client_of("nobody").patch(&path, body).await.is_refused());
    assert_eq!(dry_run_digests(&server).await, BTreeSet::new());
    for (repository, problem) in [
        ("p/r1", "is no repository"),
        ("projects/p/locations/us-west1/repositories/none", "was not found"),
    ] {
        let command = json!({ "command": "cleanup", "repository": repository, "dry_run": true });
        let said = run_command_lines(&server, command).await.pop().expect("a line");
        assert!(said["error"].as_str().expect("text").contains(problem), "{said}");
    }
}

async fn the_command_shows_deleted_versions(server: TestServer) {
    let admin = server.admin();
    let digest = push_manifest(&admin, "team/web", "1.0", &tiny_manifest(1)).await;
    set_policies(&admin, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
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
    set_policies(&admin, &[keep_recent_policy(1)]).await;
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
    let body = json!({ "cleanupPolicyDryRun": true }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicyDryRun"), body)
        .await
        .expect_status(200);
    set_policies(&admin, &[delete_policy(json!({ "tagState": "UNTAGGED" }))]).await;
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
    let body =
        json!({ "cleanupPolicies": { "delete": delete_policy(json!({ "tagState": "UNTAGGED" })) } })
            .to_string();
    let second = REPOSITORY.replace("r1", "r2");
    admin.patch(&format!("/v1/{second}?updateMask=cleanupPolicies"), body).await.expect_status(200);
    wait_until_gone(&admin, &format!("/v2/p/r2/b/manifests/{untagged}")).await;
    assert_eq!(
        remaining_digests(&admin, "a", std::slice::from_ref(&untagged)).await,
        digest_set(&[&untagged])
    );
    let body = json!({ "cleanupPolicyDryRun": false }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicyDryRun"), body)
        .await
        .expect_status(200);
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
        let often = |config: &mut server::config::Config| {
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
