//! Cleanup policies: what goes and what stays, by the operator's socket and in the background.

use std::collections::BTreeSet;
use std::time::Duration;

use meta::events;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::audit::written;
use crate::gc::answers;
use crate::util::process::run;
use crate::util::server::TestServer;
use crate::util::{Backend, Client, Image, Start, bounded, digest_of, on_both};

const REPOSITORY: &str = "projects/p/locations/us-west1/repositories/r1";
const DAY: i64 = 24;

/// A manifest of no consequence: all of them have the same blobs.
fn manifest(number: u64) -> String {
    let blob = json!({ "mediaType": "application/x", "digest": digest_of("{}"), "size": 2 });
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": [],
        "annotations": { "number": number.to_string() },
    })
    .to_string()
}

fn index_of(manifests: &[&str]) -> String {
    let named: Vec<Value> = manifests
        .iter()
        .map(|bytes| json!({ "mediaType": OCI_MANIFEST, "digest": digest_of(bytes), "size": bytes.len() }))
        .collect();
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": named }).to_string()
}

fn referring_to(bytes: &str) -> String {
    let subject =
        json!({ "mediaType": OCI_MANIFEST, "digest": digest_of(bytes), "size": bytes.len() });
    Image::referring_to(&subject, "text/signature").manifest
}

/// Pushes a manifest to an image of the repository, under a tag or, without one, its digest.
async fn push(admin: &Client, image: &str, tag: &str, bytes: &str) -> String {
    let digest = digest_of(bytes);
    let path = format!("p/r1/{image}");
    let media_type = if bytes.contains("manifests\":[") { OCI_INDEX } else { OCI_MANIFEST };
    let reference = if tag.is_empty() { &digest } else { tag };
    admin.push_blob(&path, "{}").await;
    admin.push_manifest((&path, reference), media_type, bytes.to_owned()).await.expect(201);
    digest
}

/// Sets the repository's policies, each with its id.
async fn set(admin: &Client, policies: &[Value]) {
    let policies: serde_json::Map<_, _> = policies
        .iter()
        .map(|one| (one["id"].as_str().expect("text").to_owned(), one.clone()))
        .collect();
    let body = json!({ "cleanupPolicies": policies }).to_string();
    admin.patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicies"), body).await.expect(200);
}

fn delete(condition: Value) -> Value {
    json!({ "id": "delete", "action": "DELETE", "condition": condition })
}

fn keep(condition: Value) -> Value {
    json!({ "id": "keep", "action": "KEEP", "condition": condition })
}

fn keep_recent(count: u32) -> Value {
    json!({ "id": "recent", "action": "KEEP", "mostRecentVersions": { "keepCount": count } })
}

/// What goes, or would go, and the last line.
async fn cleanup(server: &TestServer, dry_run: bool) -> (BTreeSet<String>, Value) {
    let command = json!({ "command": "cleanup", "repository": REPOSITORY, "dry_run": dry_run });
    let mut lines = answers(server, command).await;
    let mut gone = BTreeSet::new();
    for line in &lines {
        let said = if line["done"].is_null() { &line["progress"] } else { &line["done"] };
        for one in said["cleaned"].as_array().unwrap_or_else(|| panic!("{line}")) {
            assert!(gone.insert(one["digest"].as_str().expect("text").to_owned()), "{one} twice");
        }
    }
    (gone, lines.pop().expect("a line")["done"].clone())
}

async fn would_go(server: &TestServer) -> BTreeSet<String> {
    cleanup(server, true).await.0
}

/// The digests that an image still has, of those given.
async fn left(admin: &Client, image: &str, digests: &[String]) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    for digest in digests {
        if admin.head(&format!("/v2/p/r1/{image}/manifests/{digest}")).await.status == 200 {
            left.insert(digest.clone());
        }
    }
    left
}

fn set_of(digests: &[&String]) -> BTreeSet<String> {
    digests.iter().map(|digest| (*digest).clone()).collect()
}

