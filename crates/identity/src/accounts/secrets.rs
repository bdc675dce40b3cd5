//! Secrets: passwords of other registries, which are sealed in the database. The operator adds values and cannot read
//! them back. They are opened for the requests of remote repositories alone.

use meta::change_way::ChangeWay;
use meta::events::{self, AuditEvent, EventAction};
use meta::secrets::{self, SealedSecret, SecretRow, SecretVersionRow};
use meta::{Id, Tx, projects};
use model::name::{ProjectId, RepositoryName};
use model::secret::{RegistryOrigin, SecretName, SecretValue, SecretVersion, SecretVersionName};

use crate::accounts::first_owner::OPERATOR_PRINCIPAL;
use crate::caller::AuthorizationMode;
use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;

/// The most versions that a secret has at once.
const MAX_VERSIONS: usize = 100;
/// The most secrets that are read at once.
const SECRETS_PER_READ: i64 = 10;
/// The most repositories that are shown as users of a secret.
const MAX_USERS: i64 = 100;

/// A value that is to be added to a secret.
#[derive(Debug, Clone)]
pub struct NewSecretVersion {
    /// The secret, which is created if it is not there.
    pub secret: SecretName,
    /// The registry that the secret is for. A secret keeps it, so that later versions need not repeat it.
    pub origin: Option<RegistryOrigin>,
    /// The value.
    pub value: SecretValue,
}

/// A secret as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSummary {
    /// The name of the secret.
    pub name: SecretName,
    /// The origin of the registry that the secret is for.
    pub origin: String,
    /// The versions, the oldest first.
    pub versions: Vec<SecretVersionSummary>,
    /// The repositories that use the secret.
    pub used_by: Vec<RepositoryName>,
}

/// A version of a secret as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretVersionSummary {
    /// The number of the version.
    pub number: i64,
    /// False if the version may not be used.
    pub enabled: bool,
    /// The time of its creation.
    pub created_at: Micros,
}

/// The value of a secret, for one request.
#[derive(Debug, Clone)]
pub struct OpenedSecret {
    /// The id of the version: no other version of any secret has it, now or later.
    pub id: String,
    /// The value.
    pub value: SecretValue,
}

/// The reason why a version of a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretUnusable {
    /// There is no such secret, or no such version of it.
    #[error("{0} does not exist")]
    Unknown(SecretVersionName),
    /// The version is disabled.
    #[error("{0} is disabled")]
    Disabled(SecretVersionName),
    /// The secret is for another registry.
    #[error("{secret} is for {origin}, and not for this upstream")]
    OtherOrigin {
        /// The secret.
        secret: SecretVersionName,
        /// The origin that the secret is for.
        origin: String,
    },
    /// The master key does not open the value.
    #[error("{0} cannot be opened with the master key")]
    Sealed(SecretVersionName),
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

