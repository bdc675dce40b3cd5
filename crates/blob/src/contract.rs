//! The contract of [`BlobStore`], as a suite of tests that every driver passes.
//!
//! `reopen` opens the same store again, as a new process would.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use model::digest::{Digest, DigestAlgorithm};

use crate::{
    BlobError, BlobReader, BlobStore, BlobWriter, Checkpoint, CopyId, FinishError, HELD_BACK_BYTES,
    StoreId, UploadBatch, UploadBudget,
};

type Store = Arc<dyn BlobStore>;

/// Runs the whole suite.
pub async fn run_suite(reopen: impl Fn() -> Store) {
    a_copy_is_read_as_it_was_written(&reopen()).await;
    an_empty_copy_is_a_copy(&reopen()).await;
    a_part_of_a_copy_is_read(&reopen()).await;
    an_upload_continues_in_another_process(&reopen).await;
    bytes_beyond_the_checkpoint_are_cut_off(&reopen).await;
    bytes_are_hashed_again_if_the_state_cannot_be_restored(&reopen).await;
    lost_bytes_are_noticed(&reopen()).await;
    one_writer_at_a_time(&reopen).await;
    a_claim_alone_changes_nothing(&reopen()).await;
    wrong_bytes_are_not_finished(&reopen()).await;
    a_copy_is_read_while_it_is_written(&reopen()).await;
    a_copy_that_is_not_finished_ends_its_readers(&reopen()).await;
    a_deleted_copy_is_gone(&reopen()).await;
    digests_are_verified(&reopen()).await;
    the_id_is_kept(&reopen).await;
}

fn new_id() -> CopyId {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0xab; 16];
    bytes[12..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    CopyId::from(bytes)
}

fn test_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

async fn open_writer(store: &Store, id: CopyId, from: &Checkpoint) -> Box<dyn BlobWriter> {
    let claim = store.claim(id).await.expect("nobody else writes");
    claim.open(DigestAlgorithm::Sha256, from).await.expect("the bytes are there")
}

async fn write_bytes(writer: &mut dyn BlobWriter, bytes: &[u8]) {
    let budget = UploadBudget::new(1 << 20);
    for chunk in bytes.chunks(100_000) {
        let (left, right) = chunk.split_at(chunk.len() / 3);
        let frames = vec![Bytes::copy_from_slice(left), Bytes::copy_from_slice(right)];
        let permit = budget.acquire(chunk.len()).await;
        writer.write(UploadBatch { frames, permit }).await.expect("room enough");
    }
}

async fn save_checkpoint(writer: &mut dyn BlobWriter) -> Checkpoint {
    (*writer.checkpoint().await.expect("durable")).clone()
}

async fn store_copy(store: &Store, bytes: &[u8]) -> CopyId {
    let id = new_id();
    let mut writer = open_writer(store, id, &Checkpoint::default()).await;
    write_bytes(&mut *writer, bytes).await;
    let stored = writer.finish(&Digest::of(bytes)).await.expect("the right digest");
    assert_eq!(stored.size, bytes.len() as u64);
    id
}

async fn read_part(reader: Arc<dyn BlobReader>, start: u64, length: u64) -> Vec<u8> {
    let frames: Vec<_> = reader.stream(start, length).collect().await;
    frames.into_iter().flat_map(|frame| frame.expect("readable")).collect()
}

async fn a_copy_is_read_as_it_was_written(store: &Store) {
    for length in [1, 4096, 300_000, 3_000_000] {
        let bytes = test_bytes(length);
        let id = store_copy(store, &bytes).await;
        let reader = store.open(id).await.expect("finished");
        assert_eq!(reader.size(), length as u64);
        assert_eq!(read_part(reader.clone(), 0, length as u64).await, bytes);
        assert_eq!(reader.read_all().await.expect("readable"), bytes);
    }
}

async fn an_empty_copy_is_a_copy(store: &Store) {
    let id = store_copy(store, b"").await;
    let reader = store.open(id).await.expect("finished");
    assert_eq!(reader.size(), 0);
    assert!(read_part(reader.clone(), 0, 0).await.is_empty());
    let checked: Vec<_> = reader.stream_verified(Digest::of(b"")).collect().await;
    assert!(checked.iter().all(|frame| frame.as_ref().is_ok_and(Bytes::is_empty)));
}

