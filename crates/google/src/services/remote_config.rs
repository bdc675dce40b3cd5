//! The configuration of a remote repository in an update: the parts that the mask names are replaced.
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

/// Returns the updated repository. Of the configuration of a remote repository, the parts that the mask does not name
/// are as they were before.
pub(super) fn keep_unnamed_parts(
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
        let merged = merge_remote_config(current.clone(), new, mask);
        updated.mode_config = Some(ModeConfig::RemoteRepositoryConfig(merged));
    }
    without_empty_credentials(updated)
}

/// Returns the current configuration, with the parts that the mask names replaced by those of the new one.
fn merge_remote_config(
    current: RemoteRepositoryConfig,
    new: RemoteRepositoryConfig,
    mask: &UpdateMask,
) -> RemoteRepositoryConfig {
    let names = |field: &str| mask.names_within(&format!("remote_repository_config.{field}"));
    let mut merged = current.clone();
    if names("description") {
        merged.description = new.description;
    }
    if names("disable_upstream_validation") {
        merged.disable_upstream_validation = new.disable_upstream_validation;
    }
    if names("docker_repository") || names("common_repository") {
        merged.remote_source = new.remote_source;
    }
    if names("upstream_credentials") {
        merged.upstream_credentials =
            merge_credentials(current.upstream_credentials, new.upstream_credentials, mask);
    } else if origin(&merged) != origin(&current) {
        merged.upstream_credentials = None;
    }
    merged
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
        let password = password_of(config.upstream_credentials.clone());
        if password == UsernamePasswordCredentials::default() {
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
