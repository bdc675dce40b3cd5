//! A running server whose database or blob folder is moved, deleted or replaced.

use std::fs;
use std::path::PathBuf;

use meta::blobs::{self, CopyState};
use meta::{Id, settings};
use model::digest::Digest;
use serde_json::json;

use super::{IMAGE, database_files, find_marker};
use crate::gc::{collect_garbage, run_command};
use crate::util::image::blob_path;
use crate::util::{Backend, Client, TestServer, on_both};

/// Waits for a line of the metrics, and asserts the readiness.
async fn wait_until_present(server: &TestServer, is_present: bool) {
    let line = format!("berth_stores_present {}", u8::from(is_present));
    server.wait_for_metrics(&line).await;
    let status = if is_present { 200 } else { 503 };
    Client::new(server.ops).get("/readyz").await.expect_status(status);
}

/// Each of the files counts. Data in a log without a name would be lost, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_database_was_moved_refuses_writes() {
    let server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    for file in ["berth.db", "berth.db-wal", "berth.db-shm"] {
        let (file, away) = (server.data.join(file), server.data.join("away"));
        fs::rename(&file, &away).expect("ours");
        let refused = admin.post(&format!("/v2/{IMAGE}/blobs/uploads/"), "").await;
        let refused = refused.expect_oci_error("503 UNAVAILABLE");
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("storage is not where it was"), "{message}");
        wait_until_present(&server, false).await;
        let reads = (0..32).map(|_| async { admin.get(&blob_path(IMAGE, &digest)).await.status });
        for status in futures_util::future::join_all(reads).await {
            assert!([200, 503].contains(&status.as_u16()), "{status}");
        }
        assert!(!file.exists(), "no empty one was made in its place");
        fs::write(&file, "").expect("ours");
        admin.post(&format!("/v2/{IMAGE}/blobs/uploads/"), "").await.expect_status(503);
        fs::remove_file(&file).expect("ours");
        fs::rename(&away, &file).expect("ours");
        wait_until_present(&server, true).await;
        admin.push_blob(IMAGE, "content").await;
        admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
    }
}

/// An unlinked file does not come back, so that anything written to it would be lost.
#[tokio::test]
async fn a_server_whose_database_was_unlinked_acknowledges_nothing() {
    let mut server = TestServer::start(Backend::Sqlite).await;
    let admin = server.admin();
    let begun = admin.start_upload(IMAGE).await;
    for file in database_files(&server.data) {
        fs::remove_file(file).expect("ours");
    }
    admin.put(&format!("{begun}?digest={}", Digest::of(b"x")), "x").await.expect_status(503);
    let manifest = admin.push_manifest((IMAGE, "x"), "application/json", "{}").await;
    assert!(manifest.status.is_client_error() || manifest.status == 503, "{}", manifest.status);
    wait_until_present(&server, false).await;
    assert!(database_files(&server.data).is_empty());
    server.stop().await;
}

on_both![
    a_missing_folder_is_reported_and_waited_for,
    a_link_in_place_of_a_subfolder_stops_writes,
    a_database_with_another_id_takes_no_writes,
    a_collection_waits_for_the_folder
];

async fn a_missing_folder_is_reported_and_waited_for(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let (blobs, away) = (server.data.join("blobs"), server.data.join("away"));
    let gone = || fs::rename(&blobs, &away).expect("ours");
    let lost = fs::remove_dir;
    let marker = find_marker(&server.data).expect("it has an id");
    type Change<'c> = &'c dyn Fn();
    let cases: [(Change<'_>, Change<'_>); 3] = [
        (&gone, &|| ()),
        // Another file system is mounted there.
        (
            &|| {
                gone();
                fs::create_dir(&blobs).expect("ours")
            },
            &|| fs::remove_dir(&blobs).expect("empty"),
        ),
        (&|| lost(&marker).expect("empty"), &|| fs::create_dir(&marker).expect("ours")),
    ];
    for (break_it, mend_it) in cases {
        break_it();
        wait_until_present(&server, false).await;
        admin
            .post(&format!("/v2/{IMAGE}/blobs/uploads/"), "")
            .await
            .expect_oci_error("503 UNAVAILABLE");
        let manifest = admin.push_manifest((IMAGE, "x"), "application/json", "{}").await;
        manifest.expect_oci_error("503 UNAVAILABLE");
        admin.delete(&blob_path(IMAGE, &digest)).await.expect_oci_error("503 UNAVAILABLE");
        mend_it();
        if away.exists() {
            fs::rename(&away, &blobs).expect("ours");
        }
        wait_until_present(&server, true).await;
        admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
        admin.push_blob(IMAGE, "content").await;
    }
}

