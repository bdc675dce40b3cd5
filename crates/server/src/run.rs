//! Puts the parts together, and takes them apart again gently.

mod seals;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use blob::{BlobStore, MemoryStore};
use engine::Engine;
use identity::{Clock, IdentityError};
use meta::{DatabaseLocation, Meta};
use model::manifest;
use model::name::ProjectId;
use model::principal::AccountEmail;
use model::registry_host::RegistryDomains;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use self::seals::{MasterKeySource, MissingKeyAction};

use crate::config::{self, Config, OpsListen};
use crate::data::{self, DataFolder, FolderSharing, RunningFolder};
use crate::egress::AllowList;
use crate::jobs;
use crate::listen::tls::ServerTls;
use crate::listen::{self, Listener, ListenerKind};
use crate::metadata_server::{self, MetadataServer};
use crate::notifications::WebhookEndpoint;
use crate::routes;
use crate::stores;
use web::app::{App, AppState};
use web::audit::AuditLog;
use web::auth::{Authenticator, refusal};
use web::layer::body_budget::BodyBudget;
use web::layer::cors::{AllowedOrigins, answer_pages};
use web::layer::metrics::Metrics;
use web::layer::network_counter::NetworkCounter;
use web::layer::sending::SendMemory;
use web::server_url::ServerUrl;

/// Memory for all forms of strangers: a form is a few KiB, and a hundred of the longest fit in.
const FORM_MEMORY: usize = 24 << 20;

/// What a server is started with.
pub struct ServerOptions {
    /// The settings.
    pub config: Config,
    /// How callers are told apart.
    pub authenticate: Authenticator,
    /// In `--dev`, names besides loopback ones that are answered; otherwise `None`.
    pub dev_hosts: Option<Vec<String>>,
    /// Whether everything stays in memory, and ends with the process.
    pub ephemeral: bool,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What the operator allows besides.
    pub permits: StartPermits,
}

/// What is refused unless the operator asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartPermits {
    /// Making new keys in place of those that no master key opens any more.
    pub new_master_key: bool,
    /// Letting everybody do everything in a folder that has accounts.
    pub dev_with_accounts: bool,
}

/// A running server.
pub struct RunningServer {
    /// Where `/v2/` is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops: Option<SocketAddr>,
    /// How clients reach it.
    pub origin: ServerUrl,
    /// The account that the first start made.
    pub owner: Option<FirstOwner>,
    tls: Option<ServerTls>,
    app: App,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    jobs: JoinSet<()>,
    admin: Option<JoinHandle<()>>,
    /// Unlocked when the server is gone.
    _data: Option<DataFolder>,
}

/// The account that the first start made, for whoever started it.
pub struct FirstOwner {
    /// Its address.
    pub email: String,
    /// The project that was made beside its own.
    pub project: String,
    /// Where its key file is.
    pub key_file: PathBuf,
}

