//! Locations: the locations that Artifact Registry has, and the default location of this registry.

use proto::google::cloud::location::locations_server::Locations;
use proto::google::cloud::location::{
    GetLocationRequest, ListLocationsRequest, ListLocationsResponse, Location,
};
use tonic::{Request, Response, Status};

use super::{ApiServices, names};
use model::locations::LOCATIONS;

#[tonic::async_trait]
impl Locations for ApiServices {
    /// Lists all locations on one page, because there are few.
    async fn list_locations(
        &self,
        request: Request<ListLocationsRequest>,
    ) -> Result<Response<ListLocationsResponse>, Status> {
        let parent = request.into_inner().name;
        let parent = parent.strip_suffix("/locations").unwrap_or(&parent);
        let mut ids: Vec<&str> = LOCATIONS.to_vec();
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
        let id = names::last_segment(&name);
        if !self.is_location(id) {
            return Err(Status::not_found(format!("Location {id} was not found")));
        }
        let parent = name.split("/locations/").next().unwrap_or_default();
        Ok(Response::new(location(parent, id)))
    }
}

impl ApiServices {
    /// Returns whether a repository can be in a location.
    pub(super) fn is_location(&self, id: &str) -> bool {
        id == self.app.domains.default_location().as_str() || LOCATIONS.contains(&id)
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
