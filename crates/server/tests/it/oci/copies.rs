//! Stored bytes that have changed: no wrong content is served to its end, and a copy heals by itself or by the next
//! push.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use meta::{Id, blobs};
use model::digest::Digest;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::image::blob_path;
use crate::util::{Client, TestServer, on_both, random_bytes, with_deadline};

const IMAGE: &str = "p/r1/image";

/// The file of the copy with these bytes.
fn find_copy(server: &TestServer, bytes: &[u8]) -> PathBuf {
    // A file that a test plants may have no end.
    let is_plain = |file: &PathBuf| fs::symlink_metadata(file).expect("there").is_file();
    let mut files = server.blob_paths().into_iter().filter(is_plain);
    files.find(|file| fs::read(file).expect("readable") == bytes).expect("the blob's file")
}

/// Changes a byte of a file. For the server the file's length and times stay the same.
async fn corrupt_copy(server: &TestServer, file: &Path) {
    let mut bytes = fs::read(file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, &bytes).expect("writable");
    let stat = fs::metadata(file).expect("readable");
    let nanos = |seconds: i64, nanos: i64| seconds * 1_000_000_000 + nanos;
    let mtime_ns = nanos(stat.mtime(), stat.mtime_nsec());
    let ctime_ns = nanos(stat.ctime(), stat.ctime_nsec());
    let copy = file.file_name().and_then(|name| name.to_str()).expect("hex");
    let copy: Id = copy.parse().expect("an id");
    let now = identity::Clock::now(&*server.clock);
    let meta = server.open_meta().await;
    let changed =
        meta.write(move |tx| blobs::mark_verified(tx, &copy, mtime_ns, ctime_ns, now)).await;
    assert_eq!(changed.expect("writable"), 1);
}

