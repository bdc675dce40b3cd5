//! The operator's commands for secrets: passwords of other registries. A value comes in, and never goes out.

use std::fmt;

use super::audit_code;
use identity::{
    AuthorizationMode, Identity, IdentityError, NewSecretVersion, OPERATOR_PRINCIPAL,
    SecretSummary, SecretVersionSummary,
};
use model::name::ProjectId;
use model::secret::{RegistryOrigin, SecretError, SecretName, SecretValue, SecretVersionName};
use serde::{Deserialize, Serialize};
use web::app::App;
use web::audit::{AuditCode, UnrequestedChange};
use web::auth::Authenticator;

/// A command about secrets. Names are parsed by the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretsCommand {
    /// Adds a version to a secret, or creates the secret.
    Add {
        /// The name of the secret.
        secret: String,
        /// The origin of the registry that the secret is for.
        origin: Option<String>,
        /// The value.
        value: SentValue,
    },
    /// Lists secrets.
    List {
        /// The project, or `None` for all.
        project: Option<String>,
    },
    /// Enables or disables a version.
    SetEnabled {
        /// The name of the version.
        version: String,
        /// False to disable the version.
        enabled: bool,
    },
    /// Deletes a version, or a secret with all versions.
    Delete {
        /// The name of the version or secret.
        name: String,
    },
}

/// The value of a secret on its way through the socket. `Debug` does not show it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SentValue(pub(crate) String);

impl fmt::Debug for SentValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentValue")
    }
}

/// The answer to a command about secrets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretsAnswer {
    /// The name of the version that was added.
    Added(String),
    /// The secrets, in the order of their names.
    Listed(Vec<ListedSecret>),
    /// The names of the repositories that use the secret that was changed.
    Changed(Vec<String>),
}

/// A secret in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedSecret {
    /// The name of the secret.
    pub name: String,
    /// The origin of the registry that the secret is for.
    pub origin: String,
    /// The versions, the oldest first.
    pub versions: Vec<ListedVersion>,
    /// The names of the repositories that use the secret.
    pub used_by: Vec<String>,
}

/// A version of a secret in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedVersion {
    /// The number of the version.
    pub number: i64,
    /// False if the version may not be used.
    pub enabled: bool,
    /// The time of its creation in microseconds since 1970.
    pub created_at: i64,
}

impl From<SecretSummary> for ListedSecret {
    fn from(summary: SecretSummary) -> Self {
        let version = |version: SecretVersionSummary| {
            let SecretVersionSummary { number, enabled, created_at } = version;
            ListedVersion { number, enabled, created_at }
        };
        Self {
            name: summary.name.to_string(),
            origin: summary.origin,
            versions: summary.versions.into_iter().map(version).collect(),
            used_by: summary.used_by.iter().map(ToString::to_string).collect(),
        }
    }
}

impl SecretsCommand {
    /// Returns what the audit log records of the command; `None` for a command that changes nothing.
    fn audited(&self) -> Option<AuditedCommand> {
        let (method, resource) = match self {
            Self::Add { secret, .. } => ("AddSecretVersion", secret),
            Self::SetEnabled { version, enabled: true } => ("EnableSecretVersion", version),
            Self::SetEnabled { version, enabled: false } => ("DisableSecretVersion", version),
            Self::Delete { name } if name.contains("/versions/") => ("DestroySecretVersion", name),
            Self::Delete { name } => ("DeleteSecret", name),
            Self::List { .. } => return None,
        };
        Some(AuditedCommand { method, resource: resource.clone() })
    }
}

/// The facts of a command that the audit log records.
struct AuditedCommand {
    /// The method of Secret Manager that does the same.
    method: &'static str,
    resource: String,
}

/// Carries a command out, and records changes in the audit log.
pub(super) async fn run(app: &App, command: SecretsCommand) -> Result<SecretsAnswer, String> {
    let audited = command.audited();
    let mode = match app.authenticate {
        Authenticator::Dev => AuthorizationMode::Everything,
        Authenticator::Accounts(_) => AuthorizationMode::Policies,
    };
    let answer = carry_out(app.engine.identity(), command, mode).await;
    if let Some(AuditedCommand { method, resource }) = audited {
        let (code, problem) = match &answer {
            Ok(_) => (AuditCode::Ok, String::new()),
            Err(error) => (audit_code(error), error.to_string()),
        };
        let resource = match &answer {
            Ok(SecretsAnswer::Added(version)) => version,
            _ => &resource,
        };
        let method = format!("google.cloud.secretmanager.v1.SecretManagerService.{method}");
        let change = UnrequestedChange { principal: OPERATOR_PRINCIPAL, method: &method, resource };
        app.audit.record_unrequested(change, code, &problem);
    }
    answer.map_err(|error| error.to_string())
}

async fn carry_out(
    identity: &Identity,
    command: SecretsCommand,
    mode: AuthorizationMode,
) -> Result<SecretsAnswer, IdentityError> {
    match command {
        SecretsCommand::Add { secret, origin, value } => {
            let origin = origin.map(|origin| origin.parse::<RegistryOrigin>()).transpose();
            let new = NewSecretVersion {
                secret: parse(&secret)?,
                origin: origin.map_err(|error| invalid("origin", &error))?,
                value: SecretValue::new(value.0).map_err(|error| invalid("value", &error))?,
            };
            let added = identity.add_secret_version(new, mode).await?;
            Ok(SecretsAnswer::Added(added.to_string()))
        }
        SecretsCommand::List { project } => {
            let project = project.map(|project| project.parse::<ProjectId>()).transpose();
            let project = project.map_err(|error| IdentityError::InvalidArgument {
                field: "project",
                problem: error.to_string(),
            })?;
            let listed = identity.list_secrets(project.as_ref()).await?;
            Ok(SecretsAnswer::Listed(listed.into_iter().map(ListedSecret::from).collect()))
        }
        SecretsCommand::SetEnabled { version, enabled } => {
            let version: SecretVersionName = parse(&version)?;
            identity.set_secret_enabled(&version, enabled).await?;
            users(identity, &version.secret).await
        }
        SecretsCommand::Delete { name } if name.contains("/versions/") => {
            let version: SecretVersionName = parse(&name)?;
            identity.delete_secret_version(&version).await?;
            users(identity, &version.secret).await
        }
        SecretsCommand::Delete { name } => {
            let name: SecretName = parse(&name)?;
            identity.delete_secret(&name).await?;
            users(identity, &name).await
        }
    }
}

async fn users(identity: &Identity, secret: &SecretName) -> Result<SecretsAnswer, IdentityError> {
    let users = identity.list_secret_users(secret).await?;
    Ok(SecretsAnswer::Changed(users.iter().map(ToString::to_string).collect()))
}

fn parse<T: std::str::FromStr<Err = SecretError>>(name: &str) -> Result<T, IdentityError> {
    name.parse().map_err(|error| invalid("name", &error))
}

fn invalid(field: &'static str, error: &SecretError) -> IdentityError {
    IdentityError::InvalidArgument { field, problem: error.to_string() }
}
