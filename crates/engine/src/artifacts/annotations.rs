//! Annotations of images and of their versions, as the APIs set them.

use std::collections::BTreeMap;

use identity::Authorized;
use meta::Tx;
use meta::events::{self, EventAction};
use meta::images::{self, ManifestDetails};
use meta::packages::{self, PackageDetails};
use model::artifact_name::{PackageName, VersionName};

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::{find_package, package_unknown, version_unknown};
use model::permissions::artifactregistry;

/// The largest number of annotations of an image or version.
const MAX_ANNOTATIONS: usize = 64;
/// The largest sum of the lengths of all keys and values, in bytes.
const MAX_BYTES: usize = 4_096;

/// The new annotations by their keys, or `None` if they do not change.
pub type Annotations = Option<BTreeMap<String, String>>;

impl Engine {
    /// Replaces all annotations of an image.
    pub async fn annotate_package(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        annotations: Annotations,
    ) -> Result<PackageDetails, EngineError> {
        let image =
            self.image_to_change(authorized, artifactregistry::PACKAGES_UPDATE, name).await?;
        let annotations = to_json("package.annotations", annotations)?;
        let now = self.clock.now();
        self.write(move |tx| {
            let package = find_package(tx, &image)?;
            if let Some(annotations) = &annotations {
                packages::set_annotations(tx, &package, annotations)?;
                events::insert(tx, &image.event(EventAction::AnnotatePackage, now))?;
            }
            let package = packages::find_details(tx, &image.repository().id, image.image_name())?;
            package.ok_or_else(|| package_unknown(&image))
        })
        .await
    }

    /// Replaces all annotations of a version. Those in its manifest are hidden by them, and do not change.
    pub async fn annotate_version(
        &self,
        authorized: &Authorized,
        name: &VersionName,
        annotations: Annotations,
    ) -> Result<ManifestDetails, EngineError> {
        let image = self
            .image_to_change(authorized, artifactregistry::VERSIONS_UPDATE, &name.package)
            .await?;
        let annotations = to_json("version.annotations", annotations)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.write(move |tx| {
            let mut manifest = find_version(tx, &image, &name)?;
            if let Some(annotations) = &annotations {
                images::set_annotations(tx, &manifest.id, annotations)?;
                let digest = Some(name.digest.clone());
                let event =
                    events::AuditEvent { digest, ..image.event(EventAction::Annotate, now) };
                events::insert(tx, &event)?;
                manifest.annotations.clone_from(annotations);
            }
            Ok(manifest)
        })
        .await
    }
}

fn find_version(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    name: &VersionName,
) -> Result<ManifestDetails, EngineError> {
    let package = find_package(tx, image)?;
    images::find(tx, &package, &name.digest)?.ok_or_else(|| version_unknown(name))
}

/// Reads annotations from the JSON of their column, which is always an object of strings.
pub fn annotations(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Returns the JSON of annotations for their column. Refuses too many of them, too long ones, and odd keys.
fn to_json(field: &'static str, annotations: Annotations) -> Result<Option<String>, EngineError> {
    let Some(annotations) = annotations else { return Ok(None) };
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let is_odd = |key: &String| key.is_empty() || key.contains(char::is_control);
    let problem = if annotations.len() > MAX_ANNOTATIONS || bytes > MAX_BYTES {
        format!("at most {MAX_ANNOTATIONS} annotations, of {MAX_BYTES} bytes together")
    } else if annotations.keys().any(is_odd) {
        "a key must not be empty, nor have control characters".to_owned()
    } else {
        return Ok(Some(serde_json::to_string(&annotations).expect("texts are always JSON")));
    };
    Err(EngineError::InvalidArgument { field, problem })
}
