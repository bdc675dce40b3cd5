//! Parsing and checking of manifests.
//!
//! The bytes of a manifest are stored and served exactly as a client sent them. They are parsed here to check them, and
//! to find the content that the manifest names. A document that two clients could read differently is refused.

mod fields;
mod named_content;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest::{Digest, DigestError};
use crate::image_config::Platform;
use crate::json;
use crate::media_type::{self, ManifestKind};

pub use named_content::{ContentLookup, NamedContent, RequiredContent};

/// The size of the largest manifest: 4 MiB. OCI Distribution asks registries to accept at least that much, and clients
/// read no more.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// The largest number of descriptors of one manifest, its subject not counted.
pub const MAX_DESCRIPTORS: usize = 5_000;

/// The length of the longest artifact type: two names of at most 127 characters and a slash (RFC 6838, section 4.2).
/// Lists read the types of many manifests at once. Only visible ASCII and spaces are allowed: PostgreSQL accepts no NUL
/// in a text.
pub const MAX_ARTIFACT_TYPE_CHARS: usize = 255;

/// The content of the empty blob, which a manifest names where it has to name a blob and has none (image
/// specification, "guidance for an empty descriptor").
pub const EMPTY_BLOB: &[u8] = b"{}";
/// The digest of the empty blob.
pub const EMPTY_BLOB_DIGEST: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// The reasons why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The manifest has more than [`MAX_MANIFEST_BYTES`].
    #[error("manifest is larger than the limit of {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// The manifest has more than [`MAX_DESCRIPTORS`].
    #[error("manifest has {0} descriptors; the limit is {MAX_DESCRIPTORS}")]
    TooManyDescriptors(usize),
    /// The document is not JSON, is ambiguous, or has a field of the wrong type.
    #[error("manifest is not valid: {0}")]
    Json(String),
    /// The manifest has Docker's schema 1.
    #[error(
        "manifest has Docker's old schema 1, which cannot be verified: push it again with a current client, or convert it by copying it with skopeo or crane"
    )]
    Schema1,
    /// The `schemaVersion` is not 2.
    #[error("manifest must have schemaVersion 2")]
    SchemaVersion,
    /// The manifest has no `mediaType`, and the Content-Type is missing or not that of a manifest.
    #[error("manifest has no mediaType, and the request has no Content-Type of a manifest")]
    NoMediaType,
    /// The Content-Type and the `mediaType` differ.
    #[error(
        "manifest has mediaType {stated:?}, but the request's Content-Type is {content_type:?}"
    )]
    MediaTypeMismatch {
        /// The manifest's `mediaType`.
        stated: String,
        /// The request's Content-Type.
        content_type: String,
    },
    /// The media type is not one of a manifest.
    #[error(
        "{0:?} is not a media type of manifests; accepted are OCI manifests and indexes, and Docker schema 2 manifests and lists"
    )]
    UnknownMediaType(String),
    /// An image has a field of an index, or an index a field of an image.
    #[error("manifest of type {media_type} must not have {field:?}")]
    ForeignField {
        /// The manifest's media type.
        media_type: String,
        /// The name of the field.
        field: &'static str,
    },
    /// A field that is required for this media type is missing.
    #[error("manifest of type {media_type} must have {field:?}")]
    MissingField {
        /// The manifest's media type.
        media_type: String,
        /// The name of the field.
        field: &'static str,
    },
    /// The digest of a descriptor is not valid.
    #[error("{place}: {problem}")]
    Digest {
        /// The position of the descriptor, such as `layers[0]`.
        place: String,
        /// The reason why the digest is not valid.
        problem: DigestError,
    },
    /// The size of a descriptor is too large.
    #[error("{place}: size {size} is out of range")]
    Size {
        /// The position of the descriptor, such as `layers[0]`.
        place: String,
        /// The size in the descriptor.
        size: u64,
    },
    /// Two descriptors have the same digest and different sizes.
    #[error("manifest states two sizes for {0}")]
    TwoSizes(Digest),
    /// The `artifactType`, or the config's media type in its place, is too long or has other characters.
    #[error(
        "artifactType, or else the config's mediaType, must have at most {MAX_ARTIFACT_TYPE_CHARS} characters, all of them visible ASCII or spaces"
    )]
    ArtifactType,
}