async fn a_part_of_a_copy_is_read(store: &Store) {
    let bytes = test_bytes(700_000);
    let reader = store.open(store_copy(store, &bytes).await).await.expect("finished");
    for (start, end) in [(0, 1), (0, 700_000), (299_999, 300_001), (699_999, 700_000), (5, 5)] {
        let part = read_part(reader.clone(), start as u64, (end - start) as u64).await;
        assert_eq!(part, bytes[start..end], "{start}..{end}");
    }
}

async fn an_upload_continues_in_another_process(reopen: &impl Fn() -> Store) {
    let (bytes, id) = (test_bytes(500_000), new_id());
    let mut checkpoint = Checkpoint::default();
    for part in bytes.chunks(123_457) {
        let mut writer = open_writer(&reopen(), id, &checkpoint).await;
        assert_eq!(writer.offset(), checkpoint.offset);
        write_bytes(&mut *writer, part).await;
        checkpoint = save_checkpoint(&mut *writer).await;
    }
    assert!(matches!(reopen().open(id).await, Err(BlobError::NotFound) | Ok(_)));
    let writer = open_writer(&reopen(), id, &checkpoint).await;
    drop(writer.finish(&Digest::of(&bytes)).await.expect("all bytes came"));
    let reader = reopen().open(id).await.expect("finished");
    assert_eq!(reader.read_all().await.expect("readable"), bytes);
}

async fn bytes_beyond_the_checkpoint_are_cut_off(reopen: &impl Fn() -> Store) {
    let id = new_id();
    let mut writer = open_writer(&reopen(), id, &Checkpoint::default()).await;
    write_bytes(&mut *writer, b"kept").await;
    let checkpoint = save_checkpoint(&mut *writer).await;
    write_bytes(&mut *writer, b"not in a row").await;
    drop(writer.checkpoint().await.expect("durable, but in no row"));
    drop(writer);
    let mut writer = open_writer(&reopen(), id, &checkpoint).await;
    write_bytes(&mut *writer, b" and more").await;
    drop(writer.finish(&Digest::of(b"kept and more")).await.expect("the right bytes"));
}

async fn bytes_are_hashed_again_if_the_state_cannot_be_restored(reopen: &impl Fn() -> Store) {
    let id = new_id();
    let mut writer = open_writer(&reopen(), id, &Checkpoint::default()).await;
    write_bytes(&mut *writer, b"some bytes").await;
    let checkpoint = save_checkpoint(&mut *writer).await;
    drop(writer);
    let unread = Checkpoint { hash_state: b"of another version".to_vec(), ..checkpoint.clone() };
    drop(open_writer(&reopen(), id, &unread).await);
    let claim = reopen().claim(id).await.expect("nobody else writes");
    // The client names the digest only at the end of an upload, so that the algorithm may change until then.
    let writer = claim.open(DigestAlgorithm::Sha512, &checkpoint).await.expect("re-hashed");
    let expected = Digest::of_with(DigestAlgorithm::Sha512, b"some bytes");
    drop(writer.finish(&expected).await.expect("the right digest"));
}

async fn lost_bytes_are_noticed(store: &Store) {
    let id = new_id();
    let far = Checkpoint { offset: 10, hash_state: Vec::new() };
    let claim = store.claim(id).await.expect("nobody else writes");
    assert!(matches!(claim.open(DigestAlgorithm::Sha256, &far).await, Err(BlobError::Lost)));
    let mut writer = open_writer(store, id, &Checkpoint::default()).await;
    write_bytes(&mut *writer, b"five5").await;
    save_checkpoint(&mut *writer).await;
    drop(writer);
    let claim = store.claim(id).await.expect("nobody else writes");
    assert!(matches!(claim.open(DigestAlgorithm::Sha256, &far).await, Err(BlobError::Lost)));
}

