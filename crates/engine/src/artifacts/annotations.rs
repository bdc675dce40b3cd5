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

/// How many there may be, ..
const MOST: usize = 64;
/// ..and how long all of them, keys and values.
const LONGEST: usize = 4_096;

/// Texts under keys. `None`: they stay as they are.
pub type Annotations = Option<BTreeMap<String, String>>;

impl Engine {
    /// Sets the annotations of an image; these replace all that it had.
    pub async fn annotate_package(
        &self,
        admitted: &Authorized,
        name: &PackageName,
        annotations: Annotations,
    ) -> Result<PackageDetails, EngineError> {
        let at = self.image_context(admitted, artifactregistry::PACKAGES_UPDATE, name).await?;
        let annotations = written("package.annotations", annotations)?;
        let now = self.clock.now();
        self.meta
            .write(move |tx| {
                let package = find_package(tx, &at)?;
                if let Some(annotations) = &annotations {
                    packages::set_annotations(tx, &package, annotations)?;
                    events::insert(tx, &at.event(EventAction::AnnotatePackage, now))?;
                }
                let found = packages::find_details(tx, &at.repository().id, at.image_name())?;
                found.ok_or_else(|| package_unknown(&at))
            })
            .await
    }

    /// Sets the annotations of a version. They stand in place of those in its manifest, which stay what they are.
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
        self.meta
            .write(move |tx| {
                let mut found = version(tx, &at, &name)?;
                if let Some(annotations) = &annotations {
                    images::set_annotations(tx, &found.id, annotations)?;
                    let digest = Some(name.digest.clone());
                    let event =
                        events::AuditEvent { digest, ..at.event(EventAction::Annotate, now) };
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

/// What rows have as JSON, which is always an object of texts.
pub fn annotations(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// As rows have them, unless there are too many.
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
