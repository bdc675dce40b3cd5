//! Artifact Registry: every method that is served, with the function that implements it.

use proto::google::devtools::artifactregistry::v1::artifact_registry_server::ArtifactRegistry;
use proto::google::devtools::artifactregistry::v1::{
    Attachment, BatchDeleteVersionsRequest, CreateAttachmentRequest, CreateRepositoryRequest,
    CreateRuleRequest, CreateTagRequest, DeleteAttachmentRequest, DeleteFileRequest,
    DeletePackageRequest, DeleteRepositoryRequest, DeleteRuleRequest, DeleteTagRequest,
    DeleteVersionRequest, DockerImage, DownloadFileRequest, DownloadFileResponse,
    ExplainPullRequest, ExplainPullResponse, File, GetAttachmentRequest, GetDockerImageRequest,
    GetFileRequest, GetPackageRequest, GetProjectSettingsRequest, GetRepositoryRequest,
    GetRuleRequest, GetTagRequest, GetVersionRequest, GetVpcscConfigRequest,
    ListAttachmentsRequest, ListAttachmentsResponse, ListDockerImagesRequest,
    ListDockerImagesResponse, ListFilesRequest, ListFilesResponse, ListPackagesRequest,
    ListPackagesResponse, ListRepositoriesRequest, ListRepositoriesResponse, ListRulesRequest,
    ListRulesResponse, ListTagsRequest, ListTagsResponse, ListVersionsRequest,
    ListVersionsResponse, ListVirtualReadersRequest, ListVirtualReadersResponse, Package,
    ProjectSettings, Repository, ResumeVirtualReaderRequest, Rule, StopVirtualReaderRequest, Tag,
    UpdatePackageRequest, UpdateRepositoryRequest, UpdateRuleRequest, UpdateTagRequest,
    UpdateVersionRequest, Version, VpcscConfig,
};
use proto::google::iam::v1::{
    GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
    TestIamPermissionsResponse,
};
use proto::google::longrunning::Operation;
use tonic::Request;

use super::{
    ApiServices, ServiceAnswer, admitted, attachments, files, images, packages, repositories,
    rules, settings, tags, upstreams, versions,
};
use model::permissions::artifactregistry;

#[tonic::async_trait]
impl ArtifactRegistry for ApiServices {
    async fn list_repositories(
        &self,
        request: Request<ListRepositoriesRequest>,
    ) -> ServiceAnswer<ListRepositoriesResponse> {
        repositories::list(self, request).await
    }

    async fn get_repository(
        &self,
        request: Request<GetRepositoryRequest>,
    ) -> ServiceAnswer<Repository> {
        repositories::get(self, request).await
    }

    async fn create_repository(
        &self,
        request: Request<CreateRepositoryRequest>,
    ) -> ServiceAnswer<Operation> {
        repositories::create(self, request).await
    }

    async fn update_repository(
        &self,
        request: Request<UpdateRepositoryRequest>,
    ) -> ServiceAnswer<Repository> {
        repositories::update(self, request).await
    }

    async fn delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> ServiceAnswer<Operation> {
        repositories::delete(self, request).await
    }

    async fn explain_pull(
        &self,
        request: Request<ExplainPullRequest>,
    ) -> ServiceAnswer<ExplainPullResponse> {
        upstreams::explain_pull(self, request).await
    }

    async fn list_virtual_readers(
        &self,
        request: Request<ListVirtualReadersRequest>,
    ) -> ServiceAnswer<ListVirtualReadersResponse> {
        upstreams::list_readers(self, request).await
    }

    async fn stop_virtual_reader(
        &self,
        request: Request<StopVirtualReaderRequest>,
    ) -> ServiceAnswer<()> {
        let admitted = admitted(&request)?;
        let StopVirtualReaderRequest { name, reader } = request.into_inner();
        upstreams::set_reader(self, &admitted, &name, upstreams::change(&reader, false)?).await
    }

    async fn resume_virtual_reader(
        &self,
        request: Request<ResumeVirtualReaderRequest>,
    ) -> ServiceAnswer<()> {
        let admitted = admitted(&request)?;
        let ResumeVirtualReaderRequest { name, reader } = request.into_inner();
        upstreams::set_reader(self, &admitted, &name, upstreams::change(&reader, true)?).await
    }

    async fn get_iam_policy(&self, request: Request<GetIamPolicyRequest>) -> ServiceAnswer<Policy> {
        self.get_policy(request, artifactregistry::REPOSITORIES_GET_IAM_POLICY).await
    }

