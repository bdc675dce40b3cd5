//! Conversion of repositories to and from messages, and the fields of a repository that may be changed.
//!
//! Fields without a column of their own (cleanup policies, upstreams) are stored together, as the JSON of the message.
//! So they are answered exactly as they were set, which Terraform compares. Cleanup reads its policies from that JSON.

use std::sync::LazyLock;

use engine::{Repository as StoredRepository, RepositoryChange, UpstreamValidation};
use model::remote_rules::RemoteRules;
use model::repository::{ModeError, ModeName, RepositoryMode};
use model::upstream_credentials::UpstreamCredentials;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use proto::google::devtools::artifactregistry::v1::repository::vulnerability_scanning_config::{
    EnablementConfig, EnablementState,
};
use proto::google::devtools::artifactregistry::v1::repository::{
    DockerRepositoryConfig, Format, FormatConfig, Mode, ModeConfig,
};
use proto::google::devtools::artifactregistry::v1::{RemoteRepositoryConfig, Repository};
use tonic::Status;

use super::remote_config::{merge_remote_config, replaces_remote_config};
use super::update_mask::UpdateMask;
use super::{bad_field, timestamp};
use crate::contract::POOL;
use web::app::App;

/// Returns the fields that are stored as one document, because they have no column.
fn stored_fields(repository: &Repository) -> Repository {
    let mut mode_config = repository.mode_config.clone();
    if let Some(ModeConfig::RemoteRepositoryConfig(config)) = &mut mode_config {
        // It is of the moment, and clients send it back.
        config.upstream_state = None;
    }
    Repository {
        kms_key_name: repository.kms_key_name.clone(),
        cleanup_policies: repository.cleanup_policies.clone(),
        cleanup_policy_dry_run: repository.cleanup_policy_dry_run,
        vulnerability_scanning_config: repository.vulnerability_scanning_config.clone(),
        mode_config,
        format_config: repository.format_config,
        disallow_unspecified_mode: repository.disallow_unspecified_mode,
        ..Repository::default()
    }
}

fn descriptor() -> MessageDescriptor {
    static DESCRIPTOR: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        POOL.get_message_by_name("google.devtools.artifactregistry.v1.Repository")
            .expect("part of the contract")
    });
    DESCRIPTOR.clone()
}

fn to_json(repository: &Repository) -> Result<String, Status> {
    let mut message = DynamicMessage::new(descriptor());
    let unreadable = |_| Status::internal("a repository cannot be written as JSON");
    message.transcode_from(repository).map_err(unreadable)?;
    serde_json::to_string(&message).map_err(|_| Status::internal("a repository cannot be stored"))
}

fn from_json(json: &str) -> Repository {
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(descriptor(), &mut reader);
    message.ok().and_then(|message| message.transcode_to().ok()).unwrap_or_default()
}

/// Returns the message of a repository.
pub(super) fn write(found: &StoredRepository, app: &App) -> Repository {
    let mut message = from_json(&found.settings);
    message.name = found.name.to_string();
    message.format = Format::Docker as i32;
    message.description.clone_from(&found.description);
    message.labels = serde_json::from_str(&found.labels).unwrap_or_default();
    message.create_time = Some(timestamp(found.created_at));
    message.update_time = Some(timestamp(found.updated_at));
    message.mode = proto_mode(found.mode) as i32;
    message.size_bytes = found.size_bytes;
    message.registry_uri = app.registry_uri(&found.name);
    if found.immutable_tags || message.format_config.is_some() {
        let config = DockerRepositoryConfig { immutable_tags: found.immutable_tags };
        message.format_config = Some(FormatConfig::DockerConfig(config));
    }
    if let Some(config) = &mut message.vulnerability_scanning_config {
        let disabled = config.enablement_config == EnablementConfig::Disabled as i32;
        let state = if disabled {
            EnablementState::ScanningDisabled
        } else {
            EnablementState::ScanningUnsupported
        };
        config.enablement_state = state as i32;
    }
    message
}

/// Returns the mode of a new repository.
pub(super) fn mode(repository: &Repository) -> Result<ModeName, Status> {
    match Mode::try_from(repository.mode) {
        Ok(Mode::Unspecified | Mode::StandardRepository) => Ok(ModeName::Standard),
        Ok(Mode::RemoteRepository) => Ok(ModeName::Remote),
        Ok(Mode::VirtualRepository) => Ok(ModeName::Virtual),
        Err(_) => Err(bad_field("repository.mode", "is no mode of a repository")),
    }
}

fn proto_mode(mode: ModeName) -> Mode {
    match mode {
        ModeName::Standard => Mode::StandardRepository,
        ModeName::Remote => Mode::RemoteRepository,
        ModeName::Virtual => Mode::VirtualRepository,
    }
}

/// Returns the mode of a repository, with the upstreams that its message names.
///
/// # Errors
/// Fails if the configuration does not fit the mode.
pub(super) fn upstreams(repository: &Repository) -> Result<RepositoryMode, Status> {
    let document = to_json(&stored_fields(repository))?;
    let refused = |error: ModeError| bad_field(error.field, error.problem);
    let parsed = RepositoryMode::parse(mode(repository)?, &document).map_err(refused)?;
    let rules = RemoteRules::parse(&document).map_err(refused)?;
    if rules.need_registry() && parsed.registry_url().is_none() {
        let problem = "allowed_images, denied_images, offline, max_cache_bytes and no_cache are for upstreams that are other registries: nothing of a repository of this one is cached";
        return Err(bad_field("repository.remote_repository_config", problem));
    }
    Ok(parsed)
}

