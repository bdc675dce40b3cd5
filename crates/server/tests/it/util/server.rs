//! A server in the test's own process, with accounts whose roles the test knows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use berth_server::config::{Config, OnPush, OpsListen};
use berth_server::run::{RunningServer, ServerOptions, StartPermits};
use identity::{Clock, SystemClock};
use model::name::RepositoryName;
use tempfile::TempDir;
use web::auth::Authenticator;

use super::{Client, GoogleClient, StartOn, callers, database, with_deadline};

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

    /// Opens the database of the server with this folder.
    async fn open_meta(&self, data: &Path) -> meta::Meta {
        let database = match self {
            Self::Sqlite => meta::DatabaseLocation::SqliteFile(data.join("berth.db")),
            Self::Postgres(url) => meta::DatabaseLocation::Postgres(url.clone()),
        };
        meta::Meta::open(database).await.expect("the server's own")
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
    backend: Backend,
    authenticate: Authenticator,
    folder: Arc<TempDir>,
    clock: Arc<TestClock>,
    permits: StartPermits,
}

impl StartOptions {
    /// A first start, on an empty folder.
    fn new(backend: Backend, authenticate: Authenticator) -> Self {
        Self {
            backend,
            authenticate,
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            clock: Arc::default(),
            permits: StartPermits::default(),
        }
    }

    /// Another start with the folder, clock and database of a server.
    fn again(server: &TestServer) -> Self {
        Self {
            backend: server.backend.clone(),
            authenticate: Authenticator::accounts(),
            folder: server.folder.clone(),
            clock: server.clock.clone(),
            permits: StartPermits::default(),
        }
    }

    /// The settings, with those that the test changes.
    fn config(&self, change: impl FnOnce(&mut Config)) -> Config {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            listen: local,
            ops_listen: OpsListen::At(local),
            data: self.folder.path().join("data"),
            ..Config::default()
        };
        // Most tests push to repositories that nobody created; `oci::typos` tests the default.
        config.new_repositories.on_push = OnPush::Always;
        if let Backend::Postgres(url) = &self.backend {
            config.database.clone_from(url);
        }
        change(&mut config);
        config
    }
}

/// The name of a repository of the project `p`, which most tests use.
pub(crate) fn repository_of_p(id: &str) -> RepositoryName {
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

    /// Starts with settings that the test changes. The accounts of [`callers`] are stored before.
    pub(crate) async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let new = StartOptions::new(backend, Authenticator::accounts());
        let config = new.config(change);
        std::fs::create_dir_all(&config.data).expect("writable");
        let meta = new.backend.open_meta(&config.data).await;
        meta.write(callers::store_accounts).await.expect("writable");
        meta.close().await;
        Self::start_as(new, config).await
    }

    /// Starts as `berth serve` does for the first time: the only account is that of the owner, whom the start makes.
    pub(crate) async fn start_with_owner(
        backend: Backend,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let new = StartOptions::new(backend, Authenticator::accounts());
        let config = new.config(change);
        Self::start_as(new, config).await
    }

    /// Starts as `berth serve --dev` does: everybody may do everything, under a name of this machine.
    pub(crate) async fn start_for_development(change: impl FnOnce(&mut Config)) -> Self {
        let new = StartOptions::new(Backend::Sqlite, Authenticator::Dev);
        let config = new.config(change);
        Self::start_as(new, config).await
    }

    /// Starts a second server on this server's folder, clock and PostgreSQL database.
    pub(crate) async fn start_second(&self) -> Self {
        self.restart_with(|_| ()).await
    }

    /// Starts again on the folder and database of this server, which has stopped.
    pub(crate) async fn restart_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let again = StartOptions::again(self);
        let config = again.config(change);
        Self::start_as(again, config).await
    }

    /// As [`TestServer::restart_with`], with these permits.
    pub(crate) async fn restart_with_permits(&self, permits: StartPermits) -> Self {
        let again = StartOptions { permits, ..StartOptions::again(self) };
        let config = again.config(|_| ());
        Self::start_as(again, config).await
    }

    async fn start_as(options: StartOptions, config: Config) -> Self {
        let StartOptions { backend, authenticate, folder, clock, permits } = options;
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
        self.client_of("first-admin")
    }

    /// A client of one of the accounts of [`callers`]. It sends the account's key file, as docker does.
    pub(crate) fn client_of(&self, account: &str) -> Client {
        self.anonymous().with_password("_json_key", &callers::key_of(account).file.to_string())
    }

    /// A caller of Google's APIs that may do everything.
    pub(crate) fn google_admin(&self) -> GoogleClient {
        self.google_client_of("first-admin")
    }

    /// A caller of Google's APIs, which take only tokens. The token is good for an hour.
    pub(crate) fn google_client_of(&self, account: &str) -> GoogleClient {
        let file = callers::key_of(account).file.to_string();
        let token = identity::self_signed_token(&file, self.clock.now()).expect("a key");
        GoogleClient::new(&self.anonymous(), &token, callers::email_of(account).as_str())
    }

    /// A client of `reader-1-writer-2`. Its token is for one image of `r2` alone.
    pub(crate) async fn client_scoped_to_2(&self) -> Client {
        let caller = self.google_client_of("reader-1-writer-2");
        let token = caller.registry_token(&["repository:p/r2/image:pull,push"]).await;
        self.anonymous().with_token(&token)
    }

    /// A client without a credential.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// Opens the server's database, past the server.
    pub(crate) async fn open_meta(&self) -> meta::Meta {
        self.backend.open_meta(&self.data).await
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
