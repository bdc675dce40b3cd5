//! A database and a blob folder that are missing or swapped, at a start and under a running server. The server creates
//! nothing in their place, deletes no rows, and goes on when they are back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meta::{Id, blobs, settings};
use model::digest::Digest;
use serde_json::json;

use crate::gc::{collect_garbage, run_command};
use crate::util::image::blob_path;
use crate::util::process::{
    BerthProcess, ChildProcess, berth_command, expect_start_refused, find_run_folder, run_berth,
    wait_for,
};
use crate::util::{Backend, Client, TestServer, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

/// A data folder with a blob in it, from a server that was killed.
async fn used_registry(database: &Backend) -> (tempfile::TempDir, Vec<u8>, Digest) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = random_bytes(100_000, 21);
    let mut server = BerthProcess::start(folder.path(), database).await;
    let digest = server.client.push_blob(IMAGE, bytes.clone()).await;
    server.kill();
    (folder, bytes.to_vec(), digest)
}

async fn expect_served(data: &Path, database: &Backend, (digest, bytes): (&Digest, &[u8])) {
    let mut server = BerthProcess::start(data, database).await;
    assert_eq!(server.client.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    server.kill();
}

/// The files of the database.
fn database_files(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).expect("the data folder").flatten().map(|file| file.path());
    let is_database = |file: &PathBuf| file.to_string_lossy().contains("berth.db");
    files.filter(is_database).collect()
}

/// The empty folder whose name is the store's id.
fn find_marker(data: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(data.join("blobs")).ok()?.flatten();
    let is_marker = |name: &str| name.starts_with("store-");
    entries.find(|entry| entry.file_name().to_str().is_some_and(is_marker)).map(|e| e.path())
}

async fn open_database(data: &Path, database: &Backend) -> meta::Meta {
    let database = match database {
        Backend::Sqlite => meta::Database::SqliteFile(data.join("berth.db")),
        Backend::Postgres(url) => meta::Database::Postgres(url.clone()),
    };
    meta::Meta::open(database).await.expect("the server's own")
}

fn run_adopt(data: &Path, database: &Backend, yes: &[&str]) -> (bool, String) {
    let data = data.to_str().expect("text");
    let mut arguments = vec!["adopt", "--data", data];
    if let Backend::Postgres(url) = database {
        arguments.extend(["--database", url]);
    }
    arguments.extend(yes);
    let output = run_berth(&arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[tokio::test]
async fn a_missing_database_beside_blobs_is_no_first_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let mut server =
        BerthProcess::spawn(data, berth_command(&["serve"]).stderr(Stdio::null())).await;
    server.kill();
    // The file's token URL changes with the port.
    let key = || {
        let text =
            fs::read_to_string(data.join("owner-key.json")).expect("the first start makes it");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["private_key"].clone()
    };
    let first_key = key();
    let away = data.join("away");
    fs::create_dir(&away).expect("ours");
    for file in database_files(data) {
        fs::rename(&file, away.join(file.file_name().expect("a name"))).expect("ours");
    }
    let said = expect_start_refused(data, &["--dev"], &Backend::Sqlite).await;
    assert!(said.contains("berth.db is missing") && said.contains("no first start"), "{said}");
    assert_eq!(key(), first_key);
    assert!(database_files(data).is_empty(), "none was made");
    for file in database_files(&away) {
        fs::rename(&file, data.join(file.file_name().expect("a name"))).expect("ours");
    }
    BerthProcess::spawn(data, berth_command(&["serve"]).stderr(Stdio::null())).await.kill();
    assert_eq!(key(), first_key);
}

/// A folder of the last release has no id, but a key or blobs show that there was a database.
#[tokio::test]
async fn a_missing_database_is_noticed_after_an_upgrade_too() {
    for what in ["owner-key.json", "blobs/ab/x"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let left = folder.path().join(what);
        fs::create_dir_all(left.parent().expect("a folder")).expect("ours");
        fs::write(&left, "x").expect("ours");
        let said = expect_start_refused(folder.path(), &["--dev"], &Backend::Sqlite).await;
        assert!(said.contains("no first start"), "{what}: {said}");
        assert_eq!(fs::read(&left).expect("still there"), b"x");
    }
}

async fn check_wrong_folders(database: &Backend) {
    let (folder, bytes, digest) = used_registry(database).await;
    let data = folder.path();
    let (blobs, away) = (data.join("blobs"), data.join("away"));
    fs::rename(&blobs, &away).expect("ours");
    let said = expect_start_refused(data, &["--dev"], database).await;
    assert!(said.contains("this one has none") && said.contains("berth adopt"), "{said}");
    assert!(!blobs.exists(), "nothing is made where a file system may be mounted");
    fs::create_dir(&blobs).expect("ours");
    expect_start_refused(data, &["--dev"], database).await;
    assert_eq!(fs::read_dir(&blobs).expect("ours").count(), 0);
    fs::remove_dir(&blobs).expect("empty");
    // These blobs belong to another registry.
    let (other, ..) = used_registry(&Backend::Sqlite).await;
    fs::rename(other.path().join("blobs"), &blobs).expect("one file system");
    let said = expect_start_refused(data, &["--dev"], database).await;
    assert!(said.contains("and the database belongs to"), "{said}");
    fs::remove_dir_all(&blobs).expect("ours");
    fs::rename(&away, &blobs).expect("ours");
    expect_served(data, database, (&digest, &bytes)).await;
    // A copy of the folder is accepted.
    let copied = data.join("copied");
    copy_folder(&blobs, &copied);
    fs::remove_dir_all(&blobs).expect("ours");
    fs::rename(&copied, &blobs).expect("ours");
    expect_served(data, database, (&digest, &bytes)).await;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("ours");
    for entry in fs::read_dir(from).expect("ours").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("ours");
        }
    }
}

