//! A server in the test's own process, with callers whose grants the test knows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use berth_server::config::{Config, OnPush, OpsListen};
use berth_server::run::{RunningServer, ServerOptions, StartPermits};
use identity::{AuthorizationMode, Caller, Clock, Grant, SystemClock};
use model::name::RepositoryName;
use model::registry_scope::{RegistryScope, ScopeAction, ScopeEntry};
use tempfile::TempDir;
use web::auth::Authenticator;

use super::{Client, StartOn, database, with_deadline};
use model::permissions::artifactregistry;

/// The database that a test runs on.
#[derive(Clone)]
pub(crate) enum Backend {
    Sqlite,
    Postgres(String),
}

impl Backend {
    /// Creates an empty database, if there is a PostgreSQL.
    pub(crate) async fn postgres() -> Option<Self> {
        let admin = database::administrator_url()?;
        let name = format!("t{}", meta::Id::new());
        database::execute_as_administrator(&[format!("CREATE DATABASE {name}")]).await;
        let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
        Some(Self::Postgres(format!("{server}/{name}")))
    }
}

/// A clock that tests move. It starts at the real time and runs with it, until the clock is frozen.
#[derive(Default)]
pub(crate) struct TestClock {
    ahead: AtomicI64,
    /// The time at which the clock stands, or 0 while the clock runs.
    frozen: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        let ahead = self.ahead.load(Ordering::Relaxed);
        match self.frozen.load(Ordering::Relaxed) {
            0 => SystemClock.now() + ahead,
            frozen => frozen + ahead,
        }
    }
}

impl TestClock {
    pub(crate) fn advance_hours(&self, hours: i64) {
        self.advance_seconds(hours * 3_600);
    }

    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// Stops the clock, for tests that depend on one second. It still moves when the test moves it.
    pub(crate) fn freeze(&self) {
        self.frozen.store(SystemClock.now(), Ordering::Relaxed);
    }

    /// Whole seconds since 1970, as in tokens.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.now() / 1_000_000
    }
}

/// A running server. Its folder is deleted when it is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) backend: Backend,
    pub(crate) data: PathBuf,
    server: Option<RunningServer>,
    folder: Arc<TempDir>,
}

/// The options that a server is started with.
struct StartOptions {
    authenticate: Authenticator,
    folder: Arc<TempDir>,
    clock: Arc<TestClock>,
    permits: StartPermits,
}

/// The callers of most tests, with their permissions on `r1` and `r2` of the project `p`.
fn listed_callers() -> HashMap<String, Caller> {
    let read: &[_] = &[artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS];
    let write: &[_] = &[
        artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS,
        artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
        artifactregistry::REPOSITORIES_CREATE_ON_PUSH,
    ];
    let all: &[_] = &[
        artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS,
        artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
        artifactregistry::REPOSITORIES_CREATE_ON_PUSH,
        artifactregistry::REPOSITORIES_DELETE_ARTIFACTS,
    ];
    let caller = |name: &str, rights: AuthorizationMode, scope: RegistryScope| {
        let principal = format!("user:{name}@example.com").parse().expect("a principal");
        let mut caller = Caller::new(principal, rights);
        caller.scope = scope;
        (name.to_owned(), caller)
    };
    let on = |repositories: &[(&str, &[_])]| {
        let grant = |(repository, permissions): &(&str, &[_])| Grant {
            repository: listed_repository(repository),
            permissions: permissions.to_vec(),
        };
        AuthorizationMode::Listed(repositories.iter().map(grant).collect())
    };
    let writing_in_2 = RegistryScope::Listed(
        [ScopeEntry {
            location: "us-west1".to_owned(),
            path: "p/r2/image".to_owned(),
            actions: vec![ScopeAction::Pull, ScopeAction::Push],
        }]
        .into(),
    );
    HashMap::from([
        caller("admin", AuthorizationMode::Everything, RegistryScope::Unlimited),
        caller("other-admin", AuthorizationMode::Everything, RegistryScope::Unlimited),
        caller("nobody", on(&[]), RegistryScope::Unlimited),
        caller("reader-1", on(&[("r1", read)]), RegistryScope::Unlimited),
        caller("writer-2", on(&[("r2", write)]), RegistryScope::Unlimited),
        caller("owner-2", on(&[("r2", all)]), RegistryScope::Unlimited),
        caller("reader-1-writer-2", on(&[("r1", read), ("r2", write)]), RegistryScope::Unlimited),
        caller("scoped-to-2", on(&[("r1", read), ("r2", write)]), writing_in_2),
    ])
}

/// The name of a repository of the project `p`, which most tests use.
pub(crate) fn listed_repository(id: &str) -> RepositoryName {
    let name = format!("projects/p/locations/us-west1/repositories/{id}");
    name.parse().expect("a repository")
}

/// For tests that start their servers themselves.
impl StartOn for Backend {
    async fn start(backend: Backend) -> Self {
        backend
    }
}

