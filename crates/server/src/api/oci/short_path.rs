//! Paths that are too short to name an image: `HOST/my-image`, and `HOST/PROJECT/REPOSITORY`.
//!
//! Everybody's first mistake. Docker asks for 50 seconds again what is answered by `NAME_INVALID`, and stops at once
//! at `NAME_UNKNOWN`.

use http::StatusCode;
use model::name::{NameError, is_too_short};

use super::{Context, OciError};

/// Why a path names no image. What is wrong with it besides its length stays an invalid name.
pub(super) fn refused(context: &Context, path: &str, error: NameError) -> OciError {
    let implied = context.place.repository.as_ref();
    if !is_too_short(path, implied) {
        return error.into();
    }
    let image = match implied {
        Some(_) => "my-project/my-image",
        None => "my-project/my-repository/my-image",
    };
    // Never a host that only the request names.
    let url = context.app.base_url(&context.arrival);
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    let message = format!("{}, for example docker push {host}/{image}", NameError::MissingImage);
    let hint = "an image is in a repository, and that in a project: name all three";
    OciError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message, hint)
}
