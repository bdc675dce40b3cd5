//! The credentials with which a remote repository asks another registry: the check when they are set, and the password
//! for each fetch.

use identity::SecretUnusable;
use meta::secrets::{self, SecretUse};
use meta::{Id, Tx, repositories};
use model::name::RepositoryName;
use model::secret::{RegistryOrigin, SecretName, SecretVersionName};
use model::upstream_credentials::{CREDENTIALS_FIELD, UpstreamCredentials};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_registry::{RegistryLogin, RemoteRegistry};
use crate::upstream_registry::{RegistryCredentials, UpstreamProblem, UpstreamProblemKind};

impl Engine {
    /// Returns the credentials for a request to a registry, or `None` if it is asked without.
    ///
    /// # Errors
    /// Fails if the secret cannot be used any more. The reason goes to the log: those who pull need not know it.
    pub(crate) async fn registry_credentials(
        &self,
        registry: &RemoteRegistry,
    ) -> Result<Option<RegistryCredentials>, UpstreamProblem> {
        let url = &registry.url;
        let problem = |text| UpstreamProblem::new(url, UpstreamProblemKind::Credentials, text);
        let UpstreamCredentials { username, secret } = match &registry.login {
            RegistryLogin::Anonymous => return Ok(None),
            RegistryLogin::Credentials(credentials) => credentials.clone(),
            RegistryLogin::Unchecked => {
                let text =
                    "is not asked: an older release stored the credentials for it; set them again";
                return Err(problem(text));
            }
        };
        let origin = RegistryOrigin::of_url(url);
        match self.identity.open_secret(&secret, origin.as_ref()).await {
            Ok(opened) => {
                let (id, password) = (opened.id, opened.value);
                Ok(Some(RegistryCredentials { id, username, password }))
            }
            Err(SecretUnusable::Failed(error)) => {
                tracing::warn!(%error, "the credentials for {url} could not be read: {error}");
                let text = "is not asked now: the credentials for it could not be read";
                Err(UpstreamProblem::new(url, UpstreamProblemKind::NotStored, text))
            }
            Err(error) => {
                tracing::warn!(%error, "the credentials for {url} are not available: {error}");
                Err(problem("is not asked: the credentials for it are not available"))
            }
        }
    }

    /// Returns whether a repository already uses a secret, so that its settings may go on naming it.
    pub async fn uses_secret(
        &self,
        repository: &RepositoryName,
        secret: &SecretName,
    ) -> Result<bool, EngineError> {
        let (repository, secret) = (repository.clone(), secret.clone());
        self.read(move |tx| {
            let Some(row) = repositories::find(tx, &repository)? else { return Ok(false) };
            Ok(secrets::find_use(tx, &row.id)?.is_some_and(|used| used.is_of(&secret)))
        })
        .await
    }

    /// Checks that a secret can be used for the upstream at `url`.
    ///
    /// # Errors
    /// Fails if there is no such version, if it is disabled, and if the secret is for another registry.
    pub async fn check_secret(
        &self,
        secret: &SecretVersionName,
        url: &str,
    ) -> Result<(), EngineError> {
        let origin = RegistryOrigin::of_url(url);
        match self.identity.open_secret(secret, origin.as_ref()).await {
            Ok(_) => Ok(()),
            Err(SecretUnusable::Failed(error)) => Err(error.into()),
            Err(error @ (SecretUnusable::Disabled(_) | SecretUnusable::Sealed(_))) => {
                Err(EngineError::Precondition(error.to_string()))
            }
            Err(error @ (SecretUnusable::Unknown(_) | SecretUnusable::OtherOrigin { .. })) => {
                let problem = format!("{error}; the operator adds secrets with berth secrets add");
                Err(EngineError::invalid(CREDENTIALS_FIELD, problem))
            }
        }
    }
}

/// Makes the row of the secret that a repository uses agree with its settings. If the secret stays, so does the row.
pub(crate) fn store_secret_use(
    tx: &mut Tx<'_>,
    repository: &Id,
    secret: Option<&SecretName>,
    added_by: &str,
    now: i64,
) -> Result<(), EngineError> {
    let Some(secret) = secret else {
        secrets::delete_use(tx, repository)?;
        return Ok(());
    };
    if secrets::find_use(tx, repository)?.is_some_and(|used| used.is_of(secret)) {
        return Ok(());
    }
    let (secret, added_by) = (secret.clone(), added_by.to_owned());
    Ok(secrets::set_use(tx, repository, &SecretUse { secret, added_by, added_at: now })?)
}
