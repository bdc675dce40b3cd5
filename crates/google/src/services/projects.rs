//! Resource Manager: projects, and the policies of projects and of the organization.

use identity::{NewProject, Project as StoredProject, ProjectList};
use model::list_filter::SortDirection;
use prost_types::Any;
use proto::google::cloud::resourcemanager::v1::organizations_server::Organizations;
use proto::google::cloud::resourcemanager::v1::projects_server::Projects;
use proto::google::cloud::resourcemanager::v1::{
    CreateProjectRequest, DeleteProjectRequest, GetProjectRequest, LifecycleState,
    ListProjectsRequest, ListProjectsResponse, Project, ResourceId,
};
use proto::google::iam::v1::{
    GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
    TestIamPermissionsResponse,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::operations::OperationParent;
use super::{
    ApiServices, ListIdentity, admitted, bad_field, caller, failed, page_size, timestamp, trail,
};
use model::permissions::resourcemanager;

#[tonic::async_trait]
impl Projects for ApiServices {
    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<Operation>, Status> {
        let (admitted, trail) = (admitted(&request)?, trail(&request));
        let Project { project_id, name, labels, .. } =
            request.into_inner().project.unwrap_or_default();
        let labels = labels.into_iter().collect();
        let new = NewProject { id: project_id, name, labels };
        let created =
            self.app.engine.identity().create_project(&admitted, new).await.map_err(failed)?;
        trail.note_resource(&format_args!("projects/{}", created.id));
        let response = Any::from_msg(&message(created)).expect("a Vec grows");
        self.store_success(admitted.caller(), OperationParent::Global, None, response).await
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        let caller = caller(&request);
        let ListProjectsRequest { filter, page_size: wanted, page_token: token } =
            request.into_inner();
        let active_only = match filter.trim() {
            "" => false,
            "lifecycleState:ACTIVE" | "lifecycleState=ACTIVE" => true,
            _ => return Err(bad_field("filter", "only lifecycleState:ACTIVE is supported")),
        };
        let list = ListIdentity::new(&caller, &["projects", &filter]);
        let page = ProjectList {
            contains: String::new(),
            direction: SortDirection::Ascending,
            last: self.page_start(&list, &token)?,
            limit: page_size(wanted, 500)?,
        };
        let projects = self.app.engine.identity().list_projects(&caller, page);
        let (found, next) = projects.await.map_err(failed)?;
        let shown = found.into_iter().filter(|project| project.active || !active_only);
        let projects = shown.map(message).collect();
        let next_page_token = self.page_token(&list, next.as_deref())?;
        Ok(Response::new(ListProjectsResponse { projects, next_page_token }))
    }

    async fn get_project(
        &self,
        request: Request<GetProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        let found =
            self.app.engine.identity().find_project(&admitted(&request)?).await.map_err(failed)?;
        Ok(Response::new(message(found)))
    }

    async fn delete_project(
        &self,
        request: Request<DeleteProjectRequest>,
    ) -> Result<Response<()>, Status> {
        self.app.engine.identity().delete_project(&admitted(&request)?).await.map_err(failed)?;
        Ok(Response::new(()))
    }

    async fn get_iam_policy(
        &self,
        request: Request<GetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.get_policy(request, resourcemanager::PROJECTS_GET_IAM_POLICY).await
    }

    async fn set_iam_policy(
        &self,
        request: Request<SetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.set_policy(request, resourcemanager::PROJECTS_SET_IAM_POLICY).await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        self.test_permissions(request).await
    }
}

#[tonic::async_trait]
impl Organizations for ApiServices {
    async fn get_iam_policy(
        &self,
        request: Request<GetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.get_policy(request, resourcemanager::ORGANIZATIONS_GET_IAM_POLICY).await
    }

    async fn set_iam_policy(
        &self,
        request: Request<SetIamPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        self.set_policy(request, resourcemanager::ORGANIZATIONS_SET_IAM_POLICY).await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        self.test_permissions(request).await
    }
}

fn message(found: StoredProject) -> Project {
    let state = if found.active { LifecycleState::Active } else { LifecycleState::DeleteRequested };
    Project {
        project_number: found.number,
        project_id: found.id,
        lifecycle_state: state as i32,
        name: found.name,
        create_time: Some(timestamp(found.created_at)),
        labels: found.labels,
        parent: Some(ResourceId { r#type: "organization".to_owned(), id: "1".to_owned() }),
    }
}
