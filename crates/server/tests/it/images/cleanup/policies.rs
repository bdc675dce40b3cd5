//! The versions that a policy selects, and invalid policies.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    DAY, REPOSITORY, change_repository, delete_policy, digest_set, dry_run_digests, keep_policy,
    keep_recent_policy, push_manifest, remaining_digests, run_cleanup, set_policies, tiny_manifest,
};
use crate::gc::run_command_lines;
use crate::util::on_both;
use crate::util::server::TestServer;

on_both![
    each_condition_selects_versions_and_keep_precedes_delete,
    a_signature_with_a_tag_stays_with_its_image,
    the_most_recent_of_many_versions_stay,
    one_tag_keeps_a_version_with_many_tags,
    immutable_tags_keep_their_versions,
    invalid_policies_are_refused
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
            vec![delete_policy(json!({
                "tagState": "TAGGED", "olderThan": "86400s", "packageNamePrefixes": ["a"],
            }))],
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
        set_policies(&server, &policies).await;
        assert_eq!(dry_run_digests(&server).await, digest_set(expected), "{policies:#?}");
    }
    let (_, done) = run_cleanup(&server, false).await;
    let warnings = done["warnings"].as_array().expect("a list");
    assert!(warnings[0].as_str().expect("text").contains("nothing is ever deleted"), "{done}");
    set_policies(&server, &[]).await;
    let (_, done) = run_cleanup(&server, false).await;
    assert!(done["warnings"][0].as_str().expect("text").contains("no cleanup policies"), "{done}");
    let digests = all.map(Clone::clone);
    assert_eq!(
        remaining_digests(&admin, "a", &digests).await.len()
            + remaining_digests(&admin, "team/b", &digests).await.len(),
        4
    );
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
        &server,
        &[
            delete_policy(json!({ "tagState": "ANY" })),
            keep_policy(json!({ "tagPrefixes": ["v"] })),
        ],
    )
    .await;
    assert_eq!(dry_run_digests(&server).await, digest_set(&[&other]));
    set_policies(&server, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
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
    set_policies(&server, &[delete_policy(json!({ "tagState": "ANY" })), keep_recent_policy(120)])
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
        &server,
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
    set_policies(&server, &[delete_policy(json!({ "tagState": "ANY" }))]).await;
    change_repository(&server, "dockerConfig", json!({ "immutableTags": true })).await;
    assert_eq!(dry_run_digests(&server).await, digest_set(&[&untagged]));
    let (gone, done) = run_cleanup(&server, false).await;
    assert_eq!((gone, &done["held"]), (digest_set(&[&untagged]), &json!(1)));
    admin.get("/v2/p/r1/a/manifests/v1").await.expect_status(200);
    assert_eq!(
        remaining_digests(&admin, "a", std::slice::from_ref(&tagged)).await,
        digest_set(&[&tagged])
    );
}

async fn invalid_policies_are_refused(server: TestServer) {
    let admin = server.admin();
    push_manifest(&admin, "a", "v1", &tiny_manifest(1)).await;
    let google = server.google_admin();
    let path = format!("/v1/{REPOSITORY}?updateMask=cleanupPolicies");
    for policy in [
        json!({ "id": "p", "action": "DELETE" }),
        json!({ "id": "p", "action": "DELETE", "condition": {} }),
        json!({ "id": "p", "action": "DELETE", "mostRecentVersions": { "keepCount": 1 } }),
        json!({ "id": "p", "action": "KEEP", "mostRecentVersions": {} }),
        json!({ "id": "p", "action": "DELETE", "condition": { "olderThan": "-1s" } }),
        json!({ "id": "q", "action": "DELETE", "condition": { "tagState": "ANY" } }),
    ] {
        let body = json!({ "cleanupPolicies": { "p": policy } });
        let refused = google.patch(&path, &body).await.expect_google_error("400 INVALID_ARGUMENT");
        assert!(refused.text().contains("cleanup_policies"), "{policy}: {refused:#?}");
    }
    let body =
        json!({ "cleanupPolicies": { "delete": delete_policy(json!({ "tagState": "ANY" })) } });
    server.google_client_of("nobody").patch(&path, &body).await.expect_status(403);
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