/// Waits until the blob answers 404.
async fn wait_until_unknown(client: &Client, digest: &Digest) {
    let unknown = async {
        while client.head(&blob_path(IMAGE, digest)).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_deadline(unknown).await;
}

/// Puts something in place of a copy with these bytes.
type PlantFn = fn(&Path, &[u8]);

/// The things that a test puts in place of a copy.
fn plant_kinds() -> Vec<(&'static str, PlantFn)> {
    let another: PlantFn = |file, bytes| {
        let beside = file.with_extension("right");
        fs::write(&beside, bytes).expect("writable");
        symlink(beside, file).expect("writable");
    };
    vec![
        ("nothing", |_, _| ()),
        ("a link to the right bytes", another),
        ("a link to nothing", |file, _| symlink("/nowhere", file).expect("writable")),
        ("a link to a device", |file, _| symlink("/dev/zero", file).expect("writable")),
        ("a folder", |file, _| fs::create_dir(file).expect("writable")),
        ("a folder with something in it", |file, _| {
            fs::create_dir(file).expect("writable");
            fs::write(file.join("x"), "x").expect("writable");
        }),
        ("a FIFO", |file, _| {
            mknodat(CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("writable");
            assert!(fs::metadata(file).expect("there").file_type().is_fifo());
        }),
        ("a socket", |file, _| drop(UnixListener::bind(file).expect("writable"))),
        ("an empty file", |file, _| fs::write(file, "").expect("writable")),
        ("a longer file", |file, bytes| {
            fs::write(file, [bytes, b"x"].concat()).expect("writable");
        }),
    ]
}

on_both![
    the_next_push_replaces_whatever_is_in_place_of_a_copy,
    a_copy_that_comes_back_is_served_again,
    a_push_replaces_a_copy_that_changed_silently,
    a_range_request_has_the_whole_copy_checked,
    a_file_that_changes_while_it_is_read_is_not_served_to_its_end,
    concurrent_pushes_of_the_same_bytes_leave_one_copy,
    a_server_whose_folder_was_moved_refuses_pushes
];

/// After a HEAD, a GET, a range or a mount the blob is unknown, and the next push stores it again. A collection deletes
/// the planted thing if it can.
async fn the_next_push_replaces_whatever_is_in_place_of_a_copy(server: TestServer) {
    let admin = server.admin();
    for (number, (name, plant)) in plant_kinds().into_iter().enumerate() {
        let bytes = random_bytes(50_000, number as u64);
        let digest = admin.push_blob(IMAGE, bytes.clone()).await;
        let file = find_copy(&server, &bytes);
        fs::remove_file(&file).expect("ours");
        plant(&file, &bytes);
        match number % 4 {
            0 => drop(admin.head(&blob_path(IMAGE, &digest)).await.expect_status(404)),
            1 => drop(
                admin.get(&blob_path(IMAGE, &digest)).await.expect_oci_error("404 BLOB_UNKNOWN"),
            ),
            2 => {
                let part = admin
                    .clone()
                    .with_header("range", "bytes=0-9")
                    .get(&blob_path(IMAGE, &digest))
                    .await;
                part.expect_oci_error("404 BLOB_UNKNOWN");
            }
            _ => {
                let mount = format!("/v2/p/r2/image/blobs/uploads/?mount={digest}&from={IMAGE}");
                admin.post(&mount, "").await.expect_status(202);
            }
        }
        admin.head(&blob_path(IMAGE, &digest)).await.expect_status(404);
        admin.push_blob(IMAGE, bytes.clone()).await;
        assert_eq!(
            admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body,
            bytes,
            "{name}"
        );
        admin.head(&blob_path(IMAGE, &digest)).await.expect_status(200);
    }
    server.clock.advance_hours(2);
    crate::gc::collect_garbage(&server).await;
    let left = server.blob_paths().into_iter().filter(|file| file.is_dir()).count();
    assert_eq!(left, 1, "only the folder with something in it");
}

async fn a_copy_that_comes_back_is_served_again(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(300_000, 11);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let file = find_copy(&server, &bytes);
    let away = server.data.join("away");
    for _ in 0..2 {
        fs::rename(&file, &away).expect("ours");
        admin.get(&blob_path(IMAGE, &digest)).await.expect_oci_error("404 BLOB_UNKNOWN");
        admin.head(&blob_path(IMAGE, &digest)).await.expect_status(404);
        fs::rename(&away, &file).expect("ours");
        admin.head(&blob_path(IMAGE, &digest)).await.expect_status(200);
        assert_eq!(admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    }
    // Wrong bytes are not served again, and the right bytes are.
    let mut rotten = bytes.to_vec();
    rotten[7] ^= 1;
    fs::write(&file, &rotten).expect("writable");
    admin.head(&blob_path(IMAGE, &digest)).await.expect_status(404);
    for _ in 0..3 {
        admin.get(&blob_path(IMAGE, &digest)).await.expect_oci_error("404 BLOB_UNKNOWN");
    }
    fs::write(&file, &bytes).expect("writable");
    assert_eq!(admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
}

/// The file's times do not show the change. A push hashes the new bytes, so its copy replaces the old one.
async fn a_push_replaces_a_copy_that_changed_silently(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(300_000, 12);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    corrupt_copy(&server, &find_copy(&server, &bytes)).await;
    assert_ne!(
        admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body,
        bytes,
        "nobody can know yet"
    );
    admin.push_blob("p/r2/image", bytes.clone()).await;
    assert_eq!(admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    server.clock.advance_hours(2);
    crate::gc::collect_garbage(&server).await;
    assert_eq!(admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    assert_eq!(server.count_blob_files(), 1);
}

/// Requests for ranges alone also have the whole copy checked.
async fn a_range_request_has_the_whole_copy_checked(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(3_000_000, 13);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    corrupt_copy(&server, &find_copy(&server, &bytes)).await;
    let part = async || {
        admin.clone().with_header("range", "bytes=0-9").get(&blob_path(IMAGE, &digest)).await
    };
    part().await.expect_status(206);
    admin.head(&blob_path(IMAGE, &digest)).await.expect_status(200);
    server.clock.advance_hours(8 * 24);
    let parts = futures_util::future::join_all((0..20).map(|_| part())).await;
    for reply in parts {
        assert!([206, 404].contains(&reply.status.as_u16()), "{}", reply.status);
    }
    wait_until_unknown(&admin, &digest).await;
    part().await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.push_blob(IMAGE, bytes.clone()).await;
    assert_eq!(admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body, bytes);
    // A copy that is right is checked as well, and stays.
    server.clock.advance_hours(8 * 24);
    assert_eq!(part().await.expect_status(206).body, bytes[..10]);
}

async fn a_file_that_changes_while_it_is_read_is_not_served_to_its_end(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(30_000_000, 14);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let file = find_copy(&server, &bytes);
    for range in ["", "range: bytes=1-29999999\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n{range}\r\n",
            blob_path(IMAGE, &digest),
            admin.authorization()
        );
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut first = vec![0; 1000];
        stream.read_exact(&mut first).await.expect("it answers");
        let mut rotten = bytes.to_vec();
        rotten[29_000_000] ^= 1;
        fs::write(&file, &rotten).expect("writable");
        let mut rest = Vec::new();
        let _ = with_deadline(stream.read_to_end(&mut rest)).await;
        assert!(first.len() + rest.len() < bytes.len(), "{} came", rest.len());
        wait_until_unknown(&admin, &digest).await;
        fs::write(&file, &bytes).expect("writable");
        admin.head(&blob_path(IMAGE, &digest)).await.expect_status(200);
    }
}

/// Each push replaces the copy of the push before, while others read it.
async fn concurrent_pushes_of_the_same_bytes_leave_one_copy(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(100_000, 15);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let push = || async { drop(admin.push_blob(IMAGE, bytes.clone()).await) };
    let read = || async {
        let read: Bytes = admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200).body;
        assert_eq!(read, bytes);
    };
    let pushes = futures_util::future::join_all((0..16).map(|_| push()));
    let reads = futures_util::future::join_all((0..16).map(|_| read()));
    tokio::join!(pushes, reads);
    server.clock.advance_hours(2);
    crate::gc::collect_garbage(&server).await;
    assert_eq!(server.count_blob_files(), 1);
    read().await;
}

async fn a_server_whose_folder_was_moved_refuses_pushes(server: TestServer) {
    let admin = server.admin();
    let digest = admin.push_blob(IMAGE, "content").await;
    let begun = admin.start_upload(IMAGE).await;
    let (blobs, moved) = (server.data.join("blobs"), server.data.join("moved"));
    fs::rename(&blobs, &moved).expect("ours");
    let push = format!("/v2/{IMAGE}/blobs/uploads/?digest={}", Digest::of(b"other"));
    let refused = admin.post(&push, "other").await.expect_oci_error("503 UNAVAILABLE");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains("storage is not where it was"), "{message}");
    admin.patch(&begun, "bytes").await.expect_oci_error("503 UNAVAILABLE");
    admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
    fs::create_dir(&blobs).expect("ours");
    admin.post(&push, "other").await.expect_oci_error("503 UNAVAILABLE");
    fs::remove_dir(&blobs).expect("nothing was made in it");
    fs::rename(&moved, &blobs).expect("ours");
    admin.patch(&begun, "bytes").await.expect_status(202);
    admin.post(&push, "other").await.expect_status(201);
    admin.get(&blob_path(IMAGE, &digest)).await.expect_status(200);
}