on_both![
    each_condition_and_keep_before_delete,
    what_a_dry_run_lists_is_what_a_run_deletes,
    an_index_that_came_first_goes_first,
    a_signature_that_is_known_by_its_tag_stays_with_its_image,
    the_most_recent_of_many_versions_stay,
    a_tag_keeps_a_version_however_many_it_has,
    tags_that_stay_keep_their_versions,
    what_is_tagged_meanwhile_stays,
    policies_that_cannot_work_are_refused,
    the_command_shows_what_goes,
    a_repository_is_cleaned_in_the_background
];

async fn each_condition_and_keep_before_delete(server: TestServer) {
    let admin = server.admin();
    let tagged = push(&admin, "a", "v1", &manifest(1)).await;
    let untagged = push(&admin, "a", "", &manifest(2)).await;
    let other = push(&admin, "team/b", "rc-1", &manifest(3)).await;
    server.clock.advance_hours(2 * DAY);
    let new = push(&admin, "a", "v2", &manifest(4)).await;
    admin.get("/v2/p/r1/a/manifests/v1").await.expect(200);
    let all = [&tagged, &untagged, &other, &new];
    let start = &untagged[..12];
    for (policies, expected) in [
        (vec![], &[][..]),
        (vec![delete(json!({ "tagState": "ANY" }))], &all),
        (
            vec![delete(json!({ "tagState": "any", "packageNamePrefixes": ["a"] }))],
            &[&tagged, &untagged, &new],
        ),
        (vec![delete(json!({ "tagState": "TAGGED" }))], &[&tagged, &other, &new]),
        (vec![delete(json!({ "tagState": "UNTAGGED" }))], &[&untagged]),
        (vec![delete(json!({ "tagPrefixes": ["v1", "rc"] }))], &[&tagged, &other]),
        (vec![delete(json!({ "versionNamePrefixes": [start] }))], &[&untagged]),
        (vec![delete(json!({ "packageNamePrefixes": ["team/"] }))], &[&other]),
        (vec![delete(json!({ "olderThan": "86400s" }))], &[&tagged, &untagged, &other]),
        (vec![delete(json!({ "newerThan": "86400.0s" }))], &[&new]),
        (vec![delete(json!({ "moreStaleThan": "86400s" }))], &[&untagged, &other]),
        (
            vec![delete(
                json!({ "tagState": "TAGGED", "olderThan": "86400s", "packageNamePrefixes": ["a"] }),
            )],
            &[&tagged],
        ),
        (
            vec![delete(json!({ "tagState": "ANY" })), keep(json!({ "tagPrefixes": ["v"] }))],
            &[&untagged, &other],
        ),
        (vec![delete(json!({ "tagState": "ANY" })), keep_recent(1)], &[&tagged, &untagged]),
        (vec![keep(json!({ "tagState": "UNTAGGED" })), keep_recent(1)], &[]),
    ] {
        set(&admin, &policies).await;
        assert_eq!(would_go(&server).await, set_of(expected), "{policies:#?}");
    }
    let (_, done) = cleanup(&server, false).await;
    let warnings = done["warnings"].as_array().expect("a list");
    assert!(warnings[0].as_str().expect("text").contains("nothing is ever deleted"), "{done}");
    set(&admin, &[]).await;
    let (_, done) = cleanup(&server, false).await;
    assert!(done["warnings"][0].as_str().expect("text").contains("no cleanup policies"), "{done}");
    let digests = all.map(Clone::clone);
    assert_eq!(
        left(&admin, "a", &digests).await.len() + left(&admin, "team/b", &digests).await.len(),
        4
    );
}

