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

use super::update_mask::UpdateMask;

/// The path of the credentials in a mask.
const CREDENTIALS: &str = "remote_repository_config.upstream_credentials";

/// Returns whether an update replaces the whole configuration.
pub(super) fn replaces_remote_config(mask: &UpdateMask) -> bool {
    mask.is_all() || mask.names("remote_repository_config")
}

/// Returns the new configuration of a remote repository. Of Berth's own fields, those that an update of the whole
/// configuration does not set stay: gcloud does not know them. Credentials stay with the registry that they are for.
pub(super) fn merge_remote_config(
    current: RemoteRepositoryConfig,
    mut new: RemoteRepositoryConfig,
    mask: &UpdateMask,
) -> RemoteRepositoryConfig {
    let names = |field: &str| mask.names_within(&format!("remote_repository_config.{field}"));
    let is_whole = replaces_remote_config(mask);
    if !(is_whole || names("docker_repository") || names("common_repository")) {
        new.remote_source = current.remote_source.clone();
    }
    if !is_whole {
        new.upstream_credentials = if names("upstream_credentials") {
            merge_credentials(current.upstream_credentials, new.upstream_credentials, mask)
        } else if origin(&new.remote_source) == origin(&current.remote_source) {
            current.upstream_credentials
        } else {
            None
        };
    }
    if !(is_whole || names("description")) {
        new.description = current.description;
    }
    if !(is_whole || names("disable_upstream_validation")) {
        new.disable_upstream_validation = current.disable_upstream_validation;
    }
    if !(names("allowed_images") || is_whole && !new.allowed_images.is_empty()) {
        new.allowed_images = current.allowed_images;
    }
    if !(names("denied_images") || is_whole && !new.denied_images.is_empty()) {
        new.denied_images = current.denied_images;
    }
    if !(names("offline") || is_whole && new.offline) {
        new.offline = current.offline;
    }
    if !(names("delete_not_found_cache_files") || is_whole && new.delete_not_found_cache_files) {
        new.delete_not_found_cache_files = current.delete_not_found_cache_files;
    }
    if !(names("max_cache_bytes") || is_whole && new.max_cache_bytes.is_some()) {
        new.max_cache_bytes = current.max_cache_bytes;
    }
    if !(names("no_cache") || is_whole && new.no_cache) {
        new.no_cache = current.no_cache;
    }
    new
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
fn origin(source: &Option<RemoteSource>) -> Option<RegistryOrigin> {
    let url = match source.as_ref()? {
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
