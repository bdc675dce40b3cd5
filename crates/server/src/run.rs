//! Puts the parts together, and takes them apart again gently.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use blob::{BlobStore, DiskStore, MemoryStore};
use engine::{Clock, Engine};
use meta::{Database, Meta};
use model::host::Domains;
use model::manifest;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::api::{self, App, Shared, admin};
use crate::auth::Authenticate;
use crate::config::{Config, OpsListen};
use crate::data::{DataFolder, Sharing};
use crate::layer::whole::Bodies;
use crate::{jobs, listen};

/// What a server is started with.
pub struct Setup {
    /// The settings.
    pub config: Config,
    /// How callers are told apart.
    pub authenticate: Authenticate,
    /// In `--dev`, names besides loopback ones that are answered; otherwise `None`.
    pub dev_hosts: Option<Vec<String>>,
    /// Whether everything stays in memory, and ends with the process.
    pub ephemeral: bool,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// A running server.
pub struct Server {
    /// Where `/v2/` is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops: Option<SocketAddr>,
    app: App,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    jobs: JoinSet<()>,
    admin: Option<JoinHandle<()>>,
    /// Unlocked when the server is gone.
    _data: Option<DataFolder>,
}

impl Server {
    /// Opens the stores, then listens: who connects finds a registry that is ready.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        let Setup { config, authenticate, dev_hosts, ephemeral, clock } = setup;
        let (data, meta, blobs) = open_stores(&config, ephemeral).await?;
        let engine = Engine::new(meta, blobs, clock, config.engine());
        let app = App::new(Shared {
            engine,
            authenticate,
            domains: Domains::new(config.domains.clone(), config.location()?),
            dev_hosts,
            limits: config.limits.clone(),
            // As much again as for blobs; and one has to fit in.
            manifests: Bodies::new(config.limits.upload_memory.get().max(manifest::MAX_BYTES)),
            metrics: Default::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let registry = (app.clone(), api::registry(app.clone()));
        let listen = listen_on(&mut listeners, config.listen, registry, &stopped).await?;
        let ops = match config.ops_listen {
            OpsListen::Off => None,
            OpsListen::At(address) => {
                let ops = (app.clone(), api::ops(app.clone()));
                Some(listen_on(&mut listeners, address, ops, &stopped).await?)
            }
        };
        let jobs = jobs::start(&app, &config.gc, &stopped);
        let admin = match &data {
            Some(data) => {
                let admin = admin::listen(&data.socket(), (app.clone(), stopped.clone()))?;
                data.write_addresses(listen, ops)?;
                Some(tokio::spawn(admin))
            }
            None => None,
        };
        Ok(Self { listen, ops, app, stop, listeners, jobs, admin, _data: data })
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
        self.app.engine.close().await;
    }
}

type Stores = (Option<DataFolder>, Meta, Arc<dyn BlobStore>);

async fn open_stores(config: &Config, ephemeral: bool) -> anyhow::Result<Stores> {
    if ephemeral {
        let meta = Meta::open(Database::SqliteMemory).await.context("cannot make a database")?;
        return Ok((None, meta, Arc::new(MemoryStore::default())));
    }
    let postgres = match config.database.as_str() {
        "sqlite" => None,
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Some(url),
        _ => bail!("database must be sqlite, or a URL that begins with postgres://"),
    };
    let sharing = if postgres.is_some() { Sharing::Shared } else { Sharing::Alone };
    let data = DataFolder::open(&config.data, sharing)?;
    let database = match postgres {
        Some(url) => Database::Postgres(url.to_owned()),
        None => Database::SqliteFile(data.database()),
    };
    // The URL may hold a password: the error says what is wrong, not where.
    let meta = Meta::open(database).await.context("cannot open the database")?;
    let path = data.path().to_owned();
    let blobs = tokio::task::spawn_blocking(move || DiskStore::open(&path)).await?;
    Ok((Some(data), meta, Arc::new(blobs.context("cannot open the blob store")?)))
}

async fn listen_on(
    listeners: &mut JoinSet<()>,
    address: SocketAddr,
    app: (App, axum::Router),
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    listeners.spawn(listen::serve(listener, app, stop.clone()));
    Ok(address)
}
