//! The composition root: starts a server from its parts, and stops it after the requests that run.

mod first_owner;
mod seals;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use blob::{BlobStore, MemoryStore};
use engine::Engine;
use http::HeaderValue;
use identity::Clock;
use meta::{DatabaseLocation, Meta};
use model::manifest;
use model::principal::AccountEmail;
use model::registry_host::RegistryDomains;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use self::seals::{MasterKeySource, MissingKeyAction};

pub use first_owner::FirstOwner;

use crate::admins;
use crate::config::{self, Config, OpsListen};
use crate::data::{self, DataFolder, FolderSharing, RunningFolder};
use crate::egress::EgressRules;
use crate::jobs::{self, JobContext};
use crate::listen::tls::ServerTls;
use crate::listen::{self, Listener, ListenerKind};
use crate::metadata_server::{self, MetadataServer};
use crate::notifications::WebhookEndpoint;
use crate::operator;
use crate::routes;
use crate::stores;
use crate::upstream_client::{BandwidthLimits, TokenHosts, UpstreamClient, UpstreamRules};
use web::app::{App, AppState};
use web::audit::AuditLog;
use web::auth::{Authenticator, refusal};
use web::layer::body_budget::BodyBudget;
use web::layer::cors::{AllowedOrigins, answer_pages};
use web::layer::metrics::Metrics;
use web::layer::network_counter::NetworkCounter;
use web::layer::sending::SendMemory;
use web::server_url::ServerUrl;
use web::settings::LimitSettings;

/// The memory in bytes for the forms that callers send before they are known: a form is a few KiB, and a hundred of the
/// longest fit in.
const FORM_MEMORY: usize = 24 << 20;

/// The options of a start.
pub struct ServerOptions {
    /// The settings.
    pub config: Config,
    /// The way in which callers are authenticated.
    pub authenticate: Authenticator,
    /// In `--dev`, the host names that are answered besides those of loopback; otherwise `None`.
    pub dev_hosts: Option<Vec<String>>,
    /// True if everything stays in memory, and ends with the process.
    pub ephemeral: bool,
    /// The clock that all parts read.
    pub clock: Arc<dyn Clock>,
    /// The exceptions that the operator allows.
    pub permits: StartPermits,
}

/// Exceptions that a start makes only where the operator asks for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartPermits {
    /// New keys are made in place of those that no master key opens any more.
    pub new_master_key: bool,
    /// `--dev` serves a folder that has accounts: everybody may do everything in it.
    pub dev_with_accounts: bool,
}

/// A running server.
pub struct RunningServer {
    /// The address on which `/v2/` is served.
    pub listen: SocketAddr,
    /// The address on which health and metrics are served, unless they are off.
    pub ops: Option<SocketAddr>,
    /// The URL by which clients reach the server.
    pub origin: ServerUrl,
    /// The account that this start made, if it is the first one.
    pub owner: Option<FirstOwner>,
    tls: Option<ServerTls>,
    app: App,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    jobs: JoinSet<()>,
    operator_socket: Option<JoinHandle<()>>,
    /// The lock of the data folder, held until the server is dropped.
    _data: Option<DataFolder>,
}

