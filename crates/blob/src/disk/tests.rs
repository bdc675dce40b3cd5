use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use model::digest::{Algorithm, Digest};

use super::*;
use crate::{Batch, Checkpoint, UploadBudget};

fn store() -> (tempfile::TempDir, DiskStore) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let store = DiskStore::open(data.path()).expect("writable");
    (data, store)
}

async fn write(store: &DiskStore, id: CopyId, bytes: &'static [u8]) {
    let claim = store.claim(id).await.expect("free");
    let mut writer = claim.open(Algorithm::Sha256, &Checkpoint::default()).await.expect("new");
    let permit = UploadBudget::new(1024).acquire(1).await;
    writer.write(Batch { frames: vec![Bytes::from_static(bytes)], permit }).await.expect("room");
    drop(writer.finish(&Digest::of(bytes)).await.expect("right"));
}

#[tokio::test]
async fn a_copy_is_where_its_id_says_and_nobody_else_reads_it() {
    let (data, store) = store();
    write(&store, CopyId::from([0x1f; 16]), b"content").await;
    let path = data.path().join("blobs/1f").join("1f".repeat(16));
    assert_eq!(std::fs::read(&path).expect("there"), b"content");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Whoever can write to the folder must not make us read or write elsewhere.
#[tokio::test]
async fn attack_63_planted_links_are_refused() {
    let (data, store) = store();
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

#[tokio::test]
async fn a_folder_in_the_place_of_a_copy_is_refused() {
    let (data, store) = store();
    std::fs::create_dir(data.path().join("blobs/4c").join("4c".repeat(16))).expect("writable");
    let id = CopyId::from([0x4c; 16]);
    assert!(matches!(store.open(id).await, Err(BlobError::NotAFile)));
}

/// No row would name it, and start-up scans nothing.
#[tokio::test]
async fn a_claim_that_comes_to_nothing_leaves_no_file() {
    let (data, store) = store();
    let path = data.path().join("blobs/7e").join("7e".repeat(16));
    let id = CopyId::from([0x7e; 16]);
    let claim = store.claim(id).await.expect("free");
    assert!(path.exists(), "what is claimed is locked, and so must be there");
    drop(claim);
    assert!(!path.exists());
    let far = Checkpoint { offset: 1, state: Vec::new() };
    let lost = store.claim(id).await.expect("free").open(Algorithm::Sha256, &far).await;
    assert!(matches!(lost.err(), Some(BlobError::Lost)));
    assert!(!path.exists());
    let claim = store.claim(id).await.expect("free");
    drop(claim.open(Algorithm::Sha256, &Checkpoint::default()).await.expect("new"));
    drop(store.claim(id).await.expect("free"));
    assert!(path.exists(), "somebody began with it");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_any_more() {
    let (_data, store) = store();
    let id = CopyId::from([0x5b; 16]);
    write(&store, id, b"before").await;
    assert!(matches!(store.0.synced(Err(Errno::IO)), Err(BlobError::Unhealthy)));
    assert!(!store.healthy());
    assert!(matches!(store.claim(id).await, Err(BlobError::Unhealthy)));
    assert!(store.open(id).await.is_ok(), "what is there can be read");
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_ends_in_an_error() {
    use futures_util::StreamExt;
    let (data, store) = store();
    let id = CopyId::from([0x6a; 16]);
    write(&store, id, b"some content").await;
    let reader = store.open(id).await.expect("there");
    let path = data.path().join("blobs/6a").join("6a".repeat(16));
    std::fs::write(path, "some").expect("writable");
    let frames: Vec<_> = reader.stream(0, 12).collect().await;
    assert!(matches!(frames.last(), Some(Err(BlobError::Corrupt))));
}
