//! The scrub by the operator's socket and as a command.

use std::fs;

use serde_json::{Value, json};

use crate::gc::run_command;
use crate::util::image::blob_path;
use crate::util::process::{BerthProcess, run_berth};
use crate::util::{Backend, TestServer, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

on_both![a_scrub_finds_bad_copies];

/// A scrub finds bad copies that nobody has read, and copies that are right again.
async fn a_scrub_finds_bad_copies(server: TestServer) {
    let admin = server.admin();
    let mut pushed = Vec::new();
    for seed in 0..5 {
        let bytes = random_bytes(400_000, 30 + seed);
        let digest = admin.push_blob(IMAGE, bytes.clone()).await;
        let mut files = server.blob_paths().into_iter();
        let file = files.find(|file| fs::read(file).expect("readable") == bytes);
        pushed.push((digest, bytes, file.expect("the blob's file")));
    }
    server.clock.advance_seconds(10);
    let scrub = async || {
        run_command(&server, json!({ "command": "scrub", "rate": 0 })).await["done"].clone()
    };
    let found = |done: &Value| {
        ["checked", "sound", "corrupt", "missing", "unreadable", "unknown"]
            .map(|name| done[name].as_u64().expect("a number"))
    };
    let done = scrub().await;
    assert_eq!(found(&done), [5, 5, 0, 0, 0, 0], "{done}");
    assert_eq!((&done["bytes"], &done["complete"]), (&json!(2_000_000), &json!(true)));

    let (rotten, gone, folder) = (&pushed[0], &pushed[1], &pushed[2]);
    let mut bytes = rotten.1.to_vec();
    bytes[399_999] ^= 1;
    fs::write(&rotten.2, &bytes).expect("writable");
    let away = server.data.join("away");
    fs::rename(&gone.2, &away).expect("ours");
    fs::remove_file(&folder.2).expect("ours");
    fs::create_dir(&folder.2).expect("ours");
    server.clock.advance_seconds(10);
    let done = scrub().await;
    assert_eq!(found(&done), [5, 2, 1, 1, 1, 0], "{done}");
    for reason in ["corrupt", "missing", "unreadable"] {
        let line = format!("berth_blobs_set_aside_total{{reason=\"{reason}\"}} 1");
        server.wait_for_metrics(&line).await;
    }
    for (number, (digest, ..)) in pushed.iter().enumerate() {
        admin.head(&blob_path(IMAGE, digest)).await.expect_status(if number < 3 {
            404
        } else {
            200
        });
    }
    fs::rename(&away, &gone.2).expect("ours");
    server.clock.advance_seconds(10);
    let done = scrub().await;
    assert_eq!(found(&done), [5, 3, 1, 0, 1, 0], "{done}");
    server.wait_for_metrics("berth_blobs_restored_total 1").await;
    admin.get(&blob_path(IMAGE, &gone.0)).await.expect_status(200);
    for (digest, bytes, _) in [rotten, folder] {
        admin.push_blob(IMAGE, bytes.clone()).await;
        assert_eq!(admin.get(&blob_path(IMAGE, digest)).await.expect_status(200).body, *bytes);
    }
    server.clock.advance_seconds(10);
    let done = scrub().await;
    assert_eq!(found(&done), [5, 5, 0, 0, 0, 0], "what was replaced is not looked at: {done}");
}

#[tokio::test]
async fn the_command_scrubs_and_reports() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_str().expect("text");
    let server = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let digest = server.client.push_blob(IMAGE, "content").await;
    let scrub = || run_berth(&["scrub", "--data", data, "--rate", "64MiB"]);
    let output = scrub();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 blobs checked (7 bytes): 1 are right"),
        "{said}"
    );
    for folder in fs::read_dir(folder.path().join("blobs")).expect("the store").flatten() {
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            fs::write(file.path(), "c0ntent").expect("writable");
        }
    }
    let output = scrub();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("1 have other bytes"), "{said}");
    server.client.head(&blob_path(IMAGE, &digest)).await.expect_status(404);
}