impl RunningServer {
    /// Opens the stores, and listens only then: a client that connects finds a registry that is ready.
    pub async fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let ServerOptions { config, authenticate, dev_hosts, ephemeral, clock, permits } = options;
        let egress = Arc::new(egress_rules(&config, &authenticate)?);
        let upstream_rules = UpstreamRules {
            egress: egress.clone(),
            token_hosts: TokenHosts::new(&config.egress.token_hosts)?,
            bandwidth: BandwidthLimits::read(&config.upstream)?,
            clock: clock.clone(),
        };
        let webhooks = WebhookEndpoint::read_all(&config, &egress)?;
        let tls = ServerTls::read(&config.tls)?;
        let missing_key =
            if permits.new_master_key { MissingKeyAction::Renew } else { MissingKeyAction::Refuse };
        let stores = open_stores(&config, ephemeral, &*clock, missing_key).await?;
        let OpenStores { data, meta, blobs, master_key } = stores;
        let MasterKeySource { key, unwritten } = master_key;
        let metrics = Metrics::default();
        metrics.refusals_known(&refusal::REASONS);
        let meta = meta.with_observer(metrics.transaction_observer());
        let folder = data.as_ref().map(DataFolder::path);
        let audit = AuditLog::start(&config.audit, folder, &metrics, clock.clone())?;
        let loop_mark = HeaderValue::from_str(&meta::Id::random().to_string())?;
        let upstreams = UpstreamClient::new(upstream_rules, loop_mark.clone(), metrics.clone());
        let settings = engine_settings(&config, &webhooks, &authenticate);
        let settings = engine::Settings { upstreams, ..settings };
        let engine = Engine::new(meta, blobs, clock, settings, key);
        // A refused start must not have changed anything.
        if matches!(authenticate, Authenticator::Dev) && !permits.dev_with_accounts {
            refuse_accounts(&engine).await?;
        }
        if let Some(data) = &data {
            seals::check(&engine, data, unwritten, missing_key).await?;
        }
        // The address is known from here on. Connections are accepted later, when all parts are ready.
        let listener = bind(config.listen, "--listen")?;
        let listen = listener.local_addr()?;
        let origin = ServerUrl::new(&config.external_url, config.scheme(), listen);
        let owner = match (&authenticate, &data) {
            (Authenticator::Accounts(_), Some(data)) => {
                first_owner::create_if_needed(&engine, data, &config.first_project, &origin).await?
            }
            _ => None,
        };
        let app = App::new(AppState {
            engine,
            authenticate,
            domains: registry_domains(&config)?,
            origin,
            dev_hosts,
            proxies: config.proxies.clone(),
            limits: config.limits.clone(),
            manifests: manifest_budget(&config.limits),
            list_readers: Arc::default(),
            forms: BodyBudget::new(FORM_MEMORY),
            forwarded: NetworkCounter::new(config.limits.connections_per_network),
            sending: SendMemory::new(config.limits.download_memory.get()),
            metrics,
            audit,
            loop_mark,
        });
        ServerParts { config, app, tls, webhooks, data, owner }.serve(listener).await
    }

    /// Returns the certificate in use and its files; `None` where connections are not encrypted.
    pub(crate) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Returns whether the server runs with `--dev`, where everybody may do everything.
    pub fn is_dev(&self) -> bool {
        matches!(self.app.authenticate, Authenticator::Dev)
    }

    /// Accepts no more connections, lets running requests end, and stores what is only in memory.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + self.app.limits.drain_timeout.get();
        self.stop.send_replace(true);
        // Each listener cuts its connections when the drain time is over.
        while self.listeners.join_next().await.is_some() {}
        jobs::end(self.jobs, deadline).await;
        if let Some(operator_socket) = &self.operator_socket {
            operator_socket.abort();
        }
        // A disk or a database that hangs must not keep the process. One that works needs less than a second.
        let close_deadline = || deadline.max(Instant::now() + Duration::from_secs(1));
        // A few thousand short lines are waiting at most: a disk that works has written them in five seconds.
        let audit_deadline = Instant::now() + Duration::from_secs(5);
        self.app.audit.flush(close_deadline().min(audit_deadline)).await;
        if timeout_at(close_deadline(), self.app.engine.close()).await.is_err() {
            tracing::warn!(
                "the database was not closed within the drain time: pull counts of the last seconds may be lost"
            );
        }
    }
}

/// The parts of a server that is ready to answer.
struct ServerParts {
    config: Config,
    app: App,
    tls: Option<ServerTls>,
    webhooks: Vec<WebhookEndpoint>,
    data: Option<DataFolder>,
    owner: Option<FirstOwner>,
}

impl ServerParts {
    /// Starts to answer: the listener for clients first, then the other listeners, the jobs, and the operator's socket.
    async fn serve(self, listener: TcpListener) -> anyhow::Result<RunningServer> {
        let Self { config, app, tls, webhooks, data, owner } = self;
        let listen = listener.local_addr()?;
        admins::apply(&app).await?;
        let (stop, stopped) = watch::channel(false);
        let context = JobContext { app: app.clone(), stop: stopped };
        let mut listeners = JoinSet::new();
        let pages = AllowedOrigins::new(&config.cors.origins)?;
        let router = answer_pages(routes::registry(app.clone())?, pages);
        let clients =
            Listener { app: app.clone(), router, tls: tls.clone(), kind: ListenerKind::Clients };
        listeners.spawn(listen::serve(listener, clients, context.stop.clone()));
        let mut serve_plain = async |setting, router| {
            let OpsListen::At(address) = setting else { return anyhow::Ok(None) };
            let listener = bind(address, "ops_listen or metadata.listen")?;
            let address = listener.local_addr()?;
            let operators =
                Listener { app: app.clone(), router, tls: None, kind: ListenerKind::Operators };
            listeners.spawn(listen::serve(listener, operators, context.stop.clone()));
            Ok(Some(address))
        };
        let ops = serve_plain(config.ops_listen, routes::ops(app.clone())).await?;
        let metadata = metadata_router(&app, &config.metadata).await?;
        let metadata = serve_plain(config.metadata.listen, metadata).await?;
        let jobs = jobs::start(context.clone(), &config, tls.clone(), webhooks);
        let operator_socket = match &data {
            Some(data) => {
                let answers = operator::listen(&data.socket(), context)?;
                let (url, domain) = (&app.origin.on_this_machine(), app.domains.primary());
                let dev = matches!(app.authenticate, Authenticator::Dev);
                data.write_addresses(&RunningFolder { listen, url, domain, dev, ops, metadata })?;
                Some(tokio::spawn(answers))
            }
            None => None,
        };
        let origin = app.origin.clone();
        let _data = data;
        Ok(RunningServer {
            listen,
            ops,
            origin,
            owner,
            tls,
            app,
            stop,
            listeners,
            jobs,
            operator_socket,
            _data,
        })
    }
}

