//! Locations: those that Artifact Registry has.

use proto::google::cloud::location::locations_server::Locations;
use proto::google::cloud::location::{
    GetLocationRequest, ListLocationsRequest, ListLocationsResponse, Location,
};
use tonic::{Request, Response, Status};

use super::{Services, names};

/// Regions and multi-regions, in the order in which they are listed.
const LOCATIONS: &str = "africa-south1 asia asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2 asia-southeast1 asia-southeast2 asia-southeast3 australia-southeast1 australia-southeast2 europe europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west10 europe-west12 europe-west15 europe-west2 europe-west3 europe-west4 europe-west6 europe-west8 europe-west9 me-central1 me-central2 me-west1 northamerica-northeast1 northamerica-northeast2 northamerica-south1 southamerica-east1 southamerica-west1 us us-central1 us-central2 us-east1 us-east4 us-east5 us-east7 us-south1 us-west1 us-west2 us-west3 us-west4 us-west8";

#[tonic::async_trait]
impl Locations for Services {
    /// All on one page: there are few.
    async fn list_locations(
        &self,
        request: Request<ListLocationsRequest>,
    ) -> Result<Response<ListLocationsResponse>, Status> {
        let parent = request.into_inner().name;
        let parent = parent.strip_suffix("/locations").unwrap_or(&parent);
        let mut ids: Vec<&str> = LOCATIONS.split(' ').collect();
        let own = self.app.domains.default_location().as_str();
        if !ids.contains(&own) {
            ids.push(own);
        }
        let locations = ids.into_iter().map(|id| location(parent, id)).collect();
        Ok(Response::new(ListLocationsResponse { locations, next_page_token: String::new() }))
    }

    async fn get_location(
        &self,
        request: Request<GetLocationRequest>,
    ) -> Result<Response<Location>, Status> {
        let name = request.into_inner().name;
        let id = names::last(&name);
        if !self.is_location(id) {
            return Err(Status::not_found(format!("Location {id} was not found")));
        }
        let parent = name.split("/locations/").next().unwrap_or_default();
        Ok(Response::new(location(parent, id)))
    }
}

impl Services {
    /// Whether repositories can be there.
    pub(super) fn is_location(&self, id: &str) -> bool {
        id == self.app.domains.default_location().as_str()
            || LOCATIONS.split(' ').any(|known| known == id)
    }
}

fn location(parent: &str, id: &str) -> Location {
    Location {
        name: format!("{parent}/locations/{id}"),
        location_id: id.to_owned(),
        display_name: id.to_owned(),
        ..Location::default()
    }
}
