//! Paths that are too short to name an image: `HOST/my-image`, and `HOST/PROJECT/REPOSITORY`.
//!
//! Many people make this mistake first. After `NAME_INVALID`, Docker tries again for 50 seconds. After `NAME_UNKNOWN`,
//! it stops at once.

use http::StatusCode;
use model::name::{NameError, RepositoryId, is_too_short_for_image};

use crate::error::OciError;

/// A path that does not name an image.
pub(super) struct ImagelessPath<'a> {
    /// The path, without `/v2/`.
    pub(super) path: &'a str,
    /// The project and repository that the host implies.
    pub(super) implied: Option<&'a RepositoryId>,
    /// The address that the client is told.
    pub(super) url: &'a str,
}

/// Returns the error of a path that does not name an image. A path that is wrong for another reason than its length
/// stays an invalid name.
pub(super) fn path_error(imageless: ImagelessPath<'_>, error: NameError) -> OciError {
    let ImagelessPath { path, implied, url } = imageless;
    if !is_too_short_for_image(path, implied) {
        return error.into();
    }
    let example = match implied {
        Some(_) => "my-project/my-image",
        None => "my-project/my-repository/my-image",
    };
    // The host of `url`, and never one that only the request names.
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    let message = format!("{}, for example docker push {host}/{example}", NameError::MissingImage);
    let hint = "an image is in a repository, and that in a project: name all three";
    OciError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message, hint)
}