async fn what_a_dry_run_lists_is_what_a_run_deletes(server: TestServer) {
    let admin = server.admin();
    let images: Vec<String> = (0..7).map(manifest).collect();
    let mut digests = Vec::new();
    for image in &images {
        digests.push(push(&admin, "a", "", image).await);
    }
    // An index that goes takes along what is to go with it; what a tagged one names stays.
    let going = push(&admin, "a", "", &index_of(&[&images[0], &images[1]])).await;
    let staying = push(&admin, "a", "latest", &index_of(&[&images[1], &images[2]])).await;
    // What refers to an image stays as long as that.
    let of_going = push(&admin, "a", "", &referring_to(&images[3])).await;
    let of_staying =
        push(&admin, "a", "", &referring_to(&index_of(&[&images[1], &images[2]]))).await;
    digests.extend([&going, &staying, &of_going, &of_staying].map(Clone::clone));
    let expected = set_of(&[
        &digests[0],
        &digests[3],
        &digests[4],
        &digests[5],
        &digests[6],
        &going,
        &of_going,
    ]);
    set(&admin, &[delete(json!({ "tagState": "UNTAGGED" }))]).await;
    let (would, dry) = cleanup(&server, true).await;
    assert_eq!(would, expected);
    assert_eq!(
        (&dry["versions"], &dry["held"], &dry["dry_run"]),
        (&json!(7), &json!(3), &json!(true))
    );
    assert_eq!(left(&admin, "a", &digests).await.len(), 11, "a dry run deletes nothing");
    let (gone, done) = cleanup(&server, false).await;
    assert_eq!(gone, would);
    assert_eq!((&done["versions"], &done["bytes"]), (&dry["versions"], &dry["bytes"]));
    let expected: BTreeSet<String> =
        digests.iter().filter(|one| !gone.contains(*one)).cloned().collect();
    assert_eq!(left(&admin, "a", &digests).await, expected);
    let (again, _) = cleanup(&server, false).await;
    assert_eq!(again, BTreeSet::new());
    // Nobody did it, and it is written down.
    let events = server
        .meta()
        .await
        .read(|tx| events::after(tx, &meta::Id::from([0; 16]), 1_000))
        .await
        .expect("readable");
    let cleaned = events.iter().filter(|(_, event)| {
        event.action == "delete" && event.principal == "system:cleanup-policy"
    });
    assert_eq!(cleaned.count(), 7);
    let entries = written(&server).await;
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
async fn an_index_that_came_first_goes_first(server: TestServer) {
    let admin = server.admin();
    let image = manifest(1);
    push(&admin, "a", "", &manifest(2)).await;
    server
        .meta()
        .await
        .write(|tx| tx.exec("UPDATE repositories SET sparse = ?1", &[meta::Param::from(true)]))
        .await
        .expect("ours");
    let index = push(&admin, "a", "latest", &index_of(&[&image])).await;
    let image = push(&admin, "a", "", &image).await;
    set(&admin, &[delete(json!({ "tagState": "UNTAGGED" }))]).await;
    assert!(!would_go(&server).await.contains(&image));
    set(&admin, &[delete(json!({ "olderThan": "0s" }))]).await;
    let would = would_go(&server).await;
    assert!(would.is_superset(&set_of(&[&index, &image])), "{would:?}");
    assert_eq!(cleanup(&server, false).await.0, would);
    assert_eq!(left(&admin, "a", &[index, image]).await, BTreeSet::new());
}

async fn a_signature_that_is_known_by_its_tag_stays_with_its_image(server: TestServer) {
    let admin = server.admin();
    let image = push(&admin, "a", "v1", &manifest(1)).await;
    let tag = format!("sha256-{}.sig", &image["sha256:".len()..]);
    let signature = push(&admin, "a", &tag, &manifest(2)).await;
    let other = push(&admin, "a", &format!("sha256-{}.sig", "0".repeat(64)), &manifest(3)).await;
    set(&admin, &[delete(json!({ "tagState": "ANY" })), keep(json!({ "tagPrefixes": ["v"] }))])
        .await;
    assert_eq!(would_go(&server).await, set_of(&[&other]));
    set(&admin, &[delete(json!({ "tagState": "ANY" }))]).await;
    let (gone, _) = cleanup(&server, false).await;
    assert_eq!(gone, set_of(&[&image, &signature, &other]));
}

async fn the_most_recent_of_many_versions_stay(server: TestServer) {
    let admin = server.admin();
    let mut digests = Vec::new();
    for number in 0..250 {
        digests.push(push(&admin, "a", "", &manifest(number)).await);
    }
    let other = push(&admin, "b", "", &manifest(0)).await;
    set(&admin, &[delete(json!({ "tagState": "ANY" })), keep_recent(120)]).await;
    let (oldest, newest) = digests.split_at(130);
    assert_eq!(would_go(&server).await, oldest.iter().cloned().collect());
    let (gone, done) = cleanup(&server, false).await;
    assert_eq!(gone, oldest.iter().cloned().collect());
    assert_eq!((&done["reviewed"], &done["kept"]), (&json!(251), &json!(121)));
    assert_eq!(left(&admin, "a", &digests).await, newest.iter().cloned().collect());
    assert_eq!(left(&admin, "b", std::slice::from_ref(&other)).await, set_of(&[&other]));
}

async fn a_tag_keeps_a_version_however_many_it_has(server: TestServer) {
    let admin = server.admin();
    let kept = push(&admin, "a", "release", &manifest(1)).await;
    let gone = push(&admin, "a", "other", &manifest(2)).await;
    for number in 0..150 {
        push(&admin, "a", &format!("a{number}"), &manifest(1)).await;
    }
    for number in 0..310 {
        push(&admin, "a", &format!("b{number}"), &manifest(2)).await;
    }
    set(
        &admin,
        &[
            delete(json!({ "tagPrefixes": ["a", "b"] })),
            keep(json!({ "tagPrefixes": ["release"] })),
        ],
    )
    .await;
    assert_eq!(would_go(&server).await, set_of(&[&gone]));
    // Of its 311 tags the first 300 go first, and with them those that the policy looks for.
    assert_eq!(cleanup(&server, false).await.0, set_of(&[&gone]));
    assert_eq!(left(&admin, "a", &[kept.clone(), gone]).await, set_of(&[&kept]));
    admin.get("/v2/p/r1/a/manifests/other").await.expect(404);
}

async fn tags_that_stay_keep_their_versions(server: TestServer) {
    let admin = server.admin();
    let tagged = push(&admin, "a", "v1", &manifest(1)).await;
    let untagged = push(&admin, "a", "", &manifest(2)).await;
    set(&admin, &[delete(json!({ "tagState": "ANY" }))]).await;
    let body = json!({ "dockerConfig": { "immutableTags": true } }).to_string();
    admin.patch(&format!("/v1/{REPOSITORY}?updateMask=dockerConfig"), body).await.expect(200);
    assert_eq!(would_go(&server).await, set_of(&[&untagged]));
    let (gone, done) = cleanup(&server, false).await;
    assert_eq!((gone, &done["held"]), (set_of(&[&untagged]), &json!(1)));
    admin.get("/v2/p/r1/a/manifests/v1").await.expect(200);
    assert_eq!(left(&admin, "a", std::slice::from_ref(&tagged)).await, set_of(&[&tagged]));
}

/// Whatever was tagged while it was to go stays, or was gone before.
async fn what_is_tagged_meanwhile_stays(server: TestServer) {
    let admin = server.admin();
    let mut digests = Vec::new();
    for number in 0..60 {
        digests.push(push(&admin, "a", "", &manifest(number)).await);
    }
    set(&admin, &[delete(json!({ "tagState": "UNTAGGED" }))]).await;
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
    let (tagged, (gone, _)) = tokio::join!(tagging, cleanup(&server, false));
    let tagged: BTreeSet<String> = tagged.into_iter().collect();
    assert!(gone.is_disjoint(&tagged), "{gone:?} {tagged:?}");
    assert_eq!(gone.len() + tagged.len(), digests.len());
    assert_eq!(left(&admin, "a", &digests).await, tagged);
}

async fn policies_that_cannot_work_are_refused(server: TestServer) {
    let admin = server.admin();
    push(&admin, "a", "v1", &manifest(1)).await;
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
        let refused = admin.patch(&path, body).await.expect_google("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("cleanup_policies"), "{policy}: {refused:#?}");
    }
    let body = json!({ "cleanupPolicies": { "delete": delete(json!({ "tagState": "ANY" })) } })
        .to_string();
    assert!(server.by("nobody").patch(&path, body).await.is_refused());
    assert_eq!(would_go(&server).await, BTreeSet::new());
    for (repository, problem) in [
        ("p/r1", "is no repository"),
        ("projects/p/locations/us-west1/repositories/none", "was not found"),
    ] {
        let command = json!({ "command": "cleanup", "repository": repository, "dry_run": true });
        let said = answers(&server, command).await.pop().expect("a line");
        assert!(said["error"].as_str().expect("text").contains(problem), "{said}");
    }
}

async fn the_command_shows_what_goes(server: TestServer) {
    let admin = server.admin();
    let digest = push(&admin, "team/web", "1.0", &manifest(1)).await;
    set(&admin, &[delete(json!({ "tagState": "ANY" }))]).await;
    let data = server.data.to_str().expect("plain").to_owned();
    let shown = |arguments: &'static [&'static str]| {
        let mut all: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        all.extend(["--data".to_owned(), data.clone()]);
        tokio::task::spawn_blocking(move || {
            let output = run(&all.iter().map(String::as_str).collect::<Vec<_>>());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.success(), text(&output.stdout), text(&output.stderr))
        })
    };
    let (well, out, _) = shown(&["cleanup", "--dry-run", "p/r1"]).await.expect("it runs");
    assert!(well && out.starts_with(&format!("team/web@{digest}  1.0  ")), "{out}");
    assert!(out.contains("1 of 1 versions would be deleted"), "{out}");
    let (well, out, _) = shown(&["cleanup", REPOSITORY]).await.expect("it runs");
    assert!(well && out.contains("1 of 1 versions deleted"), "{out}");
    set(&admin, &[keep_recent(1)]).await;
    let (well, _, error) = shown(&["cleanup", "p/r1"]).await.expect("it runs");
    assert!(well && error.contains("warning: nothing is ever deleted"), "{error}");
    let (well, _, error) = shown(&["cleanup", "p/r1/image"]).await.expect("it runs");
    assert!(!well && error.contains("is no repository"), "{error}");
}

