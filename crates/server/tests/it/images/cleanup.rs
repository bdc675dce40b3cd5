//! Cleanup policies, by the operator's socket and in the background.

mod policies;
mod runs;

use std::collections::BTreeSet;

use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::gc::run_command_lines;
use crate::util::server::TestServer;
use crate::util::{Client, Image, descriptor_of, digest_of, index_of};

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
async fn set_policies(server: &TestServer, policies: &[Value]) {
    let policies: serde_json::Map<_, _> = policies
        .iter()
        .map(|one| (one["id"].as_str().expect("text").to_owned(), one.clone()))
        .collect();
    change_repository(server, "cleanupPolicies", json!(policies)).await;
}

/// Changes one field of the repository.
async fn change_repository(server: &TestServer, field: &str, value: Value) {
    let path = format!("/v1/{REPOSITORY}?updateMask={field}");
    server.google_admin().patch(&path, &json!({ field: value })).await.expect_status(200);
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
