//! Manifests: what a registry reads of them, and which it refuses.
//!
//! Bytes are stored and served as they came; what is read here serves to check them and to find what they
//! name. A document that two readers could take for two different things is refused.

mod fields;
mod named;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::Platform;
use crate::digest::{Digest, DigestError};
use crate::json;
use crate::media_type::{self, Kind};

pub use named::{ContentLookup, ContentNeed, NamedContent};

/// The largest manifest: what OCI Distribution asks registries to accept at least, and clients read at most.
pub const MAX_BYTES: usize = 4 << 20;

/// How many things one manifest may name.
pub const MAX_DESCRIPTORS: usize = 5_000;

/// The longest artifact type: two names of at most 127 characters and a slash (RFC 6838, section 4.2). Lists
/// read it of many manifests at once, and PostgreSQL takes no NUL in a text.
pub const MAX_ARTIFACT_TYPE: usize = 255;

/// What stands for nothing where a manifest has to name something (image specification, "guidance for an empty
/// descriptor").
pub const EMPTY_BLOB: &[u8] = b"{}";
/// Its digest.
pub const EMPTY_BLOB_DIGEST: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_BYTES`].
    #[error("manifest is larger than the limit of {MAX_BYTES} bytes")]
    TooLarge,
    /// More than [`MAX_DESCRIPTORS`].
    #[error("manifest names {0} things; the limit is {MAX_DESCRIPTORS}")]
    TooManyDescriptors(usize),
    /// Not JSON, or not unambiguous, or a field has the wrong type.
    #[error("manifest is not valid: {0}")]
    Json(String),
    /// Docker's schema 1.
    #[error(
        "manifest has Docker's old schema 1, which cannot be verified: push it again with a current client, or convert it by copying it with skopeo or crane"
    )]
    Schema1,
    /// `schemaVersion` is not 2.
    #[error("manifest must have schemaVersion 2")]
    SchemaVersion,
    /// Neither Content-Type nor `mediaType`.
    #[error("manifest has no mediaType and the request no Content-Type of a manifest")]
    NoMediaType,
    /// Content-Type and `mediaType` differ.
    #[error(
        "manifest has mediaType {stated:?}, but the request's Content-Type is {content_type:?}"
    )]
    MediaTypeMismatch {
        /// What the manifest says.
        stated: String,
        /// What the request says.
        content_type: String,
    },
    /// Not a media type of manifests.
    #[error(
        "{0:?} is no media type of a manifest: OCI manifests and indexes, Docker schema 2 manifests and lists are"
    )]
    UnknownMediaType(String),
    /// A field that only the other kind of manifest has.
    #[error("manifest of type {media_type} must not have {field:?}")]
    ForeignField {
        /// The manifest's type.
        media_type: String,
        /// The field.
        field: &'static str,
    },
    /// A field without which it is nothing.
    #[error("manifest of type {media_type} must have {field:?}")]
    MissingField {
        /// The manifest's type.
        media_type: String,
        /// The field.
        field: &'static str,
    },
    /// A descriptor's digest.
    #[error("{place}: {problem}")]
    Digest {
        /// Which descriptor.
        place: String,
        /// What is wrong with it.
        problem: DigestError,
    },
    /// A descriptor's size.
    #[error("{place}: size {size} is out of range")]
    Size {
        /// Which descriptor.
        place: String,
        /// What it says.
        size: u64,
    },
    /// One digest with two sizes.
    #[error("manifest states two sizes for {0}")]
    TwoSizes(Digest),
    /// An `artifactType`, or the config's media type in its place, that cannot be one.
    #[error(
        "artifactType, or else the config's mediaType, must have at most {MAX_ARTIFACT_TYPE} characters, all of them visible ASCII or spaces"
    )]
    ArtifactType,
}

/// Something that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// How long it is, at most 2^63 − 1.
    pub size: u64,
    /// Where else it is; a blob that is elsewhere need not be here.
    pub urls: Vec<String>,
    /// What it runs on, in an index.
    pub platform: Option<Platform>,
}

/// A manifest that passed every check that needs nothing but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is served as.
    pub media_type: String,
    /// An image or an index.
    pub kind: Kind,
    /// An image's config.
    pub config: Option<Descriptor>,
    /// An image's layers.
    pub layers: Vec<Descriptor>,
    /// An index's manifests.
    pub manifests: Vec<Descriptor>,
    /// What it refers to.
    pub subject: Option<Descriptor>,
    /// What it is: its own `artifactType`, or else the media type of its config.
    pub artifact_type: Option<String>,
    /// What its maker wrote down.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest as it stands in JSON. `Some(None)` would be a field that is null, which Go's encoder makes of an
/// empty list: it counts as an empty one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    #[serde(default, deserialize_with = "nullable")]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default, deserialize_with = "nullable")]
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
    /// Only schema 1 has these.
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

fn nullable<'de, D, T>(reader: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Option::<Vec<T>>::deserialize(reader)?.unwrap_or_default()))
}

impl Manifest {
    /// Reads a manifest that was sent with this Content-Type.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let content_type = content_type.map(media_type::essence).filter(|text| !text.is_empty());
        if content_type.as_deref().is_some_and(media_type::is_schema_1) {
            return Err(ManifestError::Schema1);
        }
        let raw: Raw = json::parse_document(bytes, &fields::MANIFEST)
            .map_err(|error| ManifestError::Json(json::describe(&error)))?;
        raw.check_schema()?;
        let media_type = raw.decide_media_type(content_type)?;
        let kind = Kind::of(&media_type)
            .ok_or_else(|| ManifestError::UnknownMediaType(shown(&media_type)))?;
        raw.check_fields(kind, &media_type)?;
        let manifest = raw.convert(kind, media_type)?;
        manifest.check_descriptors()?;
        Ok(manifest)
    }

    /// Reads a manifest that was accepted, perhaps by an older Berth: as leniently as serde does.
    pub fn parse_stored(bytes: &[u8], media_type: &str) -> Result<Self, ManifestError> {
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(json::describe(&error)))?;
        let kind = Kind::of(media_type)
            .ok_or_else(|| ManifestError::UnknownMediaType(shown(media_type)))?;
        raw.convert(kind, media_type.to_owned())
    }

    /// The blobs that it names and that must be here, with the sizes that it states.
    pub fn sizes(&self) -> BTreeMap<Digest, u64> {
        let blobs = self.config.iter().chain(&self.layers);
        blobs
            .filter(|blob| blob.urls.is_empty())
            .map(|blob| (blob.digest.clone(), blob.size))
            .collect()
    }

    /// How long everything is that it names, without what it refers to.
    pub fn content_size(&self) -> u64 {
        self.content().map(|descriptor| descriptor.size).fold(0, u64::saturating_add).min(LARGEST)
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

/// Half of what 64 bits hold: the databases' integers are signed. Halved once more, so that a manifest's
/// own length can be added.
const LARGEST: u64 = i64::MAX as u64 / 2;

impl Raw {
    fn check_schema(&self) -> Result<(), ManifestError> {
        let stated_1 = self.media_type.as_deref().is_some_and(media_type::is_schema_1);
        if stated_1 || self.schema_version == Some(1) || self.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        if self.schema_version != Some(2) || self.signatures.is_some() {
            return Err(ManifestError::SchemaVersion);
        }
        Ok(())
    }

    /// Content-Type decides where the manifest does not say; where both speak, they must agree.
    fn decide_media_type(&self, content_type: Option<String>) -> Result<String, ManifestError> {
        match (content_type, self.media_type.clone().filter(|text| !text.is_empty())) {
            (Some(content_type), Some(stated)) if content_type != stated => {
                let stated = shown(&stated);
                Err(ManifestError::MediaTypeMismatch { stated, content_type })
            }
            (_, Some(stated)) => Ok(stated),
            (Some(content_type), None) if Kind::of(&content_type).is_some() => Ok(content_type),
            (Some(_) | None, None) => Err(ManifestError::NoMediaType),
        }
    }

    fn check_fields(&self, kind: Kind, media_type: &str) -> Result<(), ManifestError> {
        let fields = [
            ("config", Kind::Image, self.config.is_some()),
            ("layers", Kind::Image, self.layers.is_some()),
            ("manifests", Kind::Index, self.manifests.is_some()),
        ];
        for (field, of, present) in fields {
            let media_type = media_type.to_owned();
            if of != kind && present {
                return Err(ManifestError::ForeignField { media_type, field });
            }
            if of == kind && !present {
                return Err(ManifestError::MissingField { media_type, field });
            }
        }
        Ok(())
    }

    fn convert(self, kind: Kind, media_type: String) -> Result<Manifest, ManifestError> {
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

/// As much of a client's text as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(MAX_ARTIFACT_TYPE).collect()
}

fn is_artifact_type(text: &str) -> bool {
    text.len() <= MAX_ARTIFACT_TYPE && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
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