/// The last release left no id in the database and in the folder.
async fn check_upgrades(database: &Backend) {
    let (folder, bytes, digest) = used_registry(database).await;
    let data = folder.path();
    let forget = async || {
        if let Some(marker) = find_marker(data) {
            fs::remove_dir(marker).expect("ours");
        }
        let meta = open_database(data, database).await;
        let forgotten = meta.write(|tx| settings::unset(tx, settings::STORE_ID)).await;
        forgotten.expect("writable");
        meta.close().await;
    };
    forget().await;
    expect_served(data, database, (&digest, &bytes)).await;
    assert!(find_marker(data).is_some());
    expect_served(data, database, (&digest, &bytes)).await;

    forget().await;
    let (blobs, away) = (data.join("blobs"), data.join("away"));
    fs::rename(&blobs, &away).expect("ours");
    let said = expect_start_refused(data, &["--dev"], database).await;
    assert!(said.contains("0 of the 1 newest"), "{said}");
    assert!(!blobs.exists());
    let (done, said) = run_adopt(data, database, &[]);
    assert!(!done && said.contains("Of its 1 newest blobs, 0 are"), "{said}");
    expect_start_refused(data, &["--dev"], database).await;
    let (done, said) = run_adopt(data, database, &["--yes"]);
    assert!(done, "{said}");
    let mut server = BerthProcess::start(data, database).await;
    server.client.get(&blob_path(IMAGE, &digest)).await.expect_oci_error("404 BLOB_UNKNOWN");
    server.client.push_blob(IMAGE, bytes.clone()).await;
    assert_eq!(server.client.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    let (done, said) = run_adopt(data, &Backend::Sqlite, &[]);
    assert!(!done && said.contains("in use by another berth"), "{said}");
    server.kill();
    let (done, said) = run_adopt(data, database, &[]);
    assert!(done && said.contains("nothing to do"), "{said}");
}

#[tokio::test]
async fn the_folder_of_another_database_is_not_used() {
    for database in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
        check_wrong_folders(&database).await;
    }
}

#[tokio::test]
async fn stores_without_an_id_get_one_if_they_belong_together() {
    for database in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
        check_upgrades(&database).await;
    }
}

