//! The manifest and the config of a version as they are stored, for a download.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use model::artifact_name::VersionName;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::html::short_digest;
use crate::page::secured;
use crate::request::ConsoleRequest;

pub(crate) async fn manifest(
    request: &ConsoleRequest,
    name: VersionName,
) -> Result<Response, ConsoleError> {
    let content = read(request, &name).await?;
    Ok(download(request, &name, "manifest", content.manifest))
}

pub(crate) async fn config(
    request: &ConsoleRequest,
    name: VersionName,
) -> Result<Response, ConsoleError> {
    let content = read(request, &name).await?;
    let config = content.config.ok_or(ConsoleError::NotFound)?;
    Ok(download(request, &name, "config", config))
}

async fn read(
    request: &ConsoleRequest,
    name: &VersionName,
) -> Result<engine::VersionContent, ConsoleError> {
    let resource = Resource::Repository(name.package.repository.clone());
    let permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
    let authorized = request.authorize(permission, resource).await?;
    Ok(request.engine().read_version(&authorized, name).await?)
}

/// Answers with bytes of a stranger. The browser stores them and shows nothing of them.
fn download(request: &ConsoleRequest, name: &VersionName, kind: &str, bytes: Bytes) -> Response {
    let file = format!("{}-{kind}.json", short_digest(name.digest.as_str()));
    let response = Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\""))
        .header(CONTENT_LENGTH, bytes.len())
        .header(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
        )
        .body(Body::from(bytes))
        .expect("the headers are made of hexadecimal digits and words");
    secured(request, response)
}
