//! Annotations of images and of their versions, as the APIs set them.

use std::collections::BTreeMap;

use identity::Authorized;
use meta::images::{self, ManifestDetails};
use meta::packages::{self, PackageDetails};
use meta::{Tx, events};
use model::artifact_name::{PackageName, VersionName};

use crate::access::ImageContext;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::{find_package, package_unknown, version_unknown};
use model::permissions::artifactregistry;

/// The largest number of annotations of an image or version.
const MOST: usize = 64;
/// The largest sum of the lengths of all keys and values, in bytes.
const LONGEST: usize = 4_096;

/// The new annotations by their keys, or `None` if they do not change.
pub type Annotations = Option<BTreeMap<String, String>>;

impl Engine {
    /// Replaces all annotations of an image.
    pub async fn annotate_package(
        &self,
        admitted: &Authorized,
        name: &PackageName,
        annotations: Annotations,
    ) -> Result<PackageDetails, EngineError> {
        let at = self.image_context(admitted, artifactregistry::PACKAGES_UPDATE, name).await?;
        let annotations = written("package.annotations", annotations)?;
        let now = self.clock.now();
        self.write(move |tx| {
            let package = find_package(tx, &at)?;
            if let Some(annotations) = &annotations {
                packages::set_annotations(tx, &package, annotations)?;
                events::insert(tx, &at.event("annotate-package", now))?;
            }
            let found = packages::find_details(tx, &at.repository().id, at.image_name())?;
            found.ok_or_else(|| package_unknown(&at))
        })
        .await
    }

    /// Replaces all annotations of a version. Those in its manifest are hidden by them, and do not change.
    pub async fn annotate_version(
        &self,
        admitted: &Authorized,
        name: &VersionName,
        annotations: Annotations,
    ) -> Result<ManifestDetails, EngineError> {
        let at =
            self.image_context(admitted, artifactregistry::VERSIONS_UPDATE, &name.package).await?;
        let annotations = written("version.annotations", annotations)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.write(move |tx| {
            let mut found = version(tx, &at, &name)?;
            if let Some(annotations) = &annotations {
                images::set_annotations(tx, &found.id, annotations)?;
                let digest = Some(name.digest.clone());
                let event = events::AuditEvent { digest, ..at.event("annotate", now) };
                events::insert(tx, &event)?;
                found.annotations.clone_from(annotations);
            }
            Ok(found)
        })
        .await
    }
}

fn version(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    name: &VersionName,
) -> Result<ManifestDetails, EngineError> {
    let package = find_package(tx, at)?;
    images::find(tx, &package, &name.digest)?.ok_or_else(|| version_unknown(name))
}

/// Reads annotations from the JSON of their column, which is always an object of strings.
pub fn annotations(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Returns the JSON of annotations for their column. Refuses too many of them, too long ones, and odd keys.
fn written(field: &'static str, annotations: Annotations) -> Result<Option<String>, EngineError> {
    let Some(annotations) = annotations else { return Ok(None) };
    let length: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let is_odd = |key: &String| key.is_empty() || key.contains(char::is_control);
    let problem = if annotations.len() > MOST || length > LONGEST {
        format!("at most {MOST}, of {LONGEST} bytes together")
    } else if annotations.keys().any(is_odd) {
        "a key must not be empty, nor have control characters".to_owned()
    } else {
        return Ok(Some(serde_json::to_string(&annotations).expect("texts are always JSON")));
    };
    Err(EngineError::InvalidArgument { field, problem })
}
