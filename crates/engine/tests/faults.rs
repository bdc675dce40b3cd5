//! What a failing store leads to: an error, and nothing lost that was answered.

use std::sync::Arc;
use std::time::Duration;

use blob::faulty::{Faults, FaultyStore, Step};
use blob::{BlobError, MemoryStore};
use bytes::Bytes;
use engine::{
    Body, Caller, Engine, EngineError, GcMode, MasterKey, Proof, Pull, Push, RepoAccess, Rights,
    Settings, SystemClock, Target,
};
use futures_util::StreamExt;
use meta::{Database, Meta};
use model::digest::{Algorithm, Digest};
use model::name::ImagePath;
use model::scope::Scope;

struct Registry {
    engine: Engine,
    faults: Faults,
}

impl Registry {
    async fn new() -> Self {
        let faults = Faults::default();
        let store = FaultyStore::new(MemoryStore::default(), faults.clone());
        let meta = Meta::open(Database::SqliteMemory).await.expect("a new database");
        // Whatever nothing refers to is collected at once.
        let settings = Settings {
            gc_grace: Duration::ZERO,
            trash_retention: Duration::ZERO,
            ..Settings::default()
        };
        let engine = Engine::new(
            meta,
            Arc::new(store),
            Arc::new(SystemClock),
            (settings, MasterKey::new(&MasterKey::generate())),
        );
        Self { engine, faults }
    }

    async fn open<K: engine::Kind>(&self) -> RepoAccess<K> {
        let principal = "user:somebody@example.com".parse().expect("a principal");
        let caller =
            Caller { principal, rights: Rights::All, scope: Scope::All, proof: Proof::default() };
        let path = ImagePath::parse("p/r/image", None).expect("a path");
        let target = Target { location: "us-west1".parse().expect("a location"), path };
        self.engine.open(&caller, &target).await.expect("everything is allowed")
    }

    async fn read(&self, digest: &Digest) -> Vec<u8> {
        let blob = self.open::<Pull>().await.blob(digest).await.expect("pushed");
        let frames: Vec<_> = blob.whole().collect().await;
        frames.into_iter().flat_map(|frame| frame.expect("readable")).collect()
    }
}

fn body(bytes: &'static [u8]) -> Body<'static> {
    Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(bytes))]))
}

async fn started(access: &RepoAccess<Push>, bytes: &'static [u8]) -> String {
    let upload = access.start_upload(Algorithm::Sha256).await.expect("a session").id;
    access.append(&upload, None, body(bytes)).await.expect("room enough");
    upload
}

#[tokio::test]
async fn a_put_that_failed_can_be_repeated() {
    for step in [Step::Finish, Step::AfterFinish] {
        let registry = Registry::new().await;
        let access = registry.open::<Push>().await;
        let upload = started(&access, b"content").await;
        let digest = Digest::of(b"content");
        registry.faults.add(step, 0, || BlobError::Full);
        let failed = access.finish_upload(&upload, &digest, (None, body(b""))).await;
        assert!(matches!(failed, Err(EngineError::StorageFull)), "{step:?}: {failed:?}");
        let unknown = registry.open::<Pull>().await.blob(&digest).await;
        assert!(matches!(unknown, Err(EngineError::BlobUnknown(_))), "nothing was answered yet");
        let again = access.finish_upload(&upload, &digest, (None, body(b""))).await;
        again.expect("the bytes are still there");
        assert_eq!(registry.read(&digest).await, b"content");
    }
}

#[tokio::test]
async fn a_chunk_that_failed_leaves_what_was_answered() {
    for step in [Step::Write, Step::Checkpoint] {
        let registry = Registry::new().await;
        let access = registry.open::<Push>().await;
        let upload = started(&access, b"answered").await;
        registry.faults.add(step, 0, || BlobError::Full);
        let failed = access.append(&upload, None, body(b" and lost")).await;
        assert!(matches!(failed, Err(EngineError::StorageFull)), "{step:?}: {failed:?}");
        assert_eq!(access.upload_progress(&upload).await.expect("a session").offset, 8);
        access.append(&upload, None, body(b" and more")).await.expect("it goes on");
        let digest = Digest::of(b"answered and more");
        access.finish_upload(&upload, &digest, (None, body(b""))).await.expect("complete");
        assert_eq!(registry.read(&digest).await, b"answered and more");
    }
}

#[tokio::test]
async fn bytes_that_are_gone_are_an_error_of_ours() {
    let registry = Registry::new().await;
    let access = registry.open::<Push>().await;
    let upload = started(&access, b"content").await;
    registry.faults.add(Step::Claim, 0, || BlobError::Lost);
    let failed = access.append(&upload, None, body(b"x")).await;
    assert!(matches!(failed, Err(EngineError::Internal(_))), "{failed:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_removed_later() {
    let registry = Registry::new().await;
    let access = registry.open::<Push>().await;
    let upload = started(&access, b"content").await;
    access.cancel_upload(&upload).await.expect("a session");
    registry.faults.add(Step::Delete, 0, || BlobError::Unhealthy);
    let collect = || registry.engine.collect(GcMode::Collect, |_| ());
    assert_eq!(collect().await.expect("it goes on").files, 0);
    assert_eq!(collect().await.expect("again").files, 1);
    assert_eq!(collect().await.expect("again").files, 0);
}
