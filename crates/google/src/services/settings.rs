//! Settings of projects and of locations. They are fixed, and cannot be changed.

use proto::google::devtools::artifactregistry::v1::project_settings::RedirectionState;
use proto::google::devtools::artifactregistry::v1::vpcsc_config::VpcscPolicy;
use proto::google::devtools::artifactregistry::v1::{
    GetProjectSettingsRequest, GetVpcscConfigRequest, ProjectSettings, VpcscConfig,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, ServiceAnswer, names};

/// Returns the settings of a project: the hosts of Container Registry always lead to the repositories of their names.
pub(super) fn project_settings(
    request: Request<GetProjectSettingsRequest>,
) -> ServiceAnswer<ProjectSettings> {
    Ok(Response::new(ProjectSettings {
        name: request.into_inner().name,
        legacy_redirection_state: RedirectionState::RedirectionFromGcrIoFinalized as i32,
        ..ProjectSettings::default()
    }))
}

/// Returns the VPC Service Controls configuration of a location: there is no perimeter, so that nothing keeps remote
/// repositories from their upstreams.
pub(super) fn vpcsc_config(
    services: &ApiServices,
    request: Request<GetVpcscConfigRequest>,
) -> ServiceAnswer<VpcscConfig> {
    let name = request.into_inner().name;
    let location = names::last_segment(name.trim_end_matches("/vpcscConfig"));
    if !services.is_location(location) {
        return Err(Status::not_found(format!("Location {location} was not found")));
    }
    Ok(Response::new(VpcscConfig { name, vpcsc_policy: VpcscPolicy::Allow as i32 }))
}
