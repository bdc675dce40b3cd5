//! `berth serve`: runs the registry until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use engine::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

use super::{Source, said, word};
use crate::api::metadata_server;
use crate::api::origin::reachable;
use crate::auth::Authenticate;
use crate::config::{Config, LogFormat, OpsListen, parse_listen};
use crate::layer::log;
use crate::listen::descriptors;
use crate::run::{FirstOwner, Permits, Server, Setup};

/// Run the registry.
///
/// Settings come from a file, are overridden by BERTH_… variables (gc.grace is BERTH_GC_GRACE), and these
/// by flags.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth serve                               with accounts; the first start says how to sign in
  berth serve --dev                         a registry for this machine, without any set-up
  berth serve --dev --ephemeral             the same, kept in memory only: for tests and CI
  berth serve --dev --listen 127.0.0.1:0    on a free port; <data>/run/*/addresses.json names it
  docker push 127.0.0.1:5050/my-project/my-repository/my-image")]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Let everybody on this machine do everything; projects and repositories appear on push.
    #[arg(long)]
    dev: bool,
    /// Keep everything in memory, and nothing when it ends.
    #[arg(long, requires = "dev")]
    ephemeral: bool,
    /// A host name or address to answer besides localhost and its like; may be repeated.
    #[arg(long, value_name = "NAME", requires = "dev")]
    dev_host: Vec<String>,
    /// Let --dev listen on addresses that other machines reach; --dev-host says by which names they may.
    #[arg(long, requires = "dev")]
    dev_unsafe_network: bool,
    /// Serve other machines without TLS: passwords and tokens then travel in the clear.
    #[arg(long, conflicts_with = "dev")]
    insecure_http: bool,
    /// Let the metadata server listen on addresses that other machines reach: whoever does is its account.
    #[arg(long)]
    metadata_unsafe_network: bool,
    /// Let --dev serve a folder that was started without it: everybody may then do everything with what is in it.
    #[arg(long, requires = "dev")]
    dev_with_accounts: bool,
    /// Start though master.key is missing or another one: new keys are made, and the log says what became void.
    #[arg(long, conflicts_with = "ephemeral")]
    new_master_key: bool,
    /// Where to serve the registry [default: 127.0.0.1:5050].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// Where to serve health and metrics, or off [default: 127.0.0.1:5051].
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<OpsListen>,
    /// sqlite, or a postgres:// URL [default: sqlite].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.settings()?;
        self.check(&config)?;
        let log = log::start(&config.log)?;
        descriptors::raise_limit();
        if let OpsListen::At(ops) = config.ops_listen
            && !ops.ip().is_loopback()
        {
            tracing::warn!(
                "{ops} can be reached by other machines, and tells everybody of health and traffic"
            );
        }
        /// Threads that hash and wait for disks: as many as keep them busy, not one for every upload.
        const BLOCKING_THREADS: usize = 64;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .context("cannot start threads")?;
        let served = runtime.block_on(self.serve(config));
        // Whatever still hashes or waits for a disk would be waited for. What was answered is on disk already.
        runtime.shutdown_background();
        log.flush();
        served.map(|()| ExitCode::SUCCESS)
    }

    fn settings(&self) -> anyhow::Result<Config> {
        let mut config = self.source.read()?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.ops_listen = self.ops_listen.unwrap_or(config.ops_listen);
        if let Some(database) = &self.database {
            config.database.clone_from(database);
        }
        Ok(config)
    }

    fn check(&self, config: &Config) -> anyhow::Result<()> {
        if let OpsListen::At(metadata) = config.metadata.listen
            && !metadata_server::is_near(metadata.ip())
            && !self.metadata_unsafe_network
        {
            bail!(
                "metadata.listen: {metadata} can be reached by other machines, and whoever reaches it is the \
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
                "{} can be reached by other machines, and passwords would travel in the clear; set tls.certificate \
                 and tls.key, or add --insecure-http where something in front encrypts",
                config.listen
            );
        }
        Ok(())
    }

    async fn serve(self, config: Config) -> anyhow::Result<()> {
        // Before anything is opened: a signal during the start must not be lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let kept = if self.ephemeral {
            "nothing: it ends with this process".to_owned()
        } else {
            config.data.display().to_string()
        };
        let lower = |name: &String| name.to_ascii_lowercase();
        let dev_hosts: Vec<_> = self.dev_host.iter().map(lower).collect();
        let (location, env) = (config.default_location.clone(), env_command(&config));
        let log_format = config.log.format;
        let server = Server::start(Setup {
            config,
            authenticate: if self.dev { Authenticate::Dev } else { Authenticate::accounts() },
            dev_hosts: self.dev.then(|| dev_hosts.clone()),
            ephemeral: self.ephemeral,
            clock: Arc::new(SystemClock),
            permits: Permits {
                new_master_key: self.new_master_key,
                dev_with_accounts: self.dev_with_accounts,
            },
        })
        .await?;
        match log_format {
            LogFormat::Text => {
                let mut text = Vec::new();
                banner(&mut text, (&server, &dev_hosts), (&kept, &location, &env))?;
                said(std::io::stdout(), text)?;
            }
            // What collects the log expects nothing but objects.
            LogFormat::Json => log_start(&server, &kept),
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: running requests may end");
        tokio::select! {
            () = server.stop() => {}
            // A second one means now; what was answered is on disk.
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}

/// Writes a line of the log that says what was started.
fn log_start(server: &Server, kept: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let url = server.origin.on_this_machine();
    let ops = server.ops.map_or_else(|| "off".to_owned(), |ops| ops.to_string());
    if let Some(FirstOwner { email, key_file, .. }) = &server.owner {
        let key_file = key_file.display();
        tracing::warn!(
            principal = email,
            "this is the first start: {email} owns everything, and its key is in {key_file}"
        );
    }
    tracing::info!(
        version,
        url,
        ops,
        data = kept,
        development = server.is_dev(),
        "Berth {version} serves {url}"
    );
}

/// What a server for everybody says of itself.
fn development(out: &mut impl Write, listen: SocketAddr, names: &[String]) -> std::io::Result<()> {
    let image = format!("{}/my-project/my-repository/my-image", reachable(listen));
    if listen.ip().is_loopback() {
        writeln!(out, "Development mode: everybody on this machine may do everything.\n")?;
    } else {
        writeln!(out, "Development mode: everybody who reaches this machine may do everything.")?;
        match names {
            [] => writeln!(
                out,
                "It answers localhost only; --dev-host NAME adds a name or an address.\n"
            )?,
            names => writeln!(out, "It answers localhost and {}.\n", names.join(", "))?,
        }
    }
    writeln!(out, "  docker tag IMAGE {image}")?;
    writeln!(out, "  docker push {image}")?;
    writeln!(out, "  docker pull {image}\n")
}

/// The command that points gcloud at this registry. It looks for it in the folder that it has by itself.
fn env_command(config: &Config) -> String {
    if config.data == Config::default().data {
        return "berth env".to_owned();
    }
    format!("berth env --data {}", word(&config.data.display().to_string()))
}

/// How whoever started it first signs in.
fn first_start(
    out: &mut impl Write,
    owner: &FirstOwner,
    (base, location, env): (&str, &str, &str),
) -> std::io::Result<()> {
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    let (key, project) = (word(&owner.key_file.display().to_string()), &owner.project);
    writeln!(out, "\nThis is the first start. {} owns everything; its key is in", owner.email)?;
    writeln!(out, "{key}: keep it safe, it is nowhere else. Next:\n")?;
    writeln!(out, "  eval \"$({env})\" && gcloud auth activate-service-account --key-file={key}")?;
    writeln!(
        out,
        "  gcloud artifacts repositories create my-repository --repository-format=docker --location={location} --project={project}"
    )?;
    writeln!(out, "  docker login --username _json_key --password-stdin {host} <{key}\n")
}

/// What was started, and the next commands to type.
fn banner(
    out: &mut impl Write,
    (server, names): (&Server, &[String]),
    (kept, location, env): (&str, &str, &str),
) -> std::io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if server.is_dev() {
        writeln!(out, "Berth {version} serves http://{}", reachable(server.listen))?;
        development(out, server.listen, names)?;
    } else {
        writeln!(out, "Berth {version} serves {}", server.origin.on_this_machine())?;
    }
    if let Some(owner) = &server.owner {
        first_start(out, owner, (&server.origin.on_this_machine(), location, env))?;
    }
    if let Some(ops) = server.ops.map(reachable) {
        writeln!(out, "Health and metrics: http://{ops}/readyz, http://{ops}/metrics")?;
    }
    writeln!(out, "Keeps in: {kept}")?;
    writeln!(out, "Stop it with Ctrl-C.")
}
