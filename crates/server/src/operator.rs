//! The operator's socket: takes one JSON object, and answers with one JSON object a line.
//!
//! Only the user that runs the server, and root, may send commands.

mod cleanup;
mod explain;
mod owner_key;
mod scrub;
mod secrets;
mod users;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use engine::{CleanupMode, GcMode, GcReport};
use identity::IdentityError;
use model::secret::MAX_SECRET_BYTES;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use web::audit::AuditCode;

pub(crate) use cleanup::{CleanedLine, CleanupProgress};
pub(crate) use explain::{ExplainAnswer, UpstreamLine};
pub(crate) use owner_key::NewOwnerKey;
pub(crate) use scrub::ScrubAnswer;
pub(crate) use secrets::{ListedSecret, ListedVersion, SecretsAnswer, SecretsCommand, SentValue};
pub(crate) use users::{ListedSession, ListedUser, PrintedLink, UsersAnswer, UsersCommand};

use crate::jobs::JobContext;
use crate::listen::accept_or_pause;

/// A command of the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum OperatorCommand {
    /// Collects content that nothing refers to.
    Gc {
        /// True if nothing is deleted, and only the report made.
        dry_run: bool,
    },
    /// Applies the cleanup policies of a repository.
    Cleanup {
        /// The repository's resource name.
        repository: String,
        /// True if nothing is deleted, and only the report made.
        dry_run: bool,
    },
    /// Explains which upstream of a virtual repository answers a pull.
    Explain {
        /// The repository's resource name.
        repository: String,
        /// The image: IMAGE, IMAGE:TAG or IMAGE@DIGEST.
        image: String,
    },
    /// Makes a new key for the account that owns everything.
    OwnerKey {
        /// The URL by which clients reach the server, if the server does not know it.
        url: Option<String>,
    },
    /// Reads every copy, and checks its bytes.
    Scrub {
        /// The bytes to read in a second; 0 is without a limit.
        rate: u64,
    },
    /// Adds, lists, changes or deletes secrets.
    Secrets {
        /// The command.
        action: SecretsCommand,
    },
    /// Adds, lists, disables, enables or signs out people.
    Users {
        /// The command.
        action: UsersCommand,
    },
}

/// One line of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProgressLine<T> {
    /// A report while the command runs.
    Progress(T),
    /// The last report: the command is done.
    Done(T),
    /// The error that ended the command.
    Error(String),
}

/// The counts of a collection so far: of deleted content, or in a dry run of content that would be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CollectionReport {
    /// Reviews that were due.
    pub reviewed: u64,
    /// Blobs taken from a repository that no longer needs them.
    pub links: u64,
    /// Blobs that no repository holds any more.
    pub blobs: u64,
    /// Manifests that no image holds any more.
    pub manifests: u64,
    /// Uploads that expired.
    pub uploads: u64,
    /// Files deleted from the trash.
    pub files: u64,
    /// Bytes taken from repositories.
    pub bytes: u64,
    /// True if another process is collecting, so that this one did nothing.
    pub busy: bool,
    /// True if a dry run does not know yet which blobs repositories no longer need: manifests of an older release are
    /// still being read.
    #[serde(default)]
    pub links_unknown: bool,
}

impl From<GcReport> for CollectionReport {
    fn from(report: GcReport) -> Self {
        let GcReport {
            reviewed,
            links,
            blobs,
            manifests,
            uploads,
            files,
            bytes,
            busy,
            links_unknown,
        } = report;
        Self { reviewed, links, blobs, manifests, uploads, files, bytes, busy, links_unknown }
    }
}

/// Opens the socket. The returned future answers on it, for as long as it runs.
pub(crate) fn listen(
    path: &Path,
    context: JobContext,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot open the operator's socket {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(async move {
        loop {
            let Some((stream, _)) = accept_or_pause(listener.accept()).await else { continue };
            if is_operator(&stream) {
                tokio::spawn(answer(stream, context.clone()));
            } else {
                tracing::warn!(
                    "a program of another user connected to the operator's socket, and was refused"
                );
            }
        }
    })
}

fn is_operator(stream: &UnixStream) -> bool {
    let own_user = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own_user || peer.uid() == 0)
}

