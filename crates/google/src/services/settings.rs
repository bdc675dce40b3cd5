//! Settings of projects and of places: what is so here. None can be changed.

use proto::google::devtools::artifactregistry::v1::project_settings::RedirectionState;
use proto::google::devtools::artifactregistry::v1::vpcsc_config::VpcscPolicy;
use proto::google::devtools::artifactregistry::v1::{
    GetProjectSettingsRequest, GetVpcscConfigRequest, ProjectSettings, VpcscConfig,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, ServiceAnswer, names};

/// The hosts of Container Registry always lead to the repositories of their names.
pub(super) fn of_project(
    request: Request<GetProjectSettingsRequest>,
) -> ServiceAnswer<ProjectSettings> {
    Ok(Response::new(ProjectSettings {
        name: request.into_inner().name,
        legacy_redirection_state: RedirectionState::RedirectionFromGcrIoFinalized as i32,
        ..ProjectSettings::default()
    }))
}

/// There is no perimeter that a remote repository could not reach beyond.
pub(super) fn of_place(
    services: &ApiServices,
    request: Request<GetVpcscConfigRequest>,
) -> ServiceAnswer<VpcscConfig> {
    let name = request.into_inner().name;
    let location = names::last(name.trim_end_matches("/vpcscConfig"));
    if !services.is_location(location) {
        return Err(Status::not_found(format!("Location {location} was not found")));
    }
    Ok(Response::new(VpcscConfig { name, vpcsc_policy: VpcscPolicy::Allow as i32 }))
}