/// Returns the domains of the settings. Hosts are compared in small letters.
pub(crate) fn registry_domains(config: &Config) -> anyhow::Result<RegistryDomains> {
    let domains = config.domains.iter().map(|domain| domain.to_ascii_lowercase());
    Ok(RegistryDomains::new(domains, config.location()?).with_mirrors(config.mirrors()?))
}

/// Returns the memory for manifests, which is as large as that for uploads. One largest manifest has to fit in.
fn manifest_budget(limits: &LimitSettings) -> BodyBudget {
    BodyBudget::new(limits.upload_memory.get().max(manifest::MAX_MANIFEST_BYTES))
}

/// Returns the settings of the engine. In `--dev`, the number of open uploads has no limit.
fn engine_settings(
    config: &Config,
    webhooks: &[WebhookEndpoint],
    authenticate: &Authenticator,
) -> engine::Settings {
    let webhooks = webhooks.iter().map(WebhookEndpoint::webhook).collect();
    let mut settings = engine::Settings { webhooks, ..config.engine_settings() };
    if matches!(authenticate, Authenticator::Dev) {
        settings.open_uploads = None;
    }
    settings
}

/// Returns the rules for requests that leave the server. Addresses of this machine are allowed where `egress.allow`
/// opens them, and in `--dev`, where everybody may do everything anyway.
fn egress_rules(config: &Config, authenticate: &Authenticator) -> anyhow::Result<EgressRules> {
    let rules = EgressRules::read(&config.egress, &config.upstream)?;
    Ok(match authenticate {
        Authenticator::Dev => rules.and_loopback(),
        Authenticator::Accounts(_) => rules,
    })
}

/// The stores of a server, open, and the key that opens what is sealed in them.
struct OpenStores {
    data: Option<DataFolder>,
    meta: Meta,
    blobs: Arc<dyn BlobStore>,
    master_key: MasterKeySource,
}

/// Refuses a folder that has accounts: `--dev` ignores the roles that protect what is in it.
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
    missing_key: MissingKeyAction,
) -> anyhow::Result<OpenStores> {
    if ephemeral {
        let meta =
            Meta::open(DatabaseLocation::SqliteMemory).await.context("cannot make a database")?;
        let blobs = Arc::new(MemoryStore::default());
        return Ok(OpenStores {
            data: None,
            meta,
            blobs,
            master_key: MasterKeySource::in_memory(),
        });
    }
    let postgres = stores::postgres_url(config)?;
    let sharing = if postgres.is_some() { FolderSharing::Shared } else { FolderSharing::Alone };
    data::check_disk(&config.data)?;
    let data = DataFolder::open(&config.data, sharing)?;
    stores::check_database(&data, postgres)?;
    let meta = stores::open_database(&data, postgres).await?;
    let blobs = Arc::new(stores::open_blobs(&meta, &data).await?);
    let master_key = MasterKeySource::of(&data, &meta, clock, missing_key).await?;
    Ok(OpenStores { data: Some(data), meta, blobs, master_key })
}

/// Returns the routes of the metadata server. Where it is off there are none, and no listener.
async fn metadata_router(app: &App, config: &config::MetadataSettings) -> anyhow::Result<Router> {
    let OpsListen::At(listen) = config.listen else { return Ok(Router::new()) };
    let account: AccountEmail = config.account.parse().context("metadata.account")?;
    let project = account.project().to_string();
    let account = config.account.clone();
    let metadata = MetadataServer { app: app.clone(), listen: listen.ip(), account, project };
    metadata.warn_if_missing().await?;
    Ok(metadata_server::router(metadata))
}

/// The most connections that wait to be accepted. The kernel drops those beyond it, and their clients wait in vain: a
/// burst of connections from one client should not do that to the others.
const MAX_WAITING_CONNECTIONS: u32 = 4096;

/// Listens on an address. An error advises to change `setting`, from which the address comes.
fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(MAX_WAITING_CONNECTIONS)
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
