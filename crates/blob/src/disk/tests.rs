use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use model::digest::{Digest, DigestAlgorithm};

use super::*;
use crate::{Checkpoint, CopyDamage, UploadBatch, UploadBudget};

fn new_store() -> (tempfile::TempDir, DiskStore) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let store = DiskStore::open(data.path()).expect("writable");
    (data, store)
}

async fn write_copy(store: &DiskStore, id: CopyId, bytes: &'static [u8]) {
    let claim = store.claim(id).await.expect("free");
    let mut writer =
        claim.open(DigestAlgorithm::Sha256, &Checkpoint::default()).await.expect("new");
    let permit = UploadBudget::new(1024).acquire(1).await;
    writer
        .write(UploadBatch { frames: vec![Bytes::from_static(bytes)], permit })
        .await
        .expect("room");
    drop(writer.finish(&Digest::of(bytes)).await.expect("right"));
}

#[tokio::test]
async fn a_copy_is_where_its_id_says_and_nobody_else_reads_it() {
    let (data, store) = new_store();
    write_copy(&store, CopyId::from([0x1f; 16]), b"content").await;
    let path = data.path().join("blobs/1f").join("1f".repeat(16));
    assert_eq!(std::fs::read(&path).expect("there"), b"content");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A person who can write to the folder must not be able to make Berth read or write other files.
#[tokio::test]
async fn attack_63_planted_links_are_refused() {
    let (data, store) = new_store();
    let secret = data.path().join("secret");
    std::fs::write(&secret, "secret").expect("writable");
    let name = "2e".repeat(16);
    symlink(&secret, data.path().join("blobs/2e").join(&name)).expect("writable");
    let id = CopyId::from([0x2e; 16]);
    assert!(matches!(store.open(id).await, Err(BlobError::NotAFile)));
    assert!(matches!(store.claim(id).await, Err(BlobError::NotAFile)));

    let folder = data.path().join("blobs/3d");
    std::fs::remove_dir(&folder).expect("empty");
    symlink(data.path().join("blobs/2e"), &folder).expect("writable");
    std::fs::write(data.path().join("blobs/2e").join("3d".repeat(16)), "x").expect("writable");
    let id = CopyId::from([0x3d; 16]);
    assert!(matches!(store.open(id).await, Err(BlobError::NotAFile)));
    assert_eq!(std::fs::read(&secret).expect("there"), b"secret");
}

/// A folder, a FIFO or a socket with the name of a copy is refused. Opening a FIFO must not wait for its writer.
#[tokio::test]
async fn other_objects_with_the_name_of_a_copy_are_refused_and_deleted() {
    use std::os::unix::net::UnixListener;
    let (data, store) = new_store();
    let id = CopyId::from([0x4c; 16]);
    let path = data.path().join("blobs/4c").join("4c".repeat(16));
    let fifo = |path: &std::path::Path| {
        fs::mknodat(fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("writable");
    };
    let plants: [&dyn Fn(&std::path::Path); 3] =
        [&|path| std::fs::create_dir(path).expect("writable"), &fifo, &|path| {
            drop(UnixListener::bind(path).expect("writable"))
        }];
    for plant in plants {
        plant(&path);
        let opened = store.open(id).await.err().expect("no file");
        assert_eq!(opened.copy_damage(), CopyDamage::Unreadable, "{opened:?}");
        store.delete(id).await.expect("it is in the way");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_ends_in_an_error() {
    use futures_util::StreamExt;
    let (data, store) = new_store();
    let id = CopyId::from([0x8a; 16]);
    write_copy(&store, id, b"some content").await;
    let path = data.path().join("blobs/8a").join("8a".repeat(16));
    for (start, length) in [(0, 12), (3, 2)] {
        let reader = store.open(id).await.expect("there");
        std::fs::write(&path, "s0me c0ntent").expect("writable");
        let frames: Vec<_> = reader.stream(start, length).collect().await;
        assert!(matches!(frames[..], [Err(BlobError::Changed)]), "{frames:?}");
    }
    let reader = store.open(id).await.expect("there");
    store.delete(id).await.expect("there");
    let frames: Vec<_> = reader.stream(0, 12).collect().await;
    assert!(matches!(frames[..], [Ok(_)]), "only its name is gone: {frames:?}");
}

/// Writes continue when the folder is back, or when another folder with the same id is in its place: its file system
/// may have been mounted again.
#[tokio::test]
async fn a_folder_that_is_not_in_its_place_takes_nothing() {
    let (data, store) = new_store();
    store.set_store_id(Some(StoreId::from([7; 16]))).await.expect("writable");
    let (first, second) = (CopyId::from([0x9b; 16]), CopyId::from([0x9c; 16]));
    write_copy(&store, first, b"before").await;
    let claim = store.claim(second).await.expect("free");
    let writer = claim.open(DigestAlgorithm::Sha256, &Checkpoint::default()).await.expect("new");
    let (at, moved) = (data.path().join("blobs"), data.path().join("elsewhere"));
    std::fs::rename(&at, &moved).expect("ours");

    let lost = writer.finish(&Digest::of(b"")).await;
    assert!(matches!(lost, Err(crate::FinishError::Blob(BlobError::StoreMissing(_)))), "{lost:?}");
    let away = |checked: Result<(), BlobError>| matches!(checked, Err(BlobError::StoreMissing(_)));
    assert!(away(store.check_location().await));
    assert!(away(store.claim(second).await.map(drop)));
    let missing = store.delete(CopyId::from([0x9d; 16])).await;
    assert!(away(missing), "the copy may exist in the right folder");
    assert!(store.is_healthy() && store.open(first).await.is_ok(), "the open folder can be read");

    let other = DiskStore::open(data.path()).expect("an empty one");
    assert!(away(store.check_location().await), "it has no id");
    other.set_store_id(Some(StoreId::from([8; 16]))).await.expect("writable");
    assert!(away(store.check_location().await), "it has another id");
    other.set_store_id(Some(StoreId::from([7; 16]))).await.expect("writable");
    store.check_location().await.expect("a folder with this id");
    assert!(matches!(store.open(first).await, Err(BlobError::NotFound)), "it is the other folder");
    std::fs::remove_dir_all(&at).expect("ours");
    std::fs::rename(&moved, &at).expect("ours");
    drop(store.claim(second).await.expect("it is back"));
    assert!(store.open(first).await.is_ok());
}

#[tokio::test]
async fn a_missing_shard_is_created_again() {
    let (data, store) = new_store();
    let (lost, new) = (CopyId::from([0xac; 16]), CopyId::from([0xac; 16]));
    write_copy(&store, lost, b"content").await;
    std::fs::remove_dir_all(data.path().join("blobs/ac")).expect("ours");
    let refused = store.claim(new).await.err();
    assert!(matches!(refused, Some(BlobError::NotFound)), "without an id, it may be another store");
    store.set_store_id(Some(StoreId::from([5; 16]))).await.expect("writable");
    assert!(matches!(store.open(lost).await, Err(BlobError::NotFound)));
    write_copy(&store, new, b"again").await;
    assert!(store.open(new).await.is_ok());
}

/// The error names the shard, and the copies in the other 255 shards can be read.
#[tokio::test]
async fn a_shard_that_is_not_a_folder_is_named() {
    let (data, store) = new_store();
    let (inside, other) = (CopyId::from([0xac; 16]), CopyId::from([0xad; 16]));
    write_copy(&store, inside, b"content").await;
    write_copy(&store, other, b"content").await;
    let (shard, moved) = (data.path().join("blobs/ac"), data.path().join("moved"));
    std::fs::rename(&shard, &moved).expect("ours");
    for is_link in [true, false] {
        match is_link {
            true => symlink(&moved, &shard).expect("writable"),
            false => std::fs::write(&shard, "").expect("writable"),
        }
        for refused in [store.check_location().await, store.claim(inside).await.map(drop)] {
            let error = refused.expect_err("the shard is not a folder");
            assert!(
                matches!(&error, BlobError::StoreMissing(text) if text.contains("blobs/ac is ")),
                "{error}"
            );
        }
        assert!(store.open(inside).await.is_err() && store.open(other).await.is_ok());
        std::fs::remove_file(&shard).expect("ours");
    }
    std::fs::rename(&moved, &shard).expect("ours");
    store.check_location().await.expect("the shard is back");
    drop(store.claim(inside).await.expect("the shard is back"));
}

#[tokio::test]
async fn a_look_at_a_folder_creates_nothing() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let look = || FolderState::inspect(data.path()).expect("readable");
    assert_eq!(look(), FolderState { id: None, has_copies: false });
    assert!(!data.path().join("blobs").exists());
    let store = DiskStore::open(data.path()).expect("writable");
    assert_eq!(look(), FolderState { id: None, has_copies: false });
    let id = StoreId::from([3; 16]);
    store.set_store_id(Some(id)).await.expect("writable");
    assert_eq!(look(), FolderState { id: Some(id), has_copies: false });
    write_copy(&store, CopyId::from([0x11; 16]), b"content").await;
    assert_eq!(look(), FolderState { id: Some(id), has_copies: true });
}

/// No row would name such a file, and the start-up does not search the folder.
#[tokio::test]
async fn a_claim_without_a_write_leaves_no_file() {
    let (data, store) = new_store();
    let path = data.path().join("blobs/7e").join("7e".repeat(16));
    let id = CopyId::from([0x7e; 16]);
    let claim = store.claim(id).await.expect("free");
    assert!(path.exists(), "only an existing file can be locked");
    drop(claim);
    assert!(!path.exists());
    let far = Checkpoint { offset: 1, hash_state: Vec::new() };
    let lost = store.claim(id).await.expect("free").open(DigestAlgorithm::Sha256, &far).await;
    assert!(matches!(lost.err(), Some(BlobError::Lost)));
    assert!(!path.exists());
    let claim = store.claim(id).await.expect("free");
    drop(claim.open(DigestAlgorithm::Sha256, &Checkpoint::default()).await.expect("new"));
    drop(store.claim(id).await.expect("free"));
    assert!(path.exists(), "a writer was opened");
}

#[tokio::test]
async fn after_a_failed_sync_the_store_takes_no_writes() {
    let (_data, store) = new_store();
    let id = CopyId::from([0x5b; 16]);
    write_copy(&store, id, b"before").await;
    assert!(matches!(store.0.check_sync(Err(Errno::IO)), Err(BlobError::Unhealthy)));
    assert!(!store.is_healthy());
    assert!(matches!(store.claim(id).await, Err(BlobError::Unhealthy)));
    assert!(store.open(id).await.is_ok(), "copies can still be read");
}

#[tokio::test]
async fn a_file_that_becomes_shorter_while_it_is_read_ends_in_an_error() {
    use futures_util::StreamExt;
    let (data, store) = new_store();
    let id = CopyId::from([0x6a; 16]);
    write_copy(&store, id, b"some content").await;
    let reader = store.open(id).await.expect("there");
    let path = data.path().join("blobs/6a").join("6a".repeat(16));
    std::fs::write(path, "some").expect("writable");
    let frames: Vec<_> = reader.stream(0, 12).collect().await;
    assert!(matches!(frames.last(), Some(Err(BlobError::Corrupt))));
}