/// One of 256 uploads would go to that folder.
async fn a_link_in_place_of_a_subfolder_stops_writes(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let folders = fs::read_dir(server.data.join("blobs")).expect("the store").flatten();
    let is_used =
        |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
    let used = folders.map(|folder| folder.path()).find(is_used).expect("one has the copy");
    let away = server.data.join("away");
    fs::rename(&used, &away).expect("ours");
    for is_link in [true, false] {
        let _ = fs::remove_dir_all(&used);
        match is_link {
            true => std::os::unix::fs::symlink(&away, &used).expect("writable"),
            false => fs::write(&used, "").expect("writable"),
        }
        admin.get(&blob_path(IMAGE, &digest)).await.expect_oci_error("503 UNAVAILABLE");
        wait_until_present(&server, false).await;
        admin
            .post(&format!("/v2/{IMAGE}/blobs/uploads/"), "")
            .await
            .expect_oci_error("503 UNAVAILABLE");
        fs::remove_file(&used).expect("ours");
        wait_until_present(&server, true).await;
        admin.push_blob(IMAGE, format!("{is_link}")).await;
    }
    let _ = fs::remove_dir_all(&used);
    fs::rename(&away, &used).expect("ours");
    admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
}

/// The database was created anew, or restored, under a running server.
async fn a_database_with_another_id_takes_no_writes(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let meta = server.open_meta().await;
    let id = meta
        .read_by_key(|tx| settings::get(tx, settings::STORE_ID))
        .await
        .expect("readable")
        .expect("set");
    for other in [None, Some("0".repeat(32))] {
        let wanted = other.clone();
        let changed = meta.write(move |tx| match &wanted {
            Some(other) => settings::set(tx, settings::STORE_ID, other),
            None => settings::delete(tx, settings::STORE_ID),
        });
        changed.await.expect("writable");
        wait_until_present(&server, false).await;
        admin
            .post(&format!("/v2/{IMAGE}/blobs/uploads/"), "")
            .await
            .expect_oci_error("503 UNAVAILABLE");
        admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
        let id = id.clone();
        let restored = meta.write(move |tx| settings::set(tx, settings::STORE_ID, &id)).await;
        restored.expect("writable");
        wait_until_present(&server, true).await;
    }
}

/// A row is deleted when its file is deleted, and not while the folder is away.
async fn a_collection_waits_for_the_folder(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload(IMAGE).await;
    admin.patch(&upload, "bytes").await.expect_status(202);
    let file = { server.blob_paths().into_iter().next().expect("one") };
    let copy: Id =
        file.file_name().and_then(|name| name.to_str()).expect("hex").parse().expect("an id");
    admin.delete(&upload).await.expect_status(204);
    server.clock.advance_hours(2);
    let (blobs, away) = (server.data.join("blobs"), server.data.join("away"));
    let meta = server.open_meta().await;
    let state = async || {
        meta.read_by_key(move |tx| blobs::find_copy_state(tx, &copy)).await.expect("readable")
    };
    fs::rename(&blobs, &away).expect("ours");
    fs::create_dir_all(blobs.join("ab")).expect("ours");
    let answer = run_command(&server, json!({ "command": "gc", "dry_run": false })).await;
    assert!(answer["error"].is_string() || answer["done"]["files"] == 0, "{answer}");
    assert_eq!(state().await, Some(CopyState::Trash));
    fs::remove_dir_all(&blobs).expect("ours");
    fs::rename(&away, &blobs).expect("ours");
    wait_until_present(&server, true).await;
    assert_eq!(collect_garbage(&server).await["files"], 1);
    assert_eq!(state().await, None);
    assert!(!file.exists());
}
