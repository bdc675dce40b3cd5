//! What a repository can have wrong.

use std::collections::BTreeSet;

use model::name::RepositoryName;
use model::resource::Resource;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::RemoteSource;
use proto::google::devtools::artifactregistry::v1::remote_repository_config::docker_repository::{
    PublicRepository, Upstream,
};
use proto::google::devtools::artifactregistry::v1::repository::{Format, Mode, ModeConfig};
use proto::google::devtools::artifactregistry::v1::{
    RemoteRepositoryConfig, Repository, VirtualRepositoryConfig,
};
use tonic::Status;

use super::bad_field;
use super::repository_message::mode;

const DOCKER_HUB: &str = "https://registry-1.docker.io";

/// Checks what only a new repository can have wrong.
pub(super) fn check_new(parent: &str, id: &str, repository: &Repository) -> Result<(), Status> {
    match Format::try_from(repository.format) {
        Ok(Format::Docker) => {}
        Ok(Format::Unspecified) => {
            return Err(bad_field("repository.format", "a format must be given: DOCKER"));
        }
        // Not `UNIMPLEMENTED`: clients take that for something that may pass, and gcloud asks again for half a minute.
        Ok(other) => {
            let problem = format!("{} is not served; DOCKER is", other.as_str_name());
            return Err(bad_field("repository.format", problem));
        }
        Err(_) => return Err(bad_field("repository.format", "is no format of a repository")),
    }
    let location = parent.rsplit('/').next().unwrap_or_default();
    let place = match id {
        "gcr.io" | "us.gcr.io" => "us",
        "eu.gcr.io" => "europe",
        "asia.gcr.io" => "asia",
        _ => location,
    };
    if place != location {
        let problem =
            format!("GCR repository {id} can only be created in the {place} multi-region.");
        return Err(bad_field("repository_id", problem));
    }
    if repository.disallow_unspecified_mode && repository.mode == Mode::Unspecified as i32 {
        return Err(bad_field(
            "repository.mode",
            "must be given where disallow_unspecified_mode is set",
        ));
    }
    if !repository.kms_key_name.is_empty() {
        return Err(bad_field(
            "repository.kms_key_name",
            "keys of your own are not supported: nothing would be encrypted with it",
        ));
    }
    check_mode(repository)
}

/// Checks that a repository has the configuration of its mode.
pub(super) fn check_mode(repository: &Repository) -> Result<(), Status> {
    match (mode(repository)?, &repository.mode_config) {
        (Mode::RemoteRepository, Some(ModeConfig::RemoteRepositoryConfig(config))) => {
            check_remote(config)
        }
        (Mode::RemoteRepository, _) => Err(bad_field(
            "repository.remote_repository_config",
            "a remote repository needs an upstream",
        )),
        (Mode::VirtualRepository, None | Some(ModeConfig::VirtualRepositoryConfig(_)))
        | (Mode::StandardRepository | Mode::Unspecified, None) => Ok(()),
        (Mode::VirtualRepository | Mode::StandardRepository | Mode::Unspecified, Some(_)) => {
            Err(bad_field("repository.mode", "does not go with the configuration of another mode"))
        }
    }
}

fn check_remote(config: &RemoteRepositoryConfig) -> Result<(), Status> {
    let field = "repository.remote_repository_config";
    let Some(uri) = upstream(config) else {
        return Err(bad_field(
            field,
            "a remote repository needs an upstream; DOCKER_HUB is the one public repository",
        ));
    };
    if ["https://", "http://", "projects/"].iter().any(|start| uri.starts_with(start)) {
        return Ok(());
    }
    Err(bad_field(
        field,
        format!(
            "Invalid repo upstream for remote repository: '{uri}'. If you intended to enter a custom upstream URI, this value must start with 'https://' or 'http://'."
        ),
    ))
}

/// Where a remote repository fetches from.
fn upstream(config: &RemoteRepositoryConfig) -> Option<&str> {
    match config.remote_source.as_ref()? {
        RemoteSource::CommonRepository(common) => Some(&common.uri),
        RemoteSource::DockerRepository(docker) => match docker.upstream.as_ref()? {
            Upstream::CustomRepository(custom) => Some(&custom.uri),
            Upstream::ArtifactRegistryRepository(own) => Some(&own.repository),
            Upstream::PublicRepository(public) => {
                (*public == PublicRepository::DockerHub as i32).then_some(DOCKER_HUB)
            }
        },
    }
}

/// The repositories of ours that a virtual repository shows, or a remote one fetches from.
pub(super) fn upstreams(repository: &Repository) -> Result<Vec<RepositoryName>, Status> {
    match &repository.mode_config {
        Some(ModeConfig::VirtualRepositoryConfig(config)) => shown(config),
        Some(ModeConfig::RemoteRepositoryConfig(config)) => {
            let ours = upstream(config).filter(|uri| uri.starts_with("projects/"));
            let read = |name: &str| match name.parse() {
                Ok(Resource::Repository(name)) => Ok(name),
                _ => Err(bad_field(
                    "repository.remote_repository_config",
                    format!("{name:?} is no repository"),
                )),
            };
            Ok(ours.map(read).transpose()?.into_iter().collect())
        }
        None => Ok(Vec::new()),
    }
}

/// The repositories that a virtual repository shows.
fn shown(config: &VirtualRepositoryConfig) -> Result<Vec<RepositoryName>, Status> {
    const MOST: usize = 30;
    const FIELD: &str = "repository.virtual_repository_config.upstream_policies";
    if config.upstream_policies.len() > MOST {
        return Err(bad_field(FIELD, format!("at most {MOST}")));
    }
    let (mut ids, mut found) = (BTreeSet::new(), Vec::new());
    for policy in &config.upstream_policies {
        if policy.id.is_empty() || !ids.insert(&policy.id) {
            return Err(bad_field(FIELD, "each needs an id of its own"));
        }
        match policy.repository.parse() {
            Ok(Resource::Repository(name)) => found.push(name),
            _ => return Err(bad_field(FIELD, format!("{:?} is no repository", policy.repository))),
        }
    }
    Ok(found)
}
