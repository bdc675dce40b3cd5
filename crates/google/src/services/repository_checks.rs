//! Checks of a new repository.

use proto::google::devtools::artifactregistry::v1::Repository;
use proto::google::devtools::artifactregistry::v1::repository::{Format, Mode};
use tonic::Status;

use super::bad_field;
use super::repository_message::upstreams;

/// Checks the fields of a new repository.
pub(super) fn check_new(parent: &str, id: &str, repository: &Repository) -> Result<(), Status> {
    match Format::try_from(repository.format) {
        Ok(Format::Docker) => {}
        Ok(Format::Unspecified) => {
            return Err(bad_field("repository.format", "a format must be given: DOCKER"));
        }
        // Not `UNIMPLEMENTED`: clients take that code for a temporary error, and gcloud repeats the call for half a
        // minute.
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
            "customer-managed keys are not supported: nothing would be encrypted with it",
        ));
    }
    upstreams(repository).map(drop)
}
