//! The credentials of a remote repository in an update.
//!
//! Credentials never go to another registry than the one that they were set for: an update of the upstream's URL alone
//! clears them.

use model::repository::DOCKER_HUB;
use model::secret::RegistryOrigin;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::docker_repository::{
    PublicRepository, Upstream,
};
use proto::google::devtools::artifactregistry::v1::remote_repository_config::RemoteSource;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::UpstreamCredentials;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::upstream_credentials::{
    Credentials, UsernamePasswordCredentials,
};
use proto::google::devtools::artifactregistry::v1::repository::ModeConfig;
use proto::google::devtools::artifactregistry::v1::{RemoteRepositoryConfig, Repository};

use super::repository_message::UpdateMask;

/// The path of the credentials in a mask.
const CREDENTIALS: &str = "remote_repository_config.upstream_credentials";

/// Returns the updated repository, with the credentials that a remote one has from now on: those of before, unless the mask
/// names them or the upstream is another registry.
pub(super) fn update_credentials(
    before: &Repository,
    mut updated: Repository,
    mask: &UpdateMask,
) -> Repository {
    let is_in_parts = mask.changes_mode_config() && !mask.is_all();
    if let Some(ModeConfig::RemoteRepositoryConfig(current)) = &before.mode_config
        && is_in_parts
        && !mask.names("remote_repository_config")
    {
        let new = match updated.mode_config.take() {
            Some(ModeConfig::RemoteRepositoryConfig(new)) => new,
            Some(ModeConfig::VirtualRepositoryConfig(_)) | None => Default::default(),
        };
        let new = with_credentials(current.clone(), new, mask);
        updated.mode_config = Some(ModeConfig::RemoteRepositoryConfig(new));
    }
    without_empty_credentials(updated)
}

/// Returns the updated configuration with the credentials that it has from now on.
fn with_credentials(
    current: RemoteRepositoryConfig,
    mut updated: RemoteRepositoryConfig,
    mask: &UpdateMask,
) -> RemoteRepositoryConfig {
    if mask.names_within(CREDENTIALS) {
        updated.upstream_credentials =
            merge_credentials(current.upstream_credentials, updated.upstream_credentials, mask);
    } else if origin(&updated) != origin(&current) {
        updated.upstream_credentials = None;
    }
    updated
}

/// Returns the new credentials. gcloud names the user name and the secret each by itself.
fn merge_credentials(
    current: Option<UpstreamCredentials>,
    new: Option<UpstreamCredentials>,
    mask: &UpdateMask,
) -> Option<UpstreamCredentials> {
    let password = format!("{CREDENTIALS}.username_password_credentials");
    if mask.names(CREDENTIALS) || mask.names(&password) {
        return new;
    }
    let (mut merged, new) = (password_of(current), password_of(new));
    if mask.names(&format!("{password}.username")) {
        merged.username = new.username;
    }
    if mask.names(&format!("{password}.password_secret_version")) {
        merged.password_secret_version = new.password_secret_version;
    }
    let credentials = Some(Credentials::UsernamePasswordCredentials(merged));
    Some(UpstreamCredentials { credentials })
}

fn password_of(credentials: Option<UpstreamCredentials>) -> UsernamePasswordCredentials {
    match credentials.and_then(|found| found.credentials) {
        Some(Credentials::UsernamePasswordCredentials(password)) => password,
        None => UsernamePasswordCredentials::default(),
    }
}

/// Returns the repository, without credentials that have neither a user name nor a secret.
pub(super) fn without_empty_credentials(mut repository: Repository) -> Repository {
    if let Some(ModeConfig::RemoteRepositoryConfig(config)) = &mut repository.mode_config {
        let login = password_of(config.upstream_credentials.clone());
        if login == UsernamePasswordCredentials::default() {
            config.upstream_credentials = None;
        }
    }
    repository
}

/// Returns the origin of the upstream, unless the upstream is no URL.
fn origin(config: &RemoteRepositoryConfig) -> Option<RegistryOrigin> {
    let url = match config.remote_source.as_ref()? {
        RemoteSource::CommonRepository(common) => &common.uri,
        RemoteSource::DockerRepository(docker) => match docker.upstream.as_ref()? {
            Upstream::PublicRepository(public) => {
                return (*public == PublicRepository::DockerHub as i32)
                    .then(|| RegistryOrigin::of_url(DOCKER_HUB))
                    .flatten();
            }
            Upstream::CustomRepository(custom) => &custom.uri,
            Upstream::ArtifactRegistryRepository(_) => return None,
        },
    };
    RegistryOrigin::of_url(url)
}
