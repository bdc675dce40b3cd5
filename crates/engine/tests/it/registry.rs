//! A registry of one test. Its stores can fail and wait, and its clock can be moved.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use berth_engine::{
    BodyError, Engine, EngineError, GcMode, ImageTarget, NewManifest, Push, ReceivedManifest,
    RepoAccess, Settings, UploadBody,
};
use blob::faulty::{FaultPlan, FaultStep, FaultyStore};
use blob::{DiskStore, MemoryStore};
use bytes::Bytes;
use futures_util::StreamExt;
use identity::{AuthorizationMode, Authorized, Caller, ChangeWay, Clock, MasterKey, SystemClock};
use meta::{DatabaseLocation, Id, Meta};
use model::digest::{Digest, DigestAlgorithm};
use model::media_type::OCI_MANIFEST;
use model::name::{ImagePath, RepositoryName};
use model::permission::Permission;
use model::reference::Reference;
use model::resource::Resource;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A clock that tests move. It starts at the real time and runs with it.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> i64 {
        SystemClock.now() + self.0.load(Ordering::Relaxed)
    }
}

impl TestClock {
    pub(crate) fn advance_minutes(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60_000_000, Ordering::Relaxed);
    }
}

pub(crate) struct TestRegistry {
    pub(crate) engine: Engine,
    pub(crate) faults: FaultPlan,
    pub(crate) meta: Meta,
    pub(crate) clock: Arc<TestClock>,
    /// The name of the database on a server.
    postgres: Option<String>,
    _folder: TempDir,
}

/// A database that commits nothing until this value is dropped.
pub(crate) struct HeldDatabase(
    #[expect(dead_code, reason = "its end is what counts")] mpsc::Sender<()>,
);

impl TestRegistry {
    /// A registry whose trash is emptied at once.
    pub(crate) async fn new() -> Self {
        Self::with_settings(|_| ()).await
    }

    pub(crate) async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let faults = FaultPlan::default();
        let store = FaultyStore::new(MemoryStore::default(), faults.clone());
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::on_store(folder, (Arc::new(store), faults), change).await
    }

    /// A registry on a memory store and one on a disk store.
    pub(crate) async fn on_each_store() -> [Self; 2] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let faults = FaultPlan::default();
        let disk = DiskStore::open(folder.path()).expect("writable");
        let store = FaultyStore::new(disk, faults.clone());
        [Self::new().await, Self::on_store(folder, (Arc::new(store), faults), |_| ()).await]
    }

    /// A registry on SQLite, and one on PostgreSQL if `TEST_POSTGRES_URL` names a server. [`Self::delete`] deletes
    /// their databases.
    pub(crate) async fn on_each_database(change: fn(&mut Settings)) -> Vec<Self> {
        let mut registries = vec![Self::with_settings(change).await];
        if std::env::var_os("TEST_POSTGRES_URL").is_some() {
            let name = format!("engine_{}", Id::new());
            let server = administer(&format!("CREATE DATABASE {name}")).await;
            let faults = FaultPlan::default();
            let store = FaultyStore::new(MemoryStore::default(), faults.clone());
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut registry = Self::on_database(
                DatabaseLocation::Postgres(format!("{server}/{name}")),
                folder,
                (Arc::new(store), faults),
                change,
            )
            .await;
            registry.postgres = Some(name);
            registries.push(registry);
        } else {
            eprintln!("SKIPPED: TEST_POSTGRES_URL is not set");
        }
        registries
    }

    /// Deletes the database, unless it goes with its folder.
    pub(crate) async fn delete(self) {
        self.meta.close().await;
        if let Some(name) = &self.postgres {
            administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    async fn on_store(
        folder: TempDir,
        store: (Arc<dyn blob::BlobStore>, FaultPlan),
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let database = DatabaseLocation::SqliteFile(folder.path().join("berth.db"));
        Self::on_database(database, folder, store, change).await
    }

    async fn on_database(
        database: DatabaseLocation,
        folder: TempDir,
        (store, faults): (Arc<dyn blob::BlobStore>, FaultPlan),
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let meta = Meta::open(database).await.expect("a new database");
        let mut settings = Settings { trash_retention: Duration::ZERO, ..Settings::default() };
        change(&mut settings);
        let clock = Arc::new(TestClock::default());
        let master = MasterKey::new(&MasterKey::generate());
        let engine = Engine::new(meta.clone(), store, clock.clone(), settings, master);
        Self { engine, faults, meta, clock, postgres: None, _folder: folder }
    }

    pub(crate) async fn open_access<K: berth_engine::AccessKind>(&self) -> RepoAccess<K> {
        self.open_image("image").await
    }

    /// The access to an image, as a client of the registry protocol has it.
    pub(crate) async fn open_image<K: berth_engine::AccessKind>(
        &self,
        image: &str,
    ) -> RepoAccess<K> {
        let caller = caller().with_way(ChangeWay::Push);
        let path = ImagePath::parse(&format!("p/r/{image}"), None).expect("a path");
        let location = "us-west1".parse().expect("a location");
        let target = ImageTarget { location, path, on_registry_host: false };
        self.engine.open(&caller, &target).await.expect("everything is allowed")
    }

    pub(crate) async fn forget_history(&self) {
        let forgotten = self.engine.forget_history(|| ControlFlow::Continue(()));
        forgotten.await.expect("writable");
    }

    pub(crate) fn clock_now(&self) -> i64 {
        self.clock.now()
    }

    pub(crate) async fn read_blob(&self, digest: &Digest) -> Vec<u8> {
        let blob = self.open_access().await.open_blob(digest).await.expect("pushed");
        let frames: Vec<_> = blob.whole().collect().await;
        frames.into_iter().flat_map(|frame| frame.expect("readable")).collect()
    }

    pub(crate) async fn push_blob(&self, bytes: &'static [u8]) -> Digest {
        let (access, digest) = (self.open_access::<Push>().await, Digest::of(bytes));
        let upload = start_session(&access).await;
        access.finish_upload(&upload, &digest, body_of(bytes).into()).await.expect("room enough");
        digest
    }

    /// Proves that the caller has a permission on the repository.
    pub(crate) async fn authorize(&self, caller: &Caller, permission: Permission) -> Authorized {
        let repository = Resource::Repository(repository_name());
        self.engine.identity().admit(caller, permission, repository).await.expect("allowed")
    }

    /// Pushes a manifest under tags.
    pub(crate) async fn push_manifest(&self, manifest: Value, tags: &[&str]) -> Digest {
        self.push_to("image", manifest, tags).await
    }

    /// Pushes a manifest to an image, under tags.
    pub(crate) async fn push_to(&self, image: &str, manifest: Value, tags: &[&str]) -> Digest {
        let bytes = Bytes::from(manifest.to_string());
        let digest = Digest::of(&bytes);
        let tags = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
        let reference = Reference::Digest(digest);
        let received = ReceivedManifest { bytes, content_type: None, reference, tags };
        let new = NewManifest::parse(received).expect("a manifest");
        self.open_image::<Push>(image).await.put_manifest(new).await.expect("all is there").digest
    }

    /// Collects, and returns the number of deleted files.
    pub(crate) async fn collect_garbage(&self) -> u64 {
        self.engine
            .collect(GcMode::Collect, |_| ControlFlow::Continue(()))
            .await
            .expect("it goes on")
            .files
    }

    /// Stops commits from now on. Writes wait, in order.
    pub(crate) async fn hold_database(&self) -> HeldDatabase {
        let (running, mut is_running) = tokio::sync::mpsc::unbounded_channel();
        let (gate, gate_opens) = mpsc::channel::<()>();
        let meta = self.meta.clone();
        tokio::spawn(async move {
            let wait = move |_: &mut meta::Tx<'_>| {
                let _ = running.send(());
                let _ = gate_opens.recv();
                Ok::<_, meta::MetaError>(())
            };
            meta.write(wait).await
        });
        is_running.recv().await.expect("the writer is idle");
        HeldDatabase(gate)
    }

    /// Waits until a step of the store was reached so many times in all.
    pub(crate) async fn wait_for_step(&self, step: FaultStep, times: usize) {
        while self.faults.count_reached(step) < times {
            tokio::task::yield_now().await;
        }
    }

    /// The id of the only repository.
    pub(crate) async fn repository_id(&self) -> Id {
        let all = self.meta.read(|tx| {
            let sql = "SELECT id FROM repositories";
            tx.query_first(sql, &[], |row| row.id(0))
        });
        all.await.expect("readable").expect("pushed to")
    }
}

