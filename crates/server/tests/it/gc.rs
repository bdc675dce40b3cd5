//! Deletes and collections, by the operator's socket.

use identity::Clock;
use meta::operations::{self, OperationRow};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::util::accounts::{PROJECT, sign_in};
use crate::util::{AccountServer, Image, TestServer, digest_of, on_both};

const IMAGE: &str = "p/r1/image";

/// Sends a command to the socket, and returns the last line of the answer.
pub(crate) async fn run_command(server: &TestServer, command: Value) -> Value {
    run_command_lines(server, command).await.pop().expect("an answer")
}

/// Sends a command to the socket, and returns all lines of the answer.
pub(crate) async fn run_command_lines(server: &TestServer, command: Value) -> Vec<Value> {
    let stream =
        UnixStream::connect(server.run_folder().join("admin.sock")).await.expect("it listens");
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{command}\n").as_bytes()).await.expect("open");
    let (mut lines, mut all) = (BufReader::new(read).lines(), Vec::new());
    while let Some(line) = lines.next_line().await.expect("readable") {
        all.push(serde_json::from_str(&line).expect("JSON"));
    }
    all
}

/// Runs a collection.
pub(crate) async fn collect_garbage(server: &TestServer) -> Value {
    run_command(server, json!({ "command": "gc", "dry_run": false })).await["done"].clone()
}

on_both![
    deleted_content_is_collected_after_the_grace,
    looking_at_a_blob_keeps_it,
    a_blob_is_collected_when_no_repository_needs_it,
    unfinished_uploads_are_collected,
    operations_are_forgotten_after_a_day,
    unknown_commands_are_refused
];

async fn deleted_content_is_collected_after_the_grace(server: TestServer) {
    let admin = server.admin();
    let (kept, deleted) = (Image::new(1), Image::new(2));
    kept.push(&admin, (IMAGE, "kept")).await;
    deleted.push(&admin, (IMAGE, "deleted")).await;
    assert_eq!(server.count_blob_files(), 6);
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", deleted.digest())).await.expect_status(202);
    let layer = format!("/v2/{IMAGE}/blobs/{}", digest_of(&deleted.blobs[1]));
    collect_garbage(&server).await;
    admin.get(&layer).await.expect_status(200);
    server.clock.advance_hours(25);
    let dry = run_command(&server, json!({ "command": "gc", "dry_run": true })).await;
    assert_eq!((&dry["done"]["links"], &dry["done"]["manifests"]), (&json!(3), &json!(1)));
    admin.get(&layer).await.expect_status(200);
    let done = collect_garbage(&server).await;
    assert_eq!(
        (&done["links"], &done["blobs"], &done["manifests"]),
        (&json!(3), &json!(3), &json!(1))
    );
    let bytes: u64 = deleted.blobs.iter().map(|blob| blob.len() as u64).sum();
    assert_eq!(done["bytes"], bytes);
    admin.get(&layer).await.expect_oci_error("404 BLOB_UNKNOWN");
    assert_eq!(server.count_blob_files(), 6, "what is in the trash can still be read to its end");
    server.clock.advance_hours(2);
    assert_eq!(collect_garbage(&server).await["files"], 3);
    assert_eq!(server.count_blob_files(), 3);
    for blob in &kept.blobs {
        admin.get(&format!("/v2/{IMAGE}/blobs/{}", digest_of(blob))).await.expect_status(200);
    }
    deleted.push(&admin, (IMAGE, "deleted")).await;
    admin.get(&layer).await.expect_status(200);
}

async fn looking_at_a_blob_keeps_it(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    server.clock.advance_hours(23);
    admin.head(&path).await.expect_status(200);
    server.clock.advance_hours(2);
    collect_garbage(&server).await;
    admin.head(&path).await.expect_status(200);
    server.clock.advance_hours(25);
    collect_garbage(&server).await;
    admin.head(&path).await.expect_status(404);
}

async fn a_blob_is_collected_when_no_repository_needs_it(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, ("p/r1/image", "x")).await;
    image.push(&admin, ("p/r2/image", "x")).await;
    admin.delete(&format!("/v2/p/r1/image/manifests/{}", image.digest())).await.expect_status(202);
    server.clock.advance_hours(25);
    collect_garbage(&server).await;
    server.clock.advance_hours(25);
    collect_garbage(&server).await;
    let blob = digest_of(&image.blobs[1]);
    admin.get(&format!("/v2/p/r1/image/blobs/{blob}")).await.expect_status(404);
    admin.get(&format!("/v2/p/r2/image/blobs/{blob}")).await.expect_status(200);
    assert_eq!(server.count_blob_files(), 3);
}

async fn unfinished_uploads_are_collected(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "bytes").await.expect_status(202);
    let cancelled = admin.start_upload(IMAGE).await;
    admin.patch(&cancelled, "bytes").await.expect_status(202);
    admin.delete(&cancelled).await.expect_status(204);
    // The same content is pushed twice, and one copy is enough.
    admin.push_blob(IMAGE, "content").await;
    admin.push_blob(IMAGE, "content").await;
    assert_eq!(server.count_blob_files(), 4);
    for _ in 0..2 {
        server.clock.advance_hours(30);
        collect_garbage(&server).await;
    }
    assert_eq!(server.count_blob_files(), 0, "the blob, too, was never named by a manifest");
}

/// A caller who may start operations can start very many.
async fn operations_are_forgotten_after_a_day(accounts: AccountServer) {
    let server = &accounts.server;
    let enabled = format!("/v1/projects/{PROJECT}/services/iam.googleapis.com:enable");
    let enabled = accounts.owner.post(&enabled, &json!({})).await.expect_status(200).json();
    let made = accounts.owner.create_repository(PROJECT, "r1").await.expect_status(200).json();
    let names =
        [enabled, made].map(|operation| operation["name"].as_str().expect("text").to_owned());
    let (meta, now) = (server.open_meta().await, server.clock.now());
    let older =
        |n| OperationRow { name: format!("n{n}"), principal: "user:x".to_owned(), content: vec![] };
    let inserted = meta
        .write(move |tx| (0..1_700).try_for_each(|n| operations::insert(tx, &older(n), now - 1)));
    inserted.await.expect("writable");
    for (hours, status) in [(23, 200), (2, 404)] {
        server.clock.advance_hours(hours);
        collect_garbage(server).await;
        let owner = sign_in(server, &accounts.owner_key).await;
        for name in &names {
            owner.get(&format!("/v1/{name}")).await.expect_status(status);
        }
    }
    let left = meta.write(|tx| operations::delete_old(tx, i64::MAX, 10_000)).await;
    assert_eq!(left.expect("writable"), 0);
}

async fn unknown_commands_are_refused(server: TestServer) {
    let answer = run_command(&server, json!({ "command": "explode" })).await;
    assert!(answer["error"].as_str().is_some_and(|text| text.contains("explode")), "{answer}");
}