async fn a_repository_is_cleaned_in_the_background(server: Cleaning) {
    let Cleaning(server) = server;
    let admin = server.admin();
    let tagged = push(&admin, "a", "v1", &manifest(1)).await;
    let untagged = push(&admin, "a", "", &manifest(2)).await;
    let body = json!({ "cleanupPolicyDryRun": true }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicyDryRun"), body)
        .await
        .expect(200);
    set(&admin, &[delete(json!({ "tagState": "UNTAGGED" }))]).await;
    // An operator, too, is held back by what the repository says.
    let (would, done) = cleanup(&server, false).await;
    assert_eq!((would, &done["dry_run"]), (set_of(&[&untagged]), &json!(true)));
    assert!(done["warnings"][0].as_str().expect("text").contains("nothing was deleted"), "{done}");
    // Another repository of the same kind, whose policies act: when its version is gone, this one has been looked at.
    admin.push_blob("p/r2/b", "{}").await;
    admin.push_manifest(("p/r2/b", &untagged), OCI_MANIFEST, manifest(2)).await.expect(201);
    let body =
        json!({ "cleanupPolicies": { "delete": delete(json!({ "tagState": "UNTAGGED" })) } })
            .to_string();
    let second = REPOSITORY.replace("r1", "r2");
    admin.patch(&format!("/v1/{second}?updateMask=cleanupPolicies"), body).await.expect(200);
    gone(&admin, &format!("/v2/p/r2/b/manifests/{untagged}")).await;
    assert_eq!(left(&admin, "a", std::slice::from_ref(&untagged)).await, set_of(&[&untagged]));
    let body = json!({ "cleanupPolicyDryRun": false }).to_string();
    admin
        .patch(&format!("/v1/{REPOSITORY}?updateMask=cleanupPolicyDryRun"), body)
        .await
        .expect(200);
    gone(&admin, &format!("/v2/p/r1/a/manifests/{untagged}")).await;
    assert_eq!(left(&admin, "a", std::slice::from_ref(&tagged)).await, set_of(&[&tagged]));
}

/// A server that cleans all the time.
struct Cleaning(TestServer);

impl Start for Cleaning {
    async fn start(backend: Backend) -> Self {
        let often = |config: &mut server::config::Config| {
            config.cleanup.interval = "100ms".parse().expect("a length of time");
        };
        Self(TestServer::start_with(backend, often).await)
    }
}

/// Waits until something is there no more.
async fn gone(admin: &Client, path: &str) {
    let gone = async {
        while admin.head(path).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bounded(gone).await;
}
