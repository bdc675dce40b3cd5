//! Service Usage: the methods that gcloud calls before it uses an API.

use prost_types::Any;
use proto::google::api::serviceusage::v1::service_usage_server::ServiceUsage;
use proto::google::api::serviceusage::v1::{
    EnableServiceRequest, EnableServiceResponse, GetServiceRequest, Service, State,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::operations::OperationParent;
use super::{ApiServices, admitted, names};

/// The services that are always enabled. All others are disabled, and cannot be enabled.
const SERVED: [&str; 6] = [
    "artifactregistry.googleapis.com",
    "cloudapis.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "serviceusage.googleapis.com",
];

#[tonic::async_trait]
impl ServiceUsage for ApiServices {
    async fn get_service(
        &self,
        request: Request<GetServiceRequest>,
    ) -> Result<Response<Service>, Status> {
        Ok(Response::new(service(request.into_inner().name)))
    }

    async fn enable_service(
        &self,
        request: Request<EnableServiceRequest>,
    ) -> Result<Response<Operation>, Status> {
        let admitted = admitted(&request)?;
        let service = service(request.into_inner().name);
        if service.state != State::Enabled as i32 {
            return Err(Status::failed_precondition(format!(
                "{} is not one of the services of this registry",
                names::last_segment(&service.name)
            )));
        }
        let response = EnableServiceResponse { service: Some(service) };
        let response = Any::from_msg(&response).expect("a Vec grows");
        self.store_success(admitted.caller(), OperationParent::Global, None, response).await
    }
}

fn service(name: String) -> Service {
    let state =
        if SERVED.contains(&names::last_segment(&name)) { State::Enabled } else { State::Disabled };
    let parent = name.split("/services/").next().unwrap_or_default().to_owned();
    Service { name, parent, state: state as i32 }
}