async fn administer(sql: &str) -> String {
    let admin = std::env::var("TEST_POSTGRES_URL").expect("set");
    let connected = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("a server");
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect("TEST_POSTGRES_URL is an administrator's");
    admin.rsplit_once('/').expect("a database").0.to_owned()
}

/// A caller who may do everything, by an API.
pub(crate) fn caller() -> Caller {
    let principal = "user:somebody@example.com".parse().expect("a principal");
    Caller::new(principal, AuthorizationMode::Everything)
}

/// The repository of all tests.
pub(crate) fn repository_name() -> RepositoryName {
    "projects/p/locations/us-west1/repositories/r".parse().expect("a name")
}

/// A descriptor of these bytes.
pub(crate) fn descriptor_of(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() })
}

/// A manifest with this config and a number, so that each number has a digest of its own.
pub(crate) fn numbered_image(number: u64, config: &[u8]) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": descriptor_of("application/x", config),
        "annotations": { "number": number.to_string() },
    })
}

pub(crate) fn body_of(bytes: &'static [u8]) -> UploadBody<'static> {
    Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(bytes))]))
}

/// A body whose connection breaks.
pub(crate) fn broken_body(bytes: &'static [u8]) -> UploadBody<'static> {
    let frames = [Ok(Bytes::from_static(bytes)), Err(BodyError::Closed)];
    Box::pin(futures_util::stream::iter(frames))
}

pub(crate) async fn start_session(access: &RepoAccess<Push>) -> String {
    access.start_upload(DigestAlgorithm::Sha256).await.expect("a session").id
}

pub(crate) async fn start_with_bytes(access: &RepoAccess<Push>, bytes: &'static [u8]) -> String {
    let upload = start_session(access).await;
    access.append(&upload, body_of(bytes).into()).await.expect("room enough");
    upload
}

/// Runs a request until it waits for the database, and returns the rest of it.
pub(crate) async fn poll_once<T>(
    request: impl Future<Output = Result<T, EngineError>>,
) -> impl Future<Output = Result<T, EngineError>> {
    let mut request = Box::pin(request);
    let waits = poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending())).await;
    assert!(waits, "it needs the database");
    request
}