impl RunningServer {
    /// Opens the stores, then listens: who connects finds a registry that is ready.
    pub async fn start(setup: ServerOptions) -> anyhow::Result<Self> {
        let ServerOptions { config, authenticate, dev_hosts, ephemeral, clock, permits } = setup;
        let receivers = receivers(&config, &authenticate)?;
        let tls = ServerTls::read(&config.tls)?;
        let otherwise =
            if permits.new_master_key { MissingKeyAction::Renew } else { MissingKeyAction::Refuse };
        let stores = open_stores(&config, ephemeral, &*clock, otherwise).await?;
        let OpenStores { data, meta, blobs, master } = stores;
        let MasterKeySource { key, unwritten } = master;
        let metrics = Metrics::default();
        metrics.refusals_known(&refusal::REASONS);
        let meta = meta.with_observer(metrics.transaction_observer());
        let folder = data.as_ref().map(DataFolder::path);
        let audit = AuditLog::start(&config.audit, folder, &metrics, clock.clone())?;
        let webhooks = receivers.iter().map(WebhookEndpoint::webhook).collect();
        let mut settings = engine::Settings { webhooks, ..config.engine() };
        if matches!(authenticate, Authenticator::Dev) {
            settings.open_uploads = None;
        }
        let engine = Engine::new(meta, blobs, clock, (settings, key));
        // Before anything is changed.
        if matches!(authenticate, Authenticator::Dev) && !permits.dev_with_accounts {
            refuse_accounts(&engine).await?;
        }
        if let Some(data) = &data {
            seals::check(&engine, data, unwritten, otherwise).await?;
        }
        // The address is known, and nobody is answered yet.
        let listener = bind(config.listen, "--listen")?;
        let listen = listener.local_addr()?;
        let origin = ServerUrl::new(&config.external_url, config.scheme(), listen);
        let owner = match (&authenticate, &data) {
            (Authenticator::Accounts(_), Some(data)) => {
                first_owner(&engine, data, (&config.first_project, &origin)).await?
            }
            _ => None,
        };
        // Hosts are compared in small letters.
        let domains = config.domains.iter().map(|domain| domain.to_ascii_lowercase());
        let app = App::new(AppState {
            engine,
            authenticate,
            domains: RegistryDomains::new(domains, config.location()?),
            origin: origin.clone(),
            dev_hosts,
            proxies: config.proxies.clone(),
            limits: config.limits.clone(),
            // As much again as for blobs; and one has to fit in.
            manifests: BodyBudget::new(
                config.limits.upload_memory.get().max(manifest::MAX_MANIFEST_BYTES),
            ),
            list_readers: Arc::default(),
            forms: BodyBudget::new(FORM_MEMORY),
            forwarded: NetworkCounter::new(config.limits.connections_per_network),
            sending: SendMemory::new(config.limits.download_memory.get()),
            metrics,
            audit,
        });
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let pages = AllowedOrigins::new(&config.cors.origins)?;
        let router = answer_pages(routes::registry(app.clone())?, pages);
        let registry =
            Listener { app: app.clone(), router, tls: tls.clone(), whose: ListenerKind::Clients };
        listeners.spawn(listen::serve(listener, registry, stopped.clone()));
        let mut serve_plain = async |at, router| {
            let OpsListen::At(address) = at else { return anyhow::Ok(None) };
            let listener = bind(address, "ops_listen or metadata.listen")?;
            let address = listener.local_addr()?;
            let served =
                Listener { app: app.clone(), router, tls: None, whose: ListenerKind::Operators };
            listeners.spawn(listen::serve(listener, served, stopped.clone()));
            Ok(Some(address))
        };
        let ops = serve_plain(config.ops_listen, routes::ops(app.clone())).await?;
        let metadata = metadata_router(&app, &config.metadata).await?;
        let metadata = serve_plain(config.metadata.listen, metadata).await?;
        let jobs = jobs::start((&app, tls.clone(), receivers), &config, &stopped);
        let admin = match &data {
            Some(data) => {
                let admin =
                    crate::operator::listen(&data.socket(), (app.clone(), stopped.clone()))?;
                let (url, domain) = (&origin.on_this_machine(), app.domains.primary());
                let dev = matches!(app.authenticate, Authenticator::Dev);
                data.write_addresses(&RunningFolder { listen, url, domain, dev, ops, metadata })?;
                Some(tokio::spawn(admin))
            }
            None => None,
        };
        Ok(Self { listen, ops, origin, owner, tls, app, stop, listeners, jobs, admin, _data: data })
    }

    /// What encrypts connections, if anything.
    pub(crate) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Whether everybody may do everything.
    pub fn is_dev(&self) -> bool {
        matches!(self.app.authenticate, Authenticator::Dev)
    }

    /// Takes no more connections, lets running requests end, and writes down what is only in memory.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + self.app.limits.drain_timeout.get();
        self.stop.send_replace(true);
        // Each cuts its connections when the time is over.
        while self.listeners.join_next().await.is_some() {}
        jobs::end(self.jobs, deadline).await;
        if let Some(admin) = &self.admin {
            admin.abort();
        }
        // A disk or a database that hangs must not keep the process; one that works needs no second.
        let rest = || deadline.max(Instant::now() + Duration::from_secs(1));
        // A few thousand short lines: whatever takes them at all has them by then.
        let soon = Instant::now() + Duration::from_secs(5);
        self.app.audit.flush(rest().min(soon)).await;
        if timeout_at(rest(), self.app.engine.close()).await.is_err() {
            tracing::warn!(
                "the database was not closed within the drain time: pull counts of the last seconds may be lost"
            );
        }
    }
}

/// Who is told of changes. This machine is told only where it was opened, or everybody may do everything anyway.
fn receivers(
    config: &Config,
    authenticate: &Authenticator,
) -> anyhow::Result<Vec<WebhookEndpoint>> {
    let allow = AllowList::new(&config.egress.allow)?;
    let allow = match authenticate {
        Authenticator::Dev => allow.and_loopback(),
        Authenticator::Accounts(_) | Authenticator::Listed(_) => allow,
    };
    WebhookEndpoint::all(config, &Arc::new(allow))
}

/// What everything is kept in.
struct OpenStores {
    data: Option<DataFolder>,
    meta: Meta,
    blobs: Arc<dyn BlobStore>,
    master: MasterKeySource,
}

