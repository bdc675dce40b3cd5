//! Pushes across several processes, and across kills.

use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::util::process::{BerthProcess, wait_for};
use crate::util::{Backend, Image, digest_of, random_bytes};

use super::IMAGE;

/// Pushes an image in steps, each at another process.
async fn push_across(data: &Path, database: &Backend, kill: bool) {
    let bytes = random_bytes(300_000, 4);
    let digest = digest_of(&bytes);
    let mut a = BerthProcess::start(data, database).await;
    let upload = a.client.start_upload(IMAGE).await;
    if kill {
        a.kill();
    }
    let mut b = BerthProcess::start(data, database).await;
    b.client.patch(&upload, bytes.slice(..100_000)).await.expect_status(202);
    if kill {
        b.kill();
        a = BerthProcess::start(data, database).await;
    }
    let status = a.client.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), "0-99999");
    a.client.patch(&upload, bytes.slice(100_000..200_000)).await.expect_status(202);
    if kill {
        a.kill();
        a = BerthProcess::start(data, database).await;
    }
    a.client
        .put(&format!("{upload}?digest={digest}"), bytes.slice(200_000..))
        .await
        .expect_status(201);
    if kill {
        a.kill();
        b = BerthProcess::start(data, database).await;
    }
    let pulled = b.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    assert_eq!(pulled.body, bytes);
    let image = Image::new(1);
    image.push(&b.client, (IMAGE, "latest")).await;
    if kill {
        b.kill();
        a = BerthProcess::start(data, database).await;
    }
    let pulled = a.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    assert_eq!(pulled.body, image.manifest);
}

#[tokio::test]
async fn two_processes_share_one_database_and_one_folder() {
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    push_across(folder.path(), &database, false).await;
}

#[tokio::test]
async fn acknowledged_steps_survive_a_kill() {
    let databases = [Some(Backend::Sqlite), Backend::postgres().await];
    for database in databases.into_iter().flatten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        push_across(folder.path(), &database, true).await;
    }
}

/// The row has the size that was acknowledged last. Bytes behind it are cut off.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_chunk_keeps_acknowledged_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = random_bytes(5_000_000, 8);
    let mut killed = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let upload = killed.client.start_upload(IMAGE).await;
    killed.client.patch(&upload, bytes.slice(..1000)).await.expect_status(202);
    let mut stream = TcpStream::connect(killed.listen_address()).await.expect("it listens");
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("open");
    stream.write_all(&bytes[1000..4_000_000]).await.expect("open");
    let blobs = folder.path().join("blobs");
    let written = || {
        let folders = std::fs::read_dir(&blobs).expect("the store").flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder"));
        files.flatten().map(|file| file.metadata().expect("readable").len()).max().unwrap_or(0)
    };
    wait_for(|| (written() >= 1_000_000).then_some(())).await;
    killed.kill();
    let next = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let status = next.client.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), "0-999");
    let client = next.client.clone().with_header("content-range", "1000-4999999");
    client.patch(&upload, bytes.slice(1000..)).await.expect_status(202);
    let digest = digest_of(&bytes);
    next.client.put(&format!("{upload}?digest={digest}"), "").await.expect_status(201);
    let pulled = next.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    assert_eq!(pulled.body, bytes);
}