impl Identity {
    /// Adds a version to a secret, and creates the secret with its first version. In development mode, it may be the
    /// first thing in its project.
    ///
    /// # Errors
    /// Fails if the project does not exist, if the origin is missing or another one than before, and if the secret has
    /// too many versions.
    pub async fn add_secret_version(
        &self,
        new: NewSecretVersion,
        mode: AuthorizationMode,
    ) -> Result<SecretVersionName, IdentityError> {
        let (identity, now) = (self.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let NewSecretVersion { secret: name, origin, value } = &new;
            check_project(tx, &name.project, mode, now)?;
            let secret = find_or_create(tx, name, origin.as_ref(), now)?;
            if secrets::list_versions(tx, &secret.id)?.len() >= MAX_VERSIONS {
                let problem = format!("{name} has {MAX_VERSIONS} versions: delete some first");
                return Err(IdentityError::Precondition(problem));
            }
            let number = secret.last_version + 1;
            let sealed =
                identity.master.seal(&seal_owner(&secret, number), value.expose().as_bytes());
            let row =
                SecretVersionRow { number, sealed_value: sealed?, enabled: true, created_at: now };
            secrets::insert_version(tx, &secret.id, &row)?;
            let version = name.version(SecretVersion::Number(number));
            record(tx, EventAction::AddSecretVersion, &version.to_string(), now)?;
            Ok(version)
        });
        writing.await
    }

    /// Lists the secrets of a project, or of all projects.
    pub async fn list_secrets(
        &self,
        project: Option<&ProjectId>,
    ) -> Result<Vec<SecretSummary>, IdentityError> {
        let (mut found, mut last) = (Vec::<SecretSummary>::new(), None::<SecretName>);
        loop {
            let (project, after) = (project.cloned(), last.clone());
            let page = self
                .read(move |tx| {
                    let (begin, secret) = match (&after, &project) {
                        (Some(last), _) => (last.project.as_str(), last.secret()),
                        (None, Some(project)) => (project.as_str(), ""),
                        (None, None) => ("", ""),
                    };
                    let mut rows = secrets::list(tx, begin, secret, SECRETS_PER_READ)?;
                    rows.retain(|row| project.as_ref().is_none_or(|of| row.name.project == *of));
                    rows.iter().map(|row| summary(tx, row)).collect::<Result<Vec<_>, _>>()
                })
                .await?;
            let is_last = page.len() < SECRETS_PER_READ as usize;
            last = page.last().map(|summary| summary.name.clone());
            found.extend(page);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Lists repositories that name a secret, which need not be there any more.
    pub async fn list_secret_users(
        &self,
        secret: &SecretName,
    ) -> Result<Vec<RepositoryName>, IdentityError> {
        let secret = secret.clone();
        self.read(move |tx| Ok(secrets::list_users(tx, &secret, MAX_USERS)?)).await
    }

    /// Enables or disables a version of a secret.
    ///
    /// # Errors
    /// Fails if there is no such version, or if the name does not have its number.
    pub async fn set_secret_enabled(
        &self,
        version: &SecretVersionName,
        enabled: bool,
    ) -> Result<(), IdentityError> {
        let action = match enabled {
            true => EventAction::EnableSecretVersion,
            false => EventAction::DisableSecretVersion,
        };
        self.change_version(version, action, move |tx, secret, number| {
            Ok(secrets::set_enabled(tx, secret, number, enabled)?)
        })
        .await
    }

    /// Deletes a version of a secret.
    ///
    /// # Errors
    /// Fails as [`Identity::set_secret_enabled`] does.
    pub async fn delete_secret_version(
        &self,
        version: &SecretVersionName,
    ) -> Result<(), IdentityError> {
        self.change_version(version, EventAction::DeleteSecretVersion, |tx, secret, number| {
            Ok(secrets::delete_version(tx, secret, number)?)
        })
        .await
    }

    /// Changes one version. `change` returns how many versions it changed.
    async fn change_version(
        &self,
        version: &SecretVersionName,
        action: EventAction,
        change: impl Fn(&mut Tx<'_>, &Id, i64) -> Result<u64, IdentityError> + Send + 'static,
    ) -> Result<(), IdentityError> {
        let SecretVersion::Number(number) = version.version else {
            return Err(IdentityError::invalid("version", "a number is needed here, not latest"));
        };
        let (version, now) = (version.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let unknown = || IdentityError::ResourceUnknown(version.to_string());
            let secret = secrets::find(tx, &version.secret)?.ok_or_else(unknown)?;
            if change(tx, &secret.id, number)? == 0 {
                return Err(unknown());
            }
            record(tx, action, &version.to_string(), now)
        });
        writing.await
    }

    /// Deletes a secret with all its versions. Repositories that use it go on serving what they have.
    ///
    /// # Errors
    /// Fails if there is no such secret.
    pub async fn delete_secret(&self, name: &SecretName) -> Result<(), IdentityError> {
        let (name, now) = (name.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let secret = secrets::find(tx, &name)?
                .ok_or_else(|| IdentityError::ResourceUnknown(name.to_string()))?;
            secrets::delete(tx, &secret.id)?;
            record(tx, EventAction::DeleteSecret, &name.to_string(), now)
        });
        writing.await
    }

    /// Returns the value of a secret for a request to the registry at `origin`.
    ///
    /// # Errors
    /// Fails if there is no such version, if it is disabled, and if the secret is for another registry.
    pub async fn open_secret(
        &self,
        version: &SecretVersionName,
        origin: Option<&RegistryOrigin>,
    ) -> Result<OpenedSecret, SecretUnusable> {
        let name = version.clone();
        let found = self.read_by_key(move |tx| {
            let Some(secret) = secrets::find(tx, &name.secret)? else { return Ok(None) };
            let version = secrets::find_version(tx, &secret.id, name.version)?;
            Ok(version.map(|version| SealedSecret { secret, version }))
        });
        let found = found.await?.ok_or_else(|| SecretUnusable::Unknown(version.clone()))?;
        if !found.version.enabled {
            return Err(SecretUnusable::Disabled(version.clone()));
        }
        if origin.map(RegistryOrigin::as_str) != Some(found.secret.origin.as_str()) {
            let (secret, origin) = (version.clone(), found.secret.origin);
            return Err(SecretUnusable::OtherOrigin { secret, origin });
        }
        let sealed = || SecretUnusable::Sealed(version.clone());
        let value = self.open_sealed(&found).ok_or_else(sealed)?;
        let id = format!("{}/{}", found.secret.id, found.version.number);
        Ok(OpenedSecret { id, value })
    }

    /// Returns the value of a version, or `None` if the master key does not open it.
    pub(crate) fn open_sealed(&self, found: &SealedSecret) -> Option<SecretValue> {
        let owner = seal_owner(&found.secret, found.version.number);
        let value = self.master.open(&owner, &found.version.sealed_value).ok()?;
        SecretValue::new(String::from_utf8(value).ok()?).ok()
    }
}