/// Refuses a folder whose images and accounts somebody has put under roles: `--dev` asks nobody.
async fn refuse_accounts(engine: &Engine) -> anyhow::Result<()> {
    if engine.identity().needs_owner().await? {
        return Ok(());
    }
    bail!(
        "this folder has accounts and roles: it was started without --dev before, and --dev lets everybody do \
         everything with what is in it; choose another folder with --data, or add --dev-with-accounts if that is what \
         you want"
    )
}

async fn open_stores(
    config: &Config,
    ephemeral: bool,
    clock: &dyn Clock,
    otherwise: MissingKeyAction,
) -> anyhow::Result<OpenStores> {
    if ephemeral {
        let meta =
            Meta::open(DatabaseLocation::SqliteMemory).await.context("cannot make a database")?;
        let master = MasterKeySource::in_memory();
        return Ok(OpenStores {
            data: None,
            meta,
            blobs: Arc::new(MemoryStore::default()),
            master,
        });
    }
    let postgres = stores::postgres_url(config)?;
    let sharing = if postgres.is_some() { FolderSharing::Shared } else { FolderSharing::Alone };
    data::check_disk(&config.data)?;
    let data = DataFolder::open(&config.data, sharing)?;
    stores::check_database(&data, postgres)?;
    let meta = stores::open_database(&data, postgres).await?;
    let blobs = Arc::new(stores::open_blobs(&meta, &data).await?);
    let master = MasterKeySource::of(&data, &meta, clock, otherwise).await?;
    Ok(OpenStores { data: Some(data), meta, blobs, master })
}

/// The metadata server, which nobody reaches where it is off.
async fn metadata_router(app: &App, config: &config::MetadataSettings) -> anyhow::Result<Router> {
    let OpsListen::At(listen) = config.listen else { return Ok(Router::new()) };
    let account: AccountEmail = config.account.parse().context("metadata.account")?;
    let project = account.project().to_string();
    let account = config.account.clone();
    let metadata = MetadataServer { app: app.clone(), listen: listen.ip(), account, project };
    metadata.say_if_missing().await?;
    Ok(metadata_server::router(metadata))
}

/// Connections that wait to be accepted. Beyond them the kernel drops what comes, and clients wait in vain: a burst of
/// strangers' connections shall not do that to others.
const BACKLOG: u32 = 4096;

/// Listens on an address, which `setting` chooses.
fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => format!("; choose another address with {setting}"),
            ErrorKind::PermissionDenied => {
                "; ports below 1024 need root, or CAP_NET_BIND_SERVICE".to_owned()
            }
            _ => String::new(),
        };
        anyhow::anyhow!("cannot listen on {address}: {error}{advice}")
    })
}

/// Keeps the owner's key file pointing to where clients reach the server, or says that nobody knows where that is.
fn say_where_to_ask(origin: &ServerUrl, data: &DataFolder) {
    match origin.fixed() {
        Some(url) => data.point_owner_key(&format!("{url}/token")),
        None => tracing::warn!(
            "external_url is not set: clients are told the address of this machine that they connected to, which is \
             wrong where a container's port is mapped or a proxy stands before it"
        ),
    }
}

/// Makes the first account where nobody could sign in, and keeps its key file in the data folder.
async fn first_owner(
    engine: &Engine,
    data: &DataFolder,
    (project, origin): (&str, &ServerUrl),
) -> anyhow::Result<Option<FirstOwner>> {
    if !engine.identity().needs_owner().await? {
        say_where_to_ask(origin, data);
        return Ok(None);
    }
    let project: ProjectId = project.parse().context("first_project")?;
    let Some(own_url) = origin.fixed() else {
        bail!(
            "external_url is not set, and {} is every address of this machine: the owner's key file, which the first \
             start writes, has to say where clients reach the server; set external_url, as \
             \"https://registry.example.com\"",
            origin.listen()
        );
    };
    let token_uri = format!("{own_url}/token");
    let mut written = PathBuf::new();
    let owner = engine.identity().create_owner(&project, &token_uri, |owner| {
        written = data.write_owner_key(&owner.key_file).map_err(|error| {
            IdentityError::Internal(format!("cannot write the owner's key file: {error}"))
        })?;
        Ok(())
    });
    let Some(owner) = owner.await? else {
        // Another process was quicker, and has the key that opens something.
        std::fs::remove_file(written)?;
        return Ok(None);
    };
    let key_file = data.publish_owner_key(&written).context("cannot keep the owner's key file")?;
    Ok(Some(FirstOwner { email: owner.email, project: project.to_string(), key_file }))
}