impl StartOn for TestServer {
    async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| ()).await
    }
}

impl TestServer {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| ()).await
    }

    /// Starts with settings that the test changes.
    pub(crate) async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::Listed(listed_callers()),
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            clock: Arc::default(),
            permits: StartPermits::default(),
        };
        Self::start_as(backend, new, change).await
    }

    /// Starts as `berth serve` does: callers have accounts, keys and tokens.
    pub(crate) async fn start_with_accounts(
        backend: Backend,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::accounts(),
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            clock: Arc::default(),
            permits: StartPermits::default(),
        };
        Self::start_as(backend, new, change).await
    }

    /// Starts as `berth serve --dev` does: everybody may do everything, under a name of this machine.
    pub(crate) async fn start_for_development(change: impl FnOnce(&mut Config)) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::Dev,
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            clock: Arc::default(),
            permits: StartPermits::default(),
        };
        Self::start_as(Backend::Sqlite, new, change).await
    }

    /// Starts a second server with accounts, on this server's folder, clock and PostgreSQL database.
    pub(crate) async fn start_second(&self) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::accounts(),
            folder: self.folder.clone(),
            clock: self.clock.clone(),
            permits: StartPermits::default(),
        };
        Self::start_as(self.backend.clone(), new, |_| ()).await
    }

    /// Starts again on the folder and database of this server, which has stopped.
    pub(crate) async fn restart_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::Listed(listed_callers()),
            folder: self.folder.clone(),
            clock: self.clock.clone(),
            permits: StartPermits::default(),
        };
        Self::start_as(self.backend.clone(), new, change).await
    }

    /// As [`TestServer::restart_with`], with accounts and these permits.
    pub(crate) async fn restart_with_permits(&self, permits: StartPermits) -> Self {
        let new = StartOptions {
            authenticate: Authenticator::accounts(),
            folder: self.folder.clone(),
            clock: self.clock.clone(),
            permits,
        };
        Self::start_as(self.backend.clone(), new, |_| ()).await
    }

    async fn start_as(
        backend: Backend,
        new: StartOptions,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let StartOptions { authenticate, folder, clock, permits } = new;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            listen: local,
            ops_listen: OpsListen::At(local),
            data: folder.path().join("data"),
            ..Config::default()
        };
        // Most tests push to repositories that nobody created; `oci::typos` tests the default.
        config.new_repositories.on_push = OnPush::Always;
        if let Backend::Postgres(url) = &backend {
            config.database.clone_from(url);
        }
        change(&mut config);
        let data = config.data.clone();
        let dev_hosts = matches!(authenticate, Authenticator::Dev).then(Vec::new);
        let setup = ServerOptions {
            config,
            authenticate,
            dev_hosts,
            ephemeral: false,
            clock: clock.clone(),
            permits,
        };
        let server = RunningServer::start(setup).await.expect("a server that starts");
        let ops = server.ops.expect("asked for");
        let address = server.listen;
        Self { address, ops, clock, backend, data, server: Some(server), folder }
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self) -> Client {
        self.client_of("admin")
    }

    /// A client of one of the [`listed_callers`].
    pub(crate) fn client_of(&self, name: &str) -> Client {
        Client::new(self.address).with_token(name)
    }

    /// A client without a credential.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// Opens the server's database, past the server.
    pub(crate) async fn open_meta(&self) -> meta::Meta {
        let database = match &self.backend {
            Backend::Sqlite => meta::DatabaseLocation::SqliteFile(self.data.join("berth.db")),
            Backend::Postgres(url) => meta::DatabaseLocation::Postgres(url.clone()),
        };
        meta::Meta::open(database).await.expect("the server's own")
    }

    /// See [`wait_for_metrics`].
    pub(crate) async fn wait_for_metrics(&self, line: &str) {
        wait_for_metrics(self.ops, line).await;
    }

    /// The folder of `addresses.json` and the operator's socket.
    pub(crate) fn run_folder(&self) -> PathBuf {
        let runs = std::fs::read_dir(self.data.join("run")).expect("it runs").flatten();
        let mut folders = runs.map(|entry| entry.path()).filter(|path| path.is_dir());
        folders.next().expect("the server's own")
    }

    /// The number of files in the blob store.
    pub(crate) fn count_blob_files(&self) -> usize {
        self.blob_paths().len()
    }

    /// The files of the blob store.
    pub(crate) fn blob_paths(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.data.join("blobs")).expect("the store").flatten();
        let files = folders.map(|folder| std::fs::read_dir(folder.path()).expect("a folder"));
        files.flat_map(|files| files.flatten().map(|file| file.path())).collect()
    }

    /// Stops the server as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

/// Waits until the metrics have a line. The request for the metrics is counted in them.
pub(crate) async fn wait_for_metrics(ops: SocketAddr, line: &str) {
    let ops = Client::new(ops);
    let seen = async {
        while !ops.get("/metrics").await.expect_status(200).text().lines().any(|seen| seen == line)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    with_deadline(seen).await;
}