/// A descriptor: the media type, digest and size of content that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, at most 2^63 − 1.
    pub size: u64,
    /// Addresses from which the content can be downloaded. A blob that has some need not be in this registry.
    pub urls: Vec<String>,
    /// The platform of an image, in a descriptor of an index.
    pub platform: Option<Platform>,
}

/// A manifest that has passed all checks for which its bytes are enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type that the manifest is served with.
    pub media_type: String,
    /// The kind of manifest: an image or an index.
    pub kind: ManifestKind,
    /// The config of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image.
    pub layers: Vec<Descriptor>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this manifest refers to.
    pub subject: Option<Descriptor>,
    /// The manifest's `artifactType`, or else the media type of its config.
    pub artifact_type: Option<String>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest as it is in JSON, not yet checked. Go's encoder writes null for an empty list, so that null is read as an
/// empty list in `layers` and `manifests`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    #[serde(default, deserialize_with = "null_as_empty")]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default, deserialize_with = "null_as_empty")]
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
    // Only manifests of schema 1 have these two fields.
    fs_layers: Option<IgnoredAny>,
    signatures: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    urls: Option<Vec<String>>,
    platform: Option<Platform>,
}

fn null_as_empty<'de, D, T>(reader: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Option::<Vec<T>>::deserialize(reader)?.unwrap_or_default()))
}

impl Manifest {
    /// Parses and checks a manifest that a client sent with this Content-Type.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let content_type =
            content_type.map(media_type::media_type_essence).filter(|text| !text.is_empty());
        if content_type.as_deref().is_some_and(media_type::is_schema_1) {
            return Err(ManifestError::Schema1);
        }
        let raw: RawManifest = json::parse_document(bytes, &fields::MANIFEST)
            .map_err(|error| ManifestError::Json(json::describe_error(&error)))?;
        raw.check_schema()?;
        let media_type = raw.decide_media_type(content_type)?;
        let kind = ManifestKind::of(&media_type)
            .ok_or_else(|| ManifestError::UnknownMediaType(shortened(&media_type)))?;
        raw.check_fields(kind, &media_type)?;
        let manifest = raw.convert(kind, media_type)?;
        manifest.check_descriptors()?;
        Ok(manifest)
    }

    /// Parses a manifest that was accepted before. An older Berth, with fewer checks, may have accepted the manifest,
    /// so that only those checks are made here without which it cannot be read.
    pub fn parse_stored(bytes: &[u8], media_type: &str) -> Result<Self, ManifestError> {
        let raw: RawManifest = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(json::describe_error(&error)))?;
        let kind = ManifestKind::of(media_type)
            .ok_or_else(|| ManifestError::UnknownMediaType(shortened(media_type)))?;
        raw.convert(kind, media_type.to_owned())
    }

    /// Returns the digests and stated sizes of the config and the layers. Layers with URLs are left out: such a layer
    /// need not be in this registry.
    pub fn required_blob_sizes(&self) -> BTreeMap<Digest, u64> {
        let blobs = self.config.iter().chain(&self.layers);
        blobs
            .filter(|blob| blob.urls.is_empty())
            .map(|blob| (blob.digest.clone(), blob.size))
            .collect()
    }

    /// Returns the sum of the sizes of all descriptors except the subject, at most `MAX_CONTENT_SIZE`.
    pub fn content_size(&self) -> u64 {
        let sizes = self.content().map(|descriptor| descriptor.size);
        sizes.fold(0, u64::saturating_add).min(MAX_CONTENT_SIZE)
    }

    fn content(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers).chain(&self.manifests)
    }

    fn check_descriptors(&self) -> Result<(), ManifestError> {
        let count = self.content().count();
        if count > MAX_DESCRIPTORS {
            return Err(ManifestError::TooManyDescriptors(count));
        }
        let mut sizes = BTreeMap::new();
        for Descriptor { digest, size, .. } in self.content() {
            if sizes.insert(digest, size).is_some_and(|other| other != size) {
                return Err(ManifestError::TwoSizes(digest.clone()));
            }
        }
        Ok(())
    }
}

