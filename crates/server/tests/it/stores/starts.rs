//! Starts with a missing database, or with a blob folder of another database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meta::settings;
use model::digest::Digest;

use super::{IMAGE, database_files, find_marker};
use crate::util::image::blob_path;
use crate::util::process::{
    BerthProcess, ChildProcess, berth_command, expect_start_refused, find_run_folder, run_berth,
    wait_for,
};
use crate::util::{Backend, random_bytes};

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
    assert_eq!(server.client.get(&blob_path(IMAGE, digest)).await.expect_status(200).body, bytes);
    server.kill();
}

async fn open_database(data: &Path, database: &Backend) -> meta::Meta {
    let database = match database {
        Backend::Sqlite => meta::DatabaseLocation::SqliteFile(data.join("berth.db")),
        Backend::Postgres(url) => meta::DatabaseLocation::Postgres(url.clone()),
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
        let forgotten = meta.write(|tx| settings::delete(tx, settings::STORE_ID)).await;
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
