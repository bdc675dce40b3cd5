//! `berth serve`: runs the registry until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use identity::SystemClock;

use super::banner::StartBanner;
use super::signals::StopSignals;
use super::{SettingsArguments, write_with_timeout};
use crate::config::{Config, LogFormat, OpsListen, parse_listen};
use crate::listen::descriptors;
use crate::metadata_server;
use crate::run::{RunningServer, ServerOptions, StartPermits};
use web::auth::Authenticator;
use web::layer::log;

/// Runs the registry.
///
/// Settings come from a file. BERTH_… variables override the file (gc.grace is BERTH_GC_GRACE), and flags override
/// both.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth serve                               with accounts; the first start says how to sign in
  berth serve --dev                         a registry for this machine, without any set-up
  berth serve --dev --ephemeral             the same, kept in memory only: for tests and CI
  berth serve --dev --listen 127.0.0.1:0    on a free port; <data>/run/*/addresses.json names it
  berth serve --listen 0.0.0.0:443 --tls-certificate tls.crt --tls-key tls.key
                                            with TLS, for other machines; external_url says by which name
  docker push 127.0.0.1:5050/my-project/my-repository/my-image")]
pub(super) struct ServeArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// Lets everybody on this machine do everything; a push creates its project and repository.
    #[arg(long)]
    dev: bool,
    /// Keeps everything in memory: all is lost when the server ends.
    #[arg(long, requires = "dev")]
    ephemeral: bool,
    /// A host name or address to answer, besides localhost and loopback addresses; may be repeated.
    #[arg(long, value_name = "NAME", requires = "dev")]
    dev_host: Vec<String>,
    /// Lets --dev listen on addresses that other machines reach; --dev-host says by which names they may.
    #[arg(long, requires = "dev")]
    dev_unsafe_network: bool,
    /// Serves other machines without TLS: passwords and tokens then travel in the clear.
    #[arg(long, conflicts_with = "dev")]
    insecure_http: bool,
    /// Lets the metadata server listen on addresses that other machines reach: all of them can act as its account.
    #[arg(long)]
    metadata_unsafe_network: bool,
    /// Lets --dev serve a folder that was started without it before: everybody may then do everything in it.
    #[arg(long, requires = "dev")]
    dev_with_accounts: bool,
    /// Starts even if master.key is missing or another one: new keys are made, and the log says what became void.
    #[arg(long, conflicts_with = "ephemeral")]
    new_master_key: bool,
    /// The address to serve the registry on [default: 127.0.0.1:5050].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// The address to serve health and metrics on, or off [default: 127.0.0.1:5051].
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<OpsListen>,
    /// The certificate that encrypts connections: a PEM file, followed by the rest of its chain.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, a PEM file. Both files may be renewed while the server runs.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The database: sqlite, or a postgres:// URL [default: sqlite].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl ServeArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.settings()?;
        self.check(&config)?;
        let log = log::start(&config.log)?;
        descriptors::raise_limit();
        if let OpsListen::At(ops) = config.ops_listen
            && !ops.ip().is_loopback()
        {
            tracing::warn!(
                "{ops} can be reached by other machines, and shows health and traffic to all of them"
            );
        }
        /// The most threads that hash and wait for disks: as many as keep them busy, not one for every upload.
        const BLOCKING_THREADS: usize = 64;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .context("cannot start threads")?;
        let served = runtime.block_on(self.serve(config));
        // Threads that still hash or wait for a disk are not waited for: all that clients were told is on disk already.
        runtime.shutdown_background();
        log.flush();
        served.map(|()| ExitCode::SUCCESS)
    }

    fn settings(&self) -> anyhow::Result<Config> {
        let mut config = self.source.read()?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.ops_listen = self.ops_listen.unwrap_or(config.ops_listen);
        if let Some(certificate) = &self.tls_certificate {
            config.tls.certificate.clone_from(certificate);
        }
        if let Some(key) = &self.tls_key {
            config.tls.key.clone_from(key);
        }
        if let Some(database) = &self.database {
            config.database.clone_from(database);
        }
        Ok(config)
    }

    fn check(&self, config: &Config) -> anyhow::Result<()> {
        if let OpsListen::At(metadata) = config.metadata.listen
            && !metadata_server::is_link_or_loopback(metadata.ip())
            && !self.metadata_unsafe_network
        {
            bail!(
                "metadata.listen: {metadata} can be reached by other machines, and all of them could act as the \
                 account; add --metadata-unsafe-network if that is what you want"
            );
        }
        if config.listen.ip().is_loopback() {
            return Ok(());
        }
        if self.dev && !self.dev_unsafe_network {
            bail!(
                "--dev lets everybody do everything, and {} can be reached by other machines; \
                 add --dev-unsafe-network if that is what you want",
                config.listen
            );
        }
        let encrypted = !config.tls.certificate.as_os_str().is_empty();
        if !self.dev && !encrypted && !self.insecure_http {
            bail!(
                "{} can be reached by other machines, and passwords would travel in the clear; name a certificate with \
                 --tls-certificate and --tls-key, or add --insecure-http where something in front encrypts",
                config.listen
            );
        }
        Ok(())
    }

    async fn serve(self, config: Config) -> anyhow::Result<()> {
        // The signals come first: one that arrives during the start must not be lost.
        let mut signals = StopSignals::new()?;
        let data = if self.ephemeral {
            "in memory, until this process ends".to_owned()
        } else {
            config.data.display().to_string()
        };
        let lower = |name: &String| name.to_ascii_lowercase();
        let dev_hosts: Vec<_> = self.dev_host.iter().map(lower).collect();
        let settings = config.clone();
        let server = RunningServer::start(ServerOptions {
            config,
            authenticate: if self.dev { Authenticator::Dev } else { Authenticator::accounts() },
            dev_hosts: self.dev.then(|| dev_hosts.clone()),
            ephemeral: self.ephemeral,
            clock: Arc::new(SystemClock),
            permits: StartPermits {
                new_master_key: self.new_master_key,
                dev_with_accounts: self.dev_with_accounts,
            },
        })
        .await?;
        let banner = StartBanner {
            server: &server,
            settings: &settings,
            dev_hosts: &dev_hosts,
            data: &data,
        };
        match settings.log.format {
            LogFormat::Text => write_with_timeout(std::io::stdout(), banner.text()?)?,
            // The collector of the log expects nothing but JSON objects.
            LogFormat::Json => banner.log(),
        }
        signals.end().await;
        tracing::info!("stopping: running requests may end");
        tokio::select! {
            () = server.stop() => tracing::info!("stopped"),
            // A second signal ends the server at once. All that clients were told is on disk.
            () = signals.end() => tracing::info!("stopped at once, by a second signal"),
        }
        Ok(())
    }
}
