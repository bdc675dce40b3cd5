//! Artifact Registry: every method that is served, and where it is.

use proto::google::devtools::artifactregistry::v1::artifact_registry_server::ArtifactRegistry;
use proto::google::devtools::artifactregistry::v1::{
    Attachment, BatchDeleteVersionsRequest, CreateAttachmentRequest, CreateRepositoryRequest,
    CreateRuleRequest, CreateTagRequest, DeleteAttachmentRequest, DeleteFileRequest,
    DeletePackageRequest, DeleteRepositoryRequest, DeleteRuleRequest, DeleteTagRequest,
    DeleteVersionRequest, DockerImage, DownloadFileRequest, DownloadFileResponse, File,
    GetAttachmentRequest, GetDockerImageRequest, GetFileRequest, GetPackageRequest,
    GetProjectSettingsRequest, GetRepositoryRequest, GetRuleRequest, GetTagRequest,
    GetVersionRequest, GetVpcscConfigRequest, ListAttachmentsRequest, ListAttachmentsResponse,
    ListDockerImagesRequest, ListDockerImagesResponse, ListFilesRequest, ListFilesResponse,
    ListPackagesRequest, ListPackagesResponse, ListRepositoriesRequest, ListRepositoriesResponse,
    ListRulesRequest, ListRulesResponse, ListTagsRequest, ListTagsResponse, ListVersionsRequest,
    ListVersionsResponse, Package, ProjectSettings, Repository, Rule, Tag, UpdatePackageRequest,
    UpdateRepositoryRequest, UpdateRuleRequest, UpdateTagRequest, UpdateVersionRequest, Version,
    VpcscConfig,
};
use proto::google::iam::v1::{
    GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
    TestIamPermissionsResponse,
};
use proto::google::longrunning::Operation;
use tonic::Request;

use super::{
    Answer, Services, attachments, files, images, packages, repositories, rules, settings, tags,
    versions,
};

#[tonic::async_trait]
impl ArtifactRegistry for Services {
    async fn list_repositories(
        &self,
        request: Request<ListRepositoriesRequest>,
    ) -> Answer<ListRepositoriesResponse> {
        repositories::list(self, request).await
    }

    async fn get_repository(&self, request: Request<GetRepositoryRequest>) -> Answer<Repository> {
        repositories::get(self, request).await
    }

    async fn create_repository(
        &self,
        request: Request<CreateRepositoryRequest>,
    ) -> Answer<Operation> {
        repositories::create(self, request).await
    }

    async fn update_repository(
        &self,
        request: Request<UpdateRepositoryRequest>,
    ) -> Answer<Repository> {
        repositories::update(self, request).await
    }

    async fn delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> Answer<Operation> {
        repositories::delete(self, request).await
    }

    async fn get_iam_policy(&self, request: Request<GetIamPolicyRequest>) -> Answer<Policy> {
        self.get_policy(request, "artifactregistry.repositories.getIamPolicy").await
    }