/// The right to write excludes all other writers. It begins with the claim, before there is a byte, and ends when the
/// last result of the writer is dropped, which may be long after the writer itself.
async fn one_writer_at_a_time(reopen: &impl Fn() -> Store) {
    let store = reopen();
    let [claimed, opened, saved, finished] = [new_id(), new_id(), new_id(), new_id()];
    let claim = store.claim(claimed).await.expect("nobody else writes");
    let mut writer = open_writer(&store, opened, &Checkpoint::default()).await;
    write_bytes(&mut *writer, b"mine").await;
    let mut left = open_writer(&store, saved, &Checkpoint::default()).await;
    write_bytes(&mut *left, b"mine").await;
    let checkpoint = left.checkpoint().await.expect("durable");
    drop(left);
    let mut ended = open_writer(&store, finished, &Checkpoint::default()).await;
    write_bytes(&mut *ended, b"mine").await;
    let stored = ended.finish(&Digest::of(b"mine")).await.expect("the right digest");

    let other = reopen();
    let claims = [claimed, opened, saved, finished].map(|id| other.claim(id));
    for refused in futures_util::future::join_all(claims).await {
        assert!(matches!(refused.err(), Some(BlobError::Busy)));
    }
    drop((claim, writer, stored));
    for id in [claimed, opened, finished] {
        other.claim(id).await.expect("nobody else writes any more");
    }
    let from = (*checkpoint).clone();
    drop(checkpoint);
    let writer = open_writer(&other, saved, &from).await;
    drop(writer.finish(&Digest::of(b"mine")).await.expect("unharmed"));
}

async fn a_claim_alone_changes_nothing(store: &Store) {
    let nothing = new_id();
    drop(store.claim(nothing).await.expect("nobody else writes"));
    assert!(matches!(store.open(nothing).await, Err(BlobError::NotFound)));
    let id = store_copy(store, b"content").await;
    let stamp = store.open(id).await.expect("finished").times();
    drop(store.claim(id).await.expect("nobody else writes"));
    let reader = store.open(id).await.expect("finished");
    assert_eq!((reader.times(), reader.size()), (stamp, 7));
}

async fn wrong_bytes_are_not_finished(store: &Store) {
    let id = new_id();
    let mut writer = open_writer(store, id, &Checkpoint::default()).await;
    write_bytes(&mut *writer, b"these").await;
    match writer.finish(&Digest::of(b"those")).await {
        Err(FinishError::Mismatch { actual }) => assert_eq!(actual, Digest::of(b"these")),
        other => panic!("{other:?}"),
    }
}

async fn the_id_is_kept(reopen: &impl Fn() -> Store) {
    assert_eq!(reopen().store_id().await.expect("readable"), None);
    for id in [Some(1), Some(2), None, Some(3)] {
        let id = id.map(|byte| StoreId::from([byte; 16]));
        reopen().set_store_id(id).await.expect("writable");
        assert_eq!(reopen().store_id().await.expect("readable"), id);
        reopen().check_location().await.expect("the store is in its place");
    }
}

async fn a_copy_is_read_while_it_is_written(store: &Store) {
    let bytes = test_bytes(500_000);
    let size = bytes.len() as u64;
    let (begun, rest) = bytes.split_at(123_456);
    let mut writer = open_writer(store, new_id(), &Checkpoint::default()).await;
    write_bytes(&mut *writer, begun).await;
    let growing = writer.growing().await.expect("it can be read");
    let mut whole = growing.clone().stream(0, size, size);
    let mut read = Vec::new();
    while read.len() < begun.len() {
        read.extend(whole.next().await.expect("not the end").expect("readable"));
    }
    assert!(read == begun, "what is written is read before the rest comes");
    let checkpoint = save_checkpoint(&mut *writer).await;
    assert_eq!(checkpoint.offset, begun.len() as u64);
    write_bytes(&mut *writer, rest).await;
    let before_last = size - HELD_BACK_BYTES;
    while (read.len() as u64) < before_last {
        read.extend(whole.next().await.expect("not the end").expect("readable"));
    }
    assert_eq!(read.len() as u64, before_last);
    assert!(whole.next().now_or_never().is_none(), "the end waits for the digest");
    let part = growing.stream(400_000, size, size);
    let _ = writer.finish(&Digest::of(&bytes)).await.expect("the right digest");
    for (stream, mut read) in [(whole, read), (part, bytes[..400_000].to_vec())] {
        let frames: Vec<_> = stream.collect().await;
        frames.into_iter().for_each(|frame| read.extend(frame.expect("readable")));
        assert!(read == bytes);
    }
}