    async fn set_iam_policy(&self, request: Request<SetIamPolicyRequest>) -> ServiceAnswer<Policy> {
        self.set_policy(request, artifactregistry::REPOSITORIES_SET_IAM_POLICY).await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> ServiceAnswer<TestIamPermissionsResponse> {
        self.test_permissions(request).await
    }

    async fn list_docker_images(
        &self,
        request: Request<ListDockerImagesRequest>,
    ) -> ServiceAnswer<ListDockerImagesResponse> {
        images::list(self, request).await
    }

    async fn get_docker_image(
        &self,
        request: Request<GetDockerImageRequest>,
    ) -> ServiceAnswer<DockerImage> {
        images::get(self, request).await
    }

    async fn list_packages(
        &self,
        request: Request<ListPackagesRequest>,
    ) -> ServiceAnswer<ListPackagesResponse> {
        packages::list(self, request).await
    }

    async fn get_package(&self, request: Request<GetPackageRequest>) -> ServiceAnswer<Package> {
        packages::get(self, request).await
    }

    async fn update_package(
        &self,
        request: Request<UpdatePackageRequest>,
    ) -> ServiceAnswer<Package> {
        packages::update(self, request).await
    }

    async fn delete_package(
        &self,
        request: Request<DeletePackageRequest>,
    ) -> ServiceAnswer<Operation> {
        packages::delete(self, request).await
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> ServiceAnswer<ListVersionsResponse> {
        versions::list(self, request).await
    }

    async fn get_version(&self, request: Request<GetVersionRequest>) -> ServiceAnswer<Version> {
        versions::get(self, request).await
    }

    async fn update_version(
        &self,
        request: Request<UpdateVersionRequest>,
    ) -> ServiceAnswer<Version> {
        versions::update(self, request).await
    }

    async fn delete_version(
        &self,
        request: Request<DeleteVersionRequest>,
    ) -> ServiceAnswer<Operation> {
        versions::delete(self, request).await
    }

    async fn batch_delete_versions(
        &self,
        request: Request<BatchDeleteVersionsRequest>,
    ) -> ServiceAnswer<Operation> {
        versions::delete_several(self, request).await
    }

    async fn list_tags(
        &self,
        request: Request<ListTagsRequest>,
    ) -> ServiceAnswer<ListTagsResponse> {
        tags::list(self, request).await
    }

    async fn get_tag(&self, request: Request<GetTagRequest>) -> ServiceAnswer<Tag> {
        tags::get(self, request).await
    }

    async fn create_tag(&self, request: Request<CreateTagRequest>) -> ServiceAnswer<Tag> {
        tags::create(self, request).await
    }

    async fn update_tag(&self, request: Request<UpdateTagRequest>) -> ServiceAnswer<Tag> {
        tags::update(self, request).await
    }

    async fn delete_tag(&self, request: Request<DeleteTagRequest>) -> ServiceAnswer<()> {
        tags::delete(self, request).await
    }

    async fn list_rules(
        &self,
        request: Request<ListRulesRequest>,
    ) -> ServiceAnswer<ListRulesResponse> {
        rules::list(self, request).await
    }

    async fn get_rule(&self, request: Request<GetRuleRequest>) -> ServiceAnswer<Rule> {
        rules::get(self, request).await
    }

    async fn create_rule(&self, request: Request<CreateRuleRequest>) -> ServiceAnswer<Rule> {
        rules::create(self, request).await
    }

    async fn update_rule(&self, request: Request<UpdateRuleRequest>) -> ServiceAnswer<Rule> {
        rules::update(self, request).await
    }

    async fn delete_rule(&self, request: Request<DeleteRuleRequest>) -> ServiceAnswer<()> {
        rules::delete(self, request).await
    }

    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> ServiceAnswer<ListFilesResponse> {
        files::list(self, request).await
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> ServiceAnswer<File> {
        files::get(self, request).await
    }

    async fn download_file(
        &self,
        request: Request<DownloadFileRequest>,
    ) -> ServiceAnswer<DownloadFileResponse> {
        files::download(self, request).await
    }

    async fn delete_file(&self, request: Request<DeleteFileRequest>) -> ServiceAnswer<Operation> {
        files::delete(self, request).await
    }

    async fn list_attachments(
        &self,
        request: Request<ListAttachmentsRequest>,
    ) -> ServiceAnswer<ListAttachmentsResponse> {
        attachments::list(self, request).await
    }

    async fn get_attachment(
        &self,
        request: Request<GetAttachmentRequest>,
    ) -> ServiceAnswer<Attachment> {
        attachments::get(self, request).await
    }

    async fn create_attachment(
        &self,
        request: Request<CreateAttachmentRequest>,
    ) -> ServiceAnswer<Operation> {
        attachments::create(self, request).await
    }

    async fn delete_attachment(
        &self,
        request: Request<DeleteAttachmentRequest>,
    ) -> ServiceAnswer<Operation> {
        attachments::delete(self, request).await
    }

    async fn get_project_settings(
        &self,
        request: Request<GetProjectSettingsRequest>,
    ) -> ServiceAnswer<ProjectSettings> {
        settings::project_settings(request)
    }

    async fn get_vpcsc_config(
        &self,
        request: Request<GetVpcscConfigRequest>,
    ) -> ServiceAnswer<VpcscConfig> {
        settings::vpcsc_config(self, request)
    }
}