/// The largest size of content that is stored: half of the largest integer of the databases, which are signed 64-bit
/// integers. With that, the size of the manifest itself can be added without an overflow.
const MAX_CONTENT_SIZE: u64 = i64::MAX as u64 / 2;

impl RawManifest {
    fn check_schema(&self) -> Result<(), ManifestError> {
        let states_schema_1 = self.media_type.as_deref().is_some_and(media_type::is_schema_1);
        if states_schema_1 || self.schema_version == Some(1) || self.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        if self.schema_version != Some(2) || self.signatures.is_some() {
            return Err(ManifestError::SchemaVersion);
        }
        Ok(())
    }

    /// Returns the media type: the manifest's own, or else the Content-Type. If there are both, they must be equal.
    fn decide_media_type(&self, content_type: Option<String>) -> Result<String, ManifestError> {
        match (content_type, self.media_type.clone().filter(|text| !text.is_empty())) {
            (Some(content_type), Some(stated)) if content_type != stated => {
                let stated = shortened(&stated);
                Err(ManifestError::MediaTypeMismatch { stated, content_type })
            }
            (_, Some(stated)) => Ok(stated),
            (Some(content_type), None) if ManifestKind::of(&content_type).is_some() => {
                Ok(content_type)
            }
            (Some(_) | None, None) => Err(ManifestError::NoMediaType),
        }
    }

    fn check_fields(&self, kind: ManifestKind, media_type: &str) -> Result<(), ManifestError> {
        let fields = [
            ("config", ManifestKind::Image, self.config.is_some()),
            ("layers", ManifestKind::Image, self.layers.is_some()),
            ("manifests", ManifestKind::Index, self.manifests.is_some()),
        ];
        for (field, owner, is_present) in fields {
            let media_type = media_type.to_owned();
            if owner != kind && is_present {
                return Err(ManifestError::ForeignField { media_type, field });
            }
            if owner == kind && !is_present {
                return Err(ManifestError::MissingField { media_type, field });
            }
        }
        Ok(())
    }

    fn convert(self, kind: ManifestKind, media_type: String) -> Result<Manifest, ManifestError> {
        let config = self.config.map(|raw| raw.convert(|| "config".to_owned())).transpose()?;
        let subject = self.subject.map(|raw| raw.convert(|| "subject".to_owned())).transpose()?;
        let artifact_type = self
            .artifact_type
            .filter(|text| !text.is_empty())
            .or_else(|| config.as_ref().map(|config| config.media_type.clone()));
        if !artifact_type.as_deref().is_none_or(is_artifact_type) {
            return Err(ManifestError::ArtifactType);
        }
        Ok(Manifest {
            media_type,
            kind,
            config,
            layers: convert_all("layers", self.layers)?,
            manifests: convert_all("manifests", self.manifests)?,
            subject,
            artifact_type,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

/// Returns the beginning of a client's text, as much as an error repeats.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_ARTIFACT_TYPE_CHARS).collect()
}

fn is_artifact_type(text: &str) -> bool {
    text.len() <= MAX_ARTIFACT_TYPE_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn convert_all(
    field: &str,
    raw: Option<Vec<RawDescriptor>>,
) -> Result<Vec<Descriptor>, ManifestError> {
    let raw = raw.unwrap_or_default().into_iter().enumerate();
    raw.map(|(position, raw)| raw.convert(|| format!("{field}[{position}]"))).collect()
}

impl RawDescriptor {
    fn convert(self, place: impl Fn() -> String) -> Result<Descriptor, ManifestError> {
        let digest = self
            .digest
            .parse()
            .map_err(|problem| ManifestError::Digest { place: place(), problem })?;
        if i64::try_from(self.size).is_err() {
            return Err(ManifestError::Size { place: place(), size: self.size });
        }
        Ok(Descriptor {
            media_type: self.media_type,
            digest,
            size: self.size,
            urls: self.urls.unwrap_or_default(),
            platform: self.platform,
        })
    }
}

#[cfg(test)]
mod tests;
