//! A version in the `manifest` field of a list of tags, in Google's form.

use engine::ListedVersion;
use serde_json::{Value, json};

/// Returns the properties of a version, for `gcrane` and for cleanup programs. Sizes and times are texts.
pub(super) fn version_entry(version: &ListedVersion) -> Value {
    json!({
        "imageSizeBytes": version.image_bytes.to_string(),
        "mediaType": version.media_type,
        "timeCreatedMs": (version.built_at.unwrap_or_default() / 1000).to_string(),
        "timeUploadedMs": (version.uploaded_at / 1000).to_string(),
    })
}
