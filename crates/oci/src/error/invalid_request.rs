//! The errors of invalid requests: names, references, digests, page sizes, manifests, and bodies that end early.

use engine::BodyError;
use http::StatusCode;
use model::digest::DigestError;
use model::manifest::ManifestError;
use model::name::NameError;
use model::page_size::PageSizeError;
use model::reference::ReferenceError;

use super::OciError;

impl From<NameError> for OciError {
    fn from(error: NameError) -> Self {
        let hint = "images are addressed as HOST/PROJECT/REPOSITORY/IMAGE";
        Self::bad_request("NAME_INVALID", error.to_string(), hint)
    }
}

impl From<ReferenceError> for OciError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag => Self::bad_request(
                "TAG_INVALID",
                error.to_string(),
                "choose a tag such as 1.0 or latest",
            ),
            ReferenceError::Digest(error) => error.into(),
        }
    }
}

impl From<DigestError> for OciError {
    fn from(error: DigestError) -> Self {
        let hint = "copy the whole digest, as the push of the content printed it";
        Self::bad_request("DIGEST_INVALID", error.to_string(), hint)
    }
}

impl From<PageSizeError> for OciError {
    fn from(error: PageSizeError) -> Self {
        let hint = "leave n out, and follow the Link header to the next page";
        Self::bad_request("PAGINATION_NUMBER_INVALID", error.to_string(), hint)
    }
}

impl From<ManifestError> for OciError {
    fn from(error: ManifestError) -> Self {
        let is_large = matches!(error, ManifestError::TooLarge);
        let status = if is_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        let hint = match error {
            ManifestError::TooLarge => "push large annotations as a layer, or split the index",
            ManifestError::TooManyDescriptors(_) => "merge layers, or split the index",
            ManifestError::Json(_) => {
                "write plain JSON in UTF-8 with no key twice and the fields spelled as specified"
            }
            ManifestError::Schema1 => "skopeo copy --format v2s2 converts it",
            ManifestError::SchemaVersion => "set schemaVersion to 2",
            ManifestError::NoMediaType => "send the manifest's media type as Content-Type",
            ManifestError::MediaTypeMismatch { .. } => {
                "send as Content-Type what the manifest has as mediaType"
            }
            ManifestError::UnknownMediaType(_) => "push it as an OCI manifest with an artifactType",
            ManifestError::ForeignField { .. } | ManifestError::MissingField { .. } => {
                "an image has config and layers, an index has manifests, and none has both"
            }
            ManifestError::Digest { .. } => "name the content by its sha256 or sha512 digest",
            ManifestError::Size { .. } => "state the content's length in bytes",
            ManifestError::TwoSizes(_) => "state the same size wherever that digest stands",
            ManifestError::ArtifactType => "use a media type such as application/vnd.example.sbom",
        };
        Self::new(status, "MANIFEST_INVALID", error.to_string(), hint)
    }
}

impl From<BodyError> for OciError {
    fn from(error: BodyError) -> Self {
        let (status, hint) = match error {
            BodyError::Closed => (StatusCode::BAD_REQUEST, "the connection broke: push again"),
            BodyError::Stalled => {
                (StatusCode::REQUEST_TIMEOUT, "the connection was stuck: push again")
            }
        };
        let message = format!("request body ended early: {error}");
        Self::new(status, "BLOB_UPLOAD_INVALID", message, hint)
    }
}
