//! A version in the `manifest` field of a list of tags, as Google has it.

use engine::ListedVersion;
use serde_json::{Value, json};

/// What a digest is, for `gcrane` and for cleaners: sizes and times are texts there.
pub(super) fn entry(version: &ListedVersion) -> Value {
    json!({
        "imageSizeBytes": version.image_bytes.to_string(),
        "mediaType": version.media_type,
        "timeCreatedMs": (version.built_at.unwrap_or_default() / 1000).to_string(),
        "timeUploadedMs": (version.uploaded_at / 1000).to_string(),
    })
}
