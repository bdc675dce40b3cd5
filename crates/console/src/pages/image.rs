//! The page of an image: one of its lists.

use axum::response::Response;
use model::artifact_name::PackageName;

use crate::error::ConsoleError;
use crate::pages::tags;
use crate::pages::versions::{self, ListedVersions};
use crate::request::ConsoleRequest;

/// Shows the list that the address names, and usually the tags.
pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    match request.query.get("view") {
        None => tags::show(request, name).await,
        Some("versions") => versions::show(request, name, ListedVersions::All).await,
        Some("untagged") => versions::show(request, name, ListedVersions::Untagged).await,
        Some(_) => Err(ConsoleError::NotFound),
    }
}