/// Returns the extent to which the upstream of a remote repository is checked.
pub(super) fn validation(repository: &Repository) -> UpstreamValidation {
    match &repository.mode_config {
        Some(ModeConfig::RemoteRepositoryConfig(config)) if config.disable_upstream_validation => {
            UpstreamValidation::UrlOnly
        }
        _ => UpstreamValidation::Ask,
    }
}

/// Returns the credentials with which a remote repository is to ask its upstream.
///
/// # Errors
/// Fails if they are not valid.
pub(super) fn credentials(repository: &Repository) -> Result<Option<UpstreamCredentials>, Status> {
    UpstreamCredentials::parse(&to_json(&stored_fields(repository))?)
        .map_err(|error| bad_field(error.field, error.problem))
}

/// Refuses a change of the mode or the format.
pub(super) fn check_unchanged(
    current: &StoredRepository,
    new: &Repository,
    mask: &UpdateMask,
) -> Result<(), Status> {
    let fixed = [
        ("mode", new.mode, proto_mode(current.mode) as i32),
        ("format", new.format, Format::Docker as i32),
    ];
    for (field, wanted, is) in fixed {
        if mask.is_all() && wanted != 0 && wanted != is {
            return Err(bad_field(&format!("repository.{field}"), "cannot be changed"));
        }
    }
    Ok(())
}

/// Returns the current repository, with the fields of the mask replaced by those of the new one.
pub(super) fn merge(mut current: Repository, new: Repository, mask: &UpdateMask) -> Repository {
    if mask.has("description") {
        current.description = new.description;
    }
    if mask.has("labels") {
        current.labels = new.labels;
    }
    if mask.has("docker_config") {
        current.format_config = new.format_config;
    }
    if mask.has("cleanup_policies") {
        current.cleanup_policies = new.cleanup_policies;
    }
    if mask.has("cleanup_policy_dry_run") {
        current.cleanup_policy_dry_run = new.cleanup_policy_dry_run;
    }
    if mask.has("vulnerability_scanning_config") {
        current.vulnerability_scanning_config = new.vulnerability_scanning_config;
    }
    if mask.changes_mode_config() {
        current.mode_config = merge_mode_config(current.mode_config.take(), new.mode_config, mask);
    }
    if mask.has("disallow_unspecified_mode") {
        current.disallow_unspecified_mode = new.disallow_unspecified_mode;
    }
    current
}

/// Returns the new configuration of the mode. gcloud does not know the fields of a virtual repository that are our own,
/// so it sends the configuration without them: if it replaces the whole configuration, they stay.
fn merge_mode_config(
    current: Option<ModeConfig>,
    new: Option<ModeConfig>,
    mask: &UpdateMask,
) -> Option<ModeConfig> {
    match (current, new) {
        (
            Some(ModeConfig::VirtualRepositoryConfig(current)),
            Some(ModeConfig::VirtualRepositoryConfig(mut new)),
        ) => {
            let names = |field: &str| mask.names(&format!("virtual_repository_config.{field}"));
            let is_whole = mask.is_all() || mask.names("virtual_repository_config");
            if !is_whole && !names("upstream_policies") {
                new.upstream_policies = current.upstream_policies;
            }
            if !(names("pins") || is_whole && !new.pins.is_empty()) {
                new.pins = current.pins;
            }
            if !(names("failure_policy") || is_whole && new.failure_policy != 0) {
                new.failure_policy = current.failure_policy;
            }
            Some(ModeConfig::VirtualRepositoryConfig(new))
        }
        (
            Some(ModeConfig::RemoteRepositoryConfig(current)),
            Some(ModeConfig::RemoteRepositoryConfig(new)),
        ) => Some(ModeConfig::RemoteRepositoryConfig(merge_remote_config(current, new, mask))),
        // The parts that the mask names are cleared.
        (Some(ModeConfig::RemoteRepositoryConfig(current)), None)
            if !replaces_remote_config(mask) =>
        {
            let new = RemoteRepositoryConfig::default();
            Some(ModeConfig::RemoteRepositoryConfig(merge_remote_config(current, new, mask)))
        }
        (_, new) => new,
    }
}

/// Returns the change that an update makes.
pub(super) fn change(new: &Repository, mask: &UpdateMask) -> Result<RepositoryChange, Status> {
    let immutable = matches!(
        &new.format_config,
        Some(FormatConfig::DockerConfig(DockerRepositoryConfig { immutable_tags: true }))
    );
    Ok(RepositoryChange {
        description: mask.has("description").then(|| new.description.clone()),
        labels: mask.has("labels").then(|| new.labels.clone()),
        immutable_tags: mask.has("docker_config").then_some(immutable),
        settings: Some(to_json(&stored_fields(new))?),
        upstreams: None,
    })
}
