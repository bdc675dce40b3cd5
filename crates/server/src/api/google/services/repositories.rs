//! Artifact Registry: repositories and their policies. What is in them comes with its own methods.

use engine::NewRepository;
use model::permission::Permission;
use model::resource::Resource;
use prost_types::Any;
use proto::google::devtools::artifactregistry::v1::artifact_registry_server::ArtifactRegistry;
use proto::google::devtools::artifactregistry::v1::{
    CreateRepositoryRequest, DeleteRepositoryRequest, GetRepositoryRequest,
    ListRepositoriesRequest, ListRepositoriesResponse, OperationMetadata, Repository,
    UpdateRepositoryRequest,
};
use proto::google::iam::v1::{
    GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
    TestIamPermissionsResponse,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::operations::Place;
use super::repository_checks as checks;
use super::repository_message::{self as message, Mask};
use super::{List, Services, admitted, bad_field, caller, failed, names, page_size, trail};
use crate::audit::Trail;

#[tonic::async_trait]
impl ArtifactRegistry for Services {
    async fn list_repositories(
        &self,
        request: Request<ListRepositoriesRequest>,
    ) -> Result<Response<ListRepositoriesResponse>, Status> {
        let admitted = admitted(&request)?;
        let ListRepositoriesRequest {
            parent,
            page_size: wanted,
            page_token: token,
            filter,
            order_by,
        } = request.into_inner();
        if !filter.is_empty() {
            return Err(bad_field("filter", "filters are not understood yet"));
        }
        if !["", "name"].contains(&order_by.trim()) {
            return Err(bad_field("order_by", "repositories are ordered by name"));
        }
        let list = List::new(admitted.caller(), &["repositories", &parent]);
        let (start, size) = (self.page_start(&list, &token)?, page_size(wanted, 500)?);
        let repositories = self.app.engine.repositories(&admitted, (&start, size));
        let (found, more) = repositories.await.map_err(failed)?;
        let last = found.last().filter(|_| more);
        let next = last.map(|repository| repository.name.repository.to_string());
        let repositories = found.iter().map(|found| message::write(found, &self.app)).collect();
        let next_page_token = self.page_token(&list, next.as_deref())?;
        Ok(Response::new(ListRepositoriesResponse { repositories, next_page_token }))
    }

    async fn get_repository(
        &self,
        request: Request<GetRepositoryRequest>,
    ) -> Result<Response<Repository>, Status> {
        let found = self.app.engine.repository(&admitted(&request)?).await.map_err(failed)?;
        Ok(Response::new(message::write(&found, &self.app)))
    }

    async fn create_repository(
        &self,
        request: Request<CreateRepositoryRequest>,
    ) -> Result<Response<Operation>, Status> {
        let (admitted, trail) = (admitted(&request)?, trail(&request));
        let CreateRepositoryRequest { parent, repository_id, repository } = request.into_inner();
        let repository = repository.unwrap_or_default();
        let location = names::last(&parent);
        if !self.is_location(location) {
            return Err(bad_field("parent", format!("Location {location} was not found")));
        }
        checks::check_new(&parent, &repository_id, &repository)?;
        let name = format!("{parent}/repositories/{repository_id}");
        checks::check_cleanup(&repository)?;
        self.check_upstreams((admitted.caller(), &trail), (&name, &repository)).await?;
        let new = NewRepository {
            id: repository_id,
            mode: message::mode(&repository)?.as_str_name().to_owned(),
            change: message::change(&repository, &Mask::everything())?,
        };
        let created = self.app.engine.create_repository(&admitted, new).await.map_err(failed)?;
        trail.resource(&created.name);
        let response = Any::from_msg(&message::write(&created, &self.app)).expect("a Vec grows");
        let name = created.name;
        let place = Place::Location(name.project, name.location);
        self.finished(admitted.caller(), place, (Some(metadata()), response)).await
    }

    async fn update_repository(
        &self,
        request: Request<UpdateRepositoryRequest>,
    ) -> Result<Response<Repository>, Status> {
        let (admitted, trail) = (admitted(&request)?, trail(&request));
        let UpdateRepositoryRequest { repository, update_mask } = request.into_inner();
        let repository = repository.unwrap_or_default();
        let mask = Mask::new(update_mask)?;
        let engine = &self.app.engine;
        // What the mask leaves out stays as it is, also within what is stored as one document.
        let current = engine.described(&admitted).await.map_err(failed)?;
        message::check_unchanged(&current, &repository, &mask)?;
        let before = message::write(&current, &self.app);
        let merged = message::merge(before.clone(), repository, &mask);
        checks::check_cleanup(&merged)?;
        // An upstream that has gone since it was added does not keep the rest from being set.
        if merged.mode_config != before.mode_config {
            checks::check_mode(&merged)?;
            self.check_upstreams((admitted.caller(), &trail), (&merged.name, &merged)).await?;
        }
        let change = message::change(&merged, &mask)?;
        let changed = engine.update_repository(&admitted, change).await.map_err(failed)?;
        Ok(Response::new(message::write(&changed, &self.app)))
    }

    async fn delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> Result<Response<Operation>, Status> {
        let admitted = admitted(&request)?;
        let name = names::resource("name", &request.into_inner().name)?;
        self.app.engine.delete_repository(&admitted).await.map_err(failed)?;
        let Resource::Repository(name) = name else {
            return Err(bad_field("name", "names no repository"));
        };
        let response = Any::from_msg(&()).expect("a Vec grows");
        let place = Place::Location(name.project, name.location);
        self.finished(admitted.caller(), place, (Some(metadata()), response)).await
    }

    async fn get_iam_policy(
        &self,
        request: Request<GetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.get_policy(request, "artifactregistry.repositories.getIamPolicy").await
    }

    async fn set_iam_policy(
        &self,
        request: Request<SetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.set_policy(request, "artifactregistry.repositories.setIamPolicy").await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        let _ = caller(&request);
        self.test_permissions(request).await
    }
}

impl Services {
    /// Whoever adds an upstream must be able to read it: its content is shown to others by this repository.
    async fn check_upstreams(
        &self,
        (caller, trail): (&engine::Caller, &Trail),
        (name, repository): (&str, &Repository),
    ) -> Result<(), Status> {
        for upstream in checks::upstreams(repository)? {
            let resource = Resource::Repository(upstream.clone());
            let read = Permission::DOWNLOAD_ARTIFACTS;
            let admitted = self.app.engine.admit(caller, read, resource.clone()).await;
            trail.asked((read, &resource), &admitted);
            admitted.map_err(failed)?;
            let found = upstream.to_string() != name
                && self.app.engine.has_repository(&upstream).await.map_err(failed)?;
            if !found {
                let problem =
                    format!("Upstream repository {upstream} is not there, or is this one");
                return Err(bad_field("repository", problem));
            }
        }
        Ok(())
    }
}

fn metadata() -> Any {
    Any::from_msg(&OperationMetadata {}).expect("a Vec grows")
}