/// The most bytes of a command. The longest one has a secret's value, whose characters take up to two bytes each in JSON.
const MAX_COMMAND_BYTES: u64 = 2 * MAX_SECRET_BYTES as u64 + (8 << 10);

async fn answer(stream: UnixStream, context: JobContext) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let read = BufReader::new(read.take(MAX_COMMAND_BYTES)).read_line(&mut line).await;
    if read.is_err() || line.is_empty() {
        return;
    }
    match serde_json::from_str(&line) {
        Ok(OperatorCommand::Gc { dry_run }) => {
            let mode = if dry_run { GcMode::DryRun } else { GcMode::Collect };
            answer_gc(&mut write, context, mode).await;
        }
        Ok(OperatorCommand::Cleanup { repository, dry_run }) => {
            let mode = if dry_run { CleanupMode::DryRun } else { CleanupMode::Clean };
            cleanup::answer(&mut write, &context, &repository, mode).await;
        }
        Ok(OperatorCommand::Explain { repository, image }) => {
            let line = explain::explain(&context.app, &repository, &image).await;
            let _ = send(&mut write, &line).await;
        }
        Ok(OperatorCommand::OwnerKey { url }) => {
            let line = match owner_key::make(&context.app, url).await {
                Ok(made) => ProgressLine::Done(made),
                Err(error) => ProgressLine::Error(format!("{error:#}")),
            };
            let _ = send(&mut write, &line).await;
        }
        Ok(OperatorCommand::Scrub { rate }) => scrub::answer(&mut write, context, rate).await,
        Ok(OperatorCommand::Secrets { action }) => {
            let done = secrets::run(&context.app, action).await;
            let line = done.map_or_else(ProgressLine::Error, ProgressLine::Done);
            let _ = send(&mut write, &line).await;
        }
        Ok(OperatorCommand::Users { action }) => {
            let done = users::run(&context.app, action).await;
            let line = done.map_or_else(ProgressLine::Error, ProgressLine::Done);
            let _ = send(&mut write, &line).await;
        }
        Err(error) => {
            let problem = format!("this server does not know the command: {error}");
            let _ = send(&mut write, &ProgressLine::<()>::Error(problem)).await;
        }
    }
}

async fn answer_gc(write: &mut OwnedWriteHalf, context: JobContext, mode: GcMode) {
    let (lines, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let last = collect(&context, mode, &lines).await;
        let _ = lines.send(last);
    });
    // An operator who leaves does not stop the work.
    while let Some(line) = queue.recv().await {
        if send(write, &line).await.is_err() {
            return;
        }
    }
}

async fn send<T: Serialize>(write: &mut OwnedWriteHalf, line: &ProgressLine<T>) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await
}

async fn collect(
    context: &JobContext,
    mode: GcMode,
    lines: &mpsc::UnboundedSender<ProgressLine<CollectionReport>>,
) -> ProgressLine<CollectionReport> {
    let (app, progress) = (&context.app, lines.clone());
    let collected = app
        .engine
        .collect(mode, move |report| {
            let _ = progress.send(ProgressLine::Progress((*report).into()));
            context.unless_stopping()
        })
        .await;
    match collected {
        Ok(report) => {
            if mode == GcMode::Collect {
                app.metrics.files_collected(report.files, report.bytes);
            }
            ProgressLine::Done(report.into())
        }
        Err(error) => ProgressLine::Error(error.to_string()),
    }
}

/// Returns the code of an error in the audit log.
fn audit_code(error: &IdentityError) -> AuditCode {
    match error {
        IdentityError::InvalidArgument { .. } => AuditCode::InvalidArgument,
        IdentityError::ResourceUnknown(_) => AuditCode::NotFound,
        IdentityError::Precondition(_) => AuditCode::FailedPrecondition,
        IdentityError::AlreadyExists(_) => AuditCode::AlreadyExists,
        IdentityError::Conflict(_) => AuditCode::Aborted,
        IdentityError::Denied { .. }
        | IdentityError::InsufficientOauthScopes
        | IdentityError::Credential(_)
        | IdentityError::Database(_)
        | IdentityError::Internal(_) => AuditCode::Internal,
    }
}