/// Returns the text that a value is sealed with: it opens for this version and this origin alone.
fn seal_owner(secret: &SecretRow, number: i64) -> String {
    format!("secret {}/{number} for {}", secret.id, secret.origin)
}

fn summary(tx: &mut Tx<'_>, row: &SecretRow) -> Result<SecretSummary, IdentityError> {
    let versions = secrets::list_versions(tx, &row.id)?;
    let versions = versions.iter().map(|version| SecretVersionSummary {
        number: version.number,
        enabled: version.enabled,
        created_at: version.created_at,
    });
    Ok(SecretSummary {
        name: row.name.clone(),
        origin: row.origin.clone(),
        versions: versions.collect(),
        used_by: secrets::list_users(tx, &row.name, MAX_USERS)?,
    })
}

fn check_project(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    mode: AuthorizationMode,
    now: Micros,
) -> Result<(), IdentityError> {
    match mode {
        AuthorizationMode::Everything => Ok(projects::ensure(tx, project.as_str(), now)?),
        AuthorizationMode::Policies => {
            let found = projects::find(tx, project.as_str())?.filter(|project| project.active);
            let unknown = || IdentityError::ResourceUnknown(format!("Project {project}"));
            found.map(drop).ok_or_else(unknown)
        }
    }
}

/// Returns the secret, which is created if it is not there.
fn find_or_create(
    tx: &mut Tx<'_>,
    name: &SecretName,
    origin: Option<&RegistryOrigin>,
    now: Micros,
) -> Result<SecretRow, IdentityError> {
    match (secrets::find(tx, name)?, origin) {
        (Some(secret), Some(origin)) if secret.origin != origin.as_str() => {
            let problem = format!(
                "{name} is for {}, and a secret keeps its origin: delete it first, or add another one",
                secret.origin
            );
            Err(IdentityError::Precondition(problem))
        }
        (Some(secret), _) => Ok(secret),
        (None, Some(origin)) => {
            let secret = SecretRow {
                id: Id::new(),
                name: name.clone(),
                origin: origin.to_string(),
                last_version: 0,
                created_at: now,
            };
            secrets::insert(tx, &secret)?;
            Ok(secret)
        }
        (None, None) => {
            let problem = "a new secret needs the registry that it is for: --origin https://HOST";
            Err(IdentityError::invalid("origin", problem))
        }
    }
}

fn record(
    tx: &mut Tx<'_>,
    action: EventAction,
    resource: &str,
    now: Micros,
) -> Result<(), IdentityError> {
    let event = AuditEvent {
        action,
        principal: OPERATOR_PRINCIPAL.to_owned(),
        resource: resource.to_owned(),
        tag: None,
        digest: None,
        occurred_at: now,
        way: ChangeWay::Operator,
        place: None,
    };
    Ok(events::insert(tx, &event)?)
}