/// A process with an empty folder must not start, because it would mark all content as missing.
#[tokio::test]
async fn a_second_process_with_another_folder_does_not_start() {
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut first = BerthProcess::start(&folder.path().join("first"), &database).await;
    let digest = first.client.push_blob(IMAGE, "content").await;
    let other = folder.path().join("other");
    let said = expect_start_refused(&other, &["--dev"], &database).await;
    assert!(said.contains("this one has none"), "{said}");
    assert!(!other.join("blobs").exists());
    first.client.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
    first.kill();
}

/// The first process gives the database its id. The others would write to folders of their own.
#[tokio::test]
async fn only_the_first_process_with_its_own_folder_starts() {
    const ROUNDS: usize = 6;
    const PROCESSES: usize = 4;
    if Backend::postgres().await.is_none() {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    }
    for round in 0..ROUNDS {
        let database = Backend::postgres().await.expect("as before");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folders = (0..PROCESSES).map(|n| folder.path().join(n.to_string()));
        let starts = folders.map(|data| try_start(data, &database));
        let started = futures_util::future::join_all(starts).await;
        let mut refused = Vec::new();
        let mut serving = Vec::new();
        for (data, outcome) in started {
            match outcome {
                Ok(process) => serving.push((data, process)),
                Err(said) => refused.push((data, said)),
            }
        }
        assert_eq!(serving.len(), 1, "round {round}: {refused:?}");
        for (data, said) in refused {
            assert!(said.contains("belongs to a folder of blobs with the id"), "{said}");
            assert_eq!(find_marker(&data), None, "its folder has no id");
        }
        let (data, mut process) = serving.pop().expect("one");
        process.kill();
        let bytes = b"content";
        let mut server = BerthProcess::start(&data, &database).await;
        let digest = server.client.push_blob(IMAGE, &bytes[..]).await;
        server.kill();
        expect_served(&data, &database, (&digest, bytes)).await;
    }
}

#[tokio::test]
async fn processes_that_share_a_new_folder_all_start() {
    const PROCESSES: usize = 4;
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = (0..PROCESSES).map(|_| try_start(folder.path().to_owned(), &database));
    let started = futures_util::future::join_all(all).await;
    for (_, outcome) in &started {
        assert!(outcome.is_ok(), "{:?}", outcome.as_ref().err());
    }
    assert!(find_marker(folder.path()).is_some());
}

/// Starts a server. Returns its process if it serves, or else its error text.
async fn try_start(data: PathBuf, database: &Backend) -> (PathBuf, Result<ChildProcess, String>) {
    let Backend::Postgres(url) = database else { panic!("these share a database") };
    let mut command =
        berth_command(&["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "off"]);
    command.args(["--database", url, "--data"]).arg(&data);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut process = ChildProcess(child);
    let status = wait_for(|| match process.0.try_wait().expect("ours") {
        Some(status) => Some(Some(status)),
        None => find_run_folder(&data, process.0.id()).map(|_| None),
    });
    let Some(status) = status.await else { return (data, Ok(process)) };
    let said = process.read_stderr();
    assert!(!status.success(), "{said}");
    (data, Err(said))
}

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
        .point(|tx| settings::get(tx, settings::STORE_ID))
        .await
        .expect("readable")
        .expect("set");
    for other in [None, Some("0".repeat(32))] {
        let wanted = other.clone();
        let changed = meta.write(move |tx| match &wanted {
            Some(other) => settings::set(tx, settings::STORE_ID, other),
            None => settings::unset(tx, settings::STORE_ID),
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
    let state =
        async || meta.point(move |tx| blobs::copy_state(tx, &copy)).await.expect("readable");
    fs::rename(&blobs, &away).expect("ours");
    fs::create_dir_all(blobs.join("ab")).expect("ours");
    let answer = run_command(&server, json!({ "command": "gc", "dry_run": false })).await;
    assert!(answer["error"].is_string() || answer["done"]["files"] == 0, "{answer}");
    assert_eq!(state().await.as_deref(), Some("trash"));
    fs::remove_dir_all(&blobs).expect("ours");
    fs::rename(&away, &blobs).expect("ours");
    wait_until_present(&server, true).await;
    assert_eq!(collect_garbage(&server).await["files"], 1);
    assert_eq!(state().await, None);
    assert!(!file.exists());
}