async fn a_copy_that_is_not_finished_ends_its_readers(store: &Store) {
    let bytes = test_bytes(200_000);
    for size in [200_000, 300_000] {
        let mut writer = open_writer(store, new_id(), &Checkpoint::default()).await;
        write_bytes(&mut *writer, &bytes).await;
        let stream = writer.growing().await.expect("it can be read").stream(0, size, size);
        match size {
            // Nothing more comes.
            200_000 => drop(writer),
            // The copy is another one than was announced.
            _ => drop(writer.finish(&Digest::of(&bytes)).await.expect("the right digest")),
        }
        let mut frames: Vec<_> = stream.collect().await;
        assert!(matches!(frames.pop(), Some(Err(BlobError::Lost))));
        let read: usize = frames.into_iter().map(|frame| frame.expect("readable").len()).sum();
        assert!(read <= 200_000 && (read as u64) < size);
    }
}

async fn a_deleted_copy_is_gone(store: &Store) {
    let bytes = test_bytes(600_000);
    let id = store_copy(store, &bytes).await;
    let reader = store.open(id).await.expect("finished");
    store.delete(id).await.expect("there");
    store.delete(id).await.expect("a missing copy is not an error");
    assert!(matches!(store.open(id).await, Err(BlobError::NotFound)));
    assert_eq!(read_part(reader, 0, 600_000).await, bytes, "an open copy can be read");
    assert!(store.is_healthy());
}

async fn digests_are_verified(store: &Store) {
    let bytes = test_bytes(600_000);
    let reader = store.open(store_copy(store, &bytes).await).await.expect("finished");
    let digest = reader.clone().compute_digest(DigestAlgorithm::Sha512).await.expect("readable");
    assert_eq!(digest, Digest::of_with(DigestAlgorithm::Sha512, &bytes));
    let right: Vec<_> = reader.clone().stream_verified(Digest::of(&bytes)).collect().await;
    let right: Vec<u8> = right.into_iter().flat_map(|frame| frame.expect("right")).collect();
    assert_eq!(right, bytes);
    let wrong: Vec<_> = reader.stream_verified(Digest::of(b"other")).collect().await;
    assert!(matches!(wrong.last(), Some(Err(BlobError::Corrupt))));
    let sent: usize = wrong.iter().flatten().map(Bytes::len).sum();
    assert!(sent < bytes.len(), "the end is held back");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{FaultPlan, FaultStep, FaultyStore};
    use crate::{DiskStore, MemoryStore};

    #[tokio::test]
    async fn disk() {
        let data = tempfile::tempdir().expect("a temporary folder");
        run_suite(|| Arc::new(DiskStore::open(data.path()).expect("writable"))).await;
    }

    #[tokio::test]
    async fn memory() {
        let store = Arc::new(MemoryStore::default());
        run_suite(|| store.clone()).await;
    }

    #[tokio::test]
    async fn faulty() {
        let store = MemoryStore::default();
        run_suite(|| Arc::new(FaultyStore::new(store.clone(), FaultPlan::default()))).await;
    }

    #[tokio::test]
    async fn each_fault_happens_once_at_its_step() {
        let faults = FaultPlan::default();
        let store: Store = Arc::new(FaultyStore::new(MemoryStore::default(), faults.clone()));
        faults.add(FaultStep::Checkpoint, 1, || BlobError::Full);
        let mut writer = open_writer(&store, new_id(), &Checkpoint::default()).await;
        assert!(writer.checkpoint().await.is_ok());
        assert!(matches!(writer.checkpoint().await, Err(BlobError::Full)));
        assert!(writer.checkpoint().await.is_ok());
        faults.add(FaultStep::Open, 0, || BlobError::Unhealthy);
        assert!(matches!(store.open(new_id()).await, Err(BlobError::Unhealthy)));
    }
}
