//! The registry that a remote repository fetches from, and the credentials with which it is asked.
//!
//! A repository may use the secrets of its own project, and another one that somebody named for it who may read that
//! one. The row of that (`meta::secrets::SecretUse`) is written with the settings. Settings without it were stored by a
//! release that asked nobody, and have no credentials that can be used.

use std::sync::Arc;

use meta::{Id, MetaError, Tx, repositories, secrets};
use model::remote_rules::RemoteRules;
use model::upstream_credentials::UpstreamCredentials;

/// Another registry that a remote repository fetches from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteRegistry {
    /// The URL of the registry.
    pub(crate) url: Arc<str>,
    pub(crate) login: RegistryLogin,
    /// The rules by which images are served and the registry is asked.
    pub(crate) rules: RemoteRules,
}

/// The way in which a remote repository identifies itself to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RegistryLogin {
    /// Without credentials.
    Anonymous,
    /// With credentials that the repository may use.
    Credentials(UpstreamCredentials),
    /// Not at all: nobody has checked whether the repository may use its credentials.
    Unchecked,
}

impl RemoteRegistry {
    /// Reads with which credentials a repository asks the registry at `url`.
    pub(crate) fn read(tx: &mut Tx<'_>, repository: &Id, url: String) -> Result<Self, MetaError> {
        let settings = repositories::find_settings(tx, repository)?.unwrap_or_default();
        let login = match UpstreamCredentials::parse(&settings) {
            Ok(None) => RegistryLogin::Anonymous,
            Ok(Some(credentials)) => match secrets::find_use(tx, repository)? {
                Some(used) if credentials.secret.is_version_of(&used.secret) => {
                    RegistryLogin::Credentials(credentials)
                }
                Some(_) | None => RegistryLogin::Unchecked,
            },
            // An older release stored whatever it was sent.
            Err(_) => RegistryLogin::Unchecked,
        };
        let rules = repositories::find_remote_rules(tx, repository)?.unwrap_or_default();
        Ok(Self { url: url.into(), login, rules })
    }
}