    async fn set_iam_policy(&self, request: Request<SetIamPolicyRequest>) -> Answer<Policy> {
        self.set_policy(request, "artifactregistry.repositories.setIamPolicy").await
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Answer<TestIamPermissionsResponse> {
        self.test_permissions(request).await
    }

    async fn list_docker_images(
        &self,
        request: Request<ListDockerImagesRequest>,
    ) -> Answer<ListDockerImagesResponse> {
        images::list(self, request).await
    }

    async fn get_docker_image(
        &self,
        request: Request<GetDockerImageRequest>,
    ) -> Answer<DockerImage> {
        images::get(self, request).await
    }

    async fn list_packages(
        &self,
        request: Request<ListPackagesRequest>,
    ) -> Answer<ListPackagesResponse> {
        packages::list(self, request).await
    }

    async fn get_package(&self, request: Request<GetPackageRequest>) -> Answer<Package> {
        packages::get(self, request).await
    }

    async fn update_package(&self, request: Request<UpdatePackageRequest>) -> Answer<Package> {
        packages::update(self, request).await
    }

    async fn delete_package(&self, request: Request<DeletePackageRequest>) -> Answer<Operation> {
        packages::delete(self, request).await
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Answer<ListVersionsResponse> {
        versions::list(self, request).await
    }

    async fn get_version(&self, request: Request<GetVersionRequest>) -> Answer<Version> {
        versions::get(self, request).await
    }

    async fn update_version(&self, request: Request<UpdateVersionRequest>) -> Answer<Version> {
        versions::update(self, request).await
    }

    async fn delete_version(&self, request: Request<DeleteVersionRequest>) -> Answer<Operation> {
        versions::delete(self, request).await
    }

    async fn batch_delete_versions(
        &self,
        request: Request<BatchDeleteVersionsRequest>,
    ) -> Answer<Operation> {
        versions::delete_several(self, request).await
    }

    async fn list_tags(&self, request: Request<ListTagsRequest>) -> Answer<ListTagsResponse> {
        tags::list(self, request).await
    }

    async fn get_tag(&self, request: Request<GetTagRequest>) -> Answer<Tag> {
        tags::get(self, request).await
    }

    async fn create_tag(&self, request: Request<CreateTagRequest>) -> Answer<Tag> {
        tags::create(self, request).await
    }

    async fn update_tag(&self, request: Request<UpdateTagRequest>) -> Answer<Tag> {
        tags::update(self, request).await
    }

    async fn delete_tag(&self, request: Request<DeleteTagRequest>) -> Answer<()> {
        tags::delete(self, request).await
    }

    async fn list_rules(&self, request: Request<ListRulesRequest>) -> Answer<ListRulesResponse> {
        rules::list(self, request).await
    }

    async fn get_rule(&self, request: Request<GetRuleRequest>) -> Answer<Rule> {
        rules::get(self, request).await
    }

    async fn create_rule(&self, request: Request<CreateRuleRequest>) -> Answer<Rule> {
        rules::create(self, request).await
    }

    async fn update_rule(&self, request: Request<UpdateRuleRequest>) -> Answer<Rule> {
        rules::update(self, request).await
    }

    async fn delete_rule(&self, request: Request<DeleteRuleRequest>) -> Answer<()> {
        rules::delete(self, request).await
    }

    async fn list_files(&self, request: Request<ListFilesRequest>) -> Answer<ListFilesResponse> {
        files::list(self, request).await
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Answer<File> {
        files::get(self, request).await
    }

    async fn download_file(
        &self,
        request: Request<DownloadFileRequest>,
    ) -> Answer<DownloadFileResponse> {
        files::download(self, request).await
    }

    async fn delete_file(&self, request: Request<DeleteFileRequest>) -> Answer<Operation> {
        files::delete(self, request).await
    }

    async fn list_attachments(
        &self,
        request: Request<ListAttachmentsRequest>,
    ) -> Answer<ListAttachmentsResponse> {
        attachments::list(self, request).await
    }

    async fn get_attachment(&self, request: Request<GetAttachmentRequest>) -> Answer<Attachment> {
        attachments::get(self, request).await
    }

    async fn create_attachment(
        &self,
        request: Request<CreateAttachmentRequest>,
    ) -> Answer<Operation> {
        attachments::create(self, request).await
    }

    async fn delete_attachment(
        &self,
        request: Request<DeleteAttachmentRequest>,
    ) -> Answer<Operation> {
        attachments::delete(self, request).await
    }

    async fn get_project_settings(
        &self,
        request: Request<GetProjectSettingsRequest>,
    ) -> Answer<ProjectSettings> {
        settings::of_project(request)
    }

    async fn get_vpcsc_config(
        &self,
        request: Request<GetVpcscConfigRequest>,
    ) -> Answer<VpcscConfig> {
        settings::of_place(self, request)
    }
}
