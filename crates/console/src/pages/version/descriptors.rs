//! The layers of an image and the manifests of an index, as rows of tables.

use std::collections::BTreeMap;

use engine::{ManifestDetails, VersionRelations};
use model::artifact_name::VersionName;
use model::image_config::Platform;
use model::manifest::Manifest;
use serde::Deserialize;

use crate::html::{Bytes, Untrusted, platform_text, short_digest};
use crate::links::Link;
use crate::pages::artifact_kind::is_unknown;
use crate::pages::version::configuration::ImageConfiguration;
use crate::request::ConsoleRequest;

/// The most layers, and the most platforms, that are shown.
const MAX_ROWS: usize = 1_000;

/// The most attestations of one platform that are shown.
const MAX_ATTESTATIONS: usize = 20;

/// The annotations by which builders say that a manifest of an index is about another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// A layer with the step that made it, or a step that made none.
pub(crate) struct LayerEntry {
    pub(crate) command: Untrusted,
    pub(crate) digest: Option<String>,
    pub(crate) short: String,
    pub(crate) size: Option<Bytes>,
    pub(crate) media_type: Untrusted,
    /// The part of the largest layer, for a bar of up to 100 units.
    pub(crate) share: i64,
}

/// A manifest of an index.
pub(crate) struct PlatformEntry {
    pub(crate) platform: Untrusted,
    pub(crate) digest: String,
    pub(crate) short: String,
    /// `None` if the image does not hold the manifest.
    pub(crate) link: Option<Link>,
    /// `None` if the image does not hold the manifest.
    pub(crate) size: Option<Bytes>,
    /// Manifests of the index that are about this one.
    pub(crate) attestations: Vec<AttestationEntry>,
}

pub(crate) struct AttestationEntry {
    pub(crate) short: String,
    pub(crate) digest: String,
    pub(crate) link: Option<Link>,
}

#[derive(Deserialize)]
struct RawIndex {
    #[serde(default)]
    manifests: Vec<IndexEntry>,
}

/// A manifest that an index names, as the index describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexEntry {
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl IndexEntry {
    /// Returns the manifests that an index names, up to as many as are shown. Another manifest names none.
    pub(super) fn list_of(manifest: &[u8]) -> Vec<Self> {
        let index: Option<RawIndex> = serde_json::from_slice(manifest).ok();
        let mut entries = index.map_or(Vec::new(), |index| index.manifests);
        entries.truncate(MAX_ROWS);
        entries
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// Returns the digest of the manifest that this one is an attestation for.
    fn attested(&self) -> Option<&str> {
        let is_attestation = self.annotation(REFERENCE_TYPE) == Some("attestation-manifest");
        self.annotation(REFERENCE_DIGEST).filter(|_| is_attestation)
    }
}

/// Returns the layers of an image beside the steps of its history. Where their numbers differ, the layers stand alone.
pub(crate) fn layers(manifest: Option<&Manifest>, config: &ImageConfiguration) -> Vec<LayerEntry> {
    let Some(manifest) = manifest else { return Vec::new() };
    let largest = manifest.layers.iter().map(|layer| layer.size).max().unwrap_or(0).max(1);
    let mut left = manifest.layers.iter().take(MAX_ROWS).map(|layer| LayerEntry {
        command: Untrusted::long(""),
        digest: Some(layer.digest.to_string()),
        short: short_digest(layer.digest.as_str()).to_owned(),
        size: Some(Bytes(layer.size as i64)),
        media_type: Untrusted::short(layer.media_type.clone()),
        share: (layer.size as f64 / largest as f64 * 100.0).ceil() as i64,
    });
    let made = config.steps.iter().filter(|step| step.has_layer).count();
    if made != manifest.layers.len() {
        return left.collect();
    }
    let rows = config.steps.iter().map(|step| {
        let layer = if step.has_layer { left.next() } else { None };
        let command = Untrusted::long(step.command.clone());
        match layer {
            Some(layer) => LayerEntry { command, ..layer },
            None => LayerEntry {
                command,
                digest: None,
                short: String::new(),
                size: None,
                media_type: Untrusted::short(""),
                share: 0,
            },
        }
    });
    rows.collect()
}

/// Returns the manifests of an index: one row for each platform. Attestations are with the first platform that has
/// their manifest.
pub(crate) fn platforms(
    request: &ConsoleRequest,
    name: &VersionName,
    relations: &VersionRelations,
    index: Vec<IndexEntry>,
) -> Vec<PlatformEntry> {
    let held: BTreeMap<&str, &ManifestDetails> =
        relations.children.iter().map(|child| (child.digest.as_str(), child)).collect();
    let link = |digest: &str| {
        let child = held.get(digest)?;
        let package = name.package.clone();
        Some(request.links.version(&VersionName { package, digest: child.digest.clone() }))
    };
    let (attestations, entries): (Vec<_>, Vec<_>) =
        index.into_iter().partition(|entry| entry.attested().is_some());
    let mut attached: BTreeMap<&str, Vec<AttestationEntry>> = BTreeMap::new();
    for attestation in &attestations {
        let of_one = attached.entry(attestation.attested().unwrap_or_default()).or_default();
        if of_one.len() < MAX_ATTESTATIONS {
            of_one.push(AttestationEntry {
                short: short_digest(&attestation.digest).to_owned(),
                digest: attestation.digest.clone(),
                link: link(&attestation.digest),
            });
        }
    }
    let entry = |entry: IndexEntry| {
        let platform = entry.platform.as_ref().map(platform_text);
        let platform = platform.filter(|platform| !is_unknown(platform));
        PlatformEntry {
            platform: Untrusted::short(platform.unwrap_or_else(|| "—".to_owned())),
            short: short_digest(&entry.digest).to_owned(),
            link: link(&entry.digest),
            size: held.get(entry.digest.as_str()).map(|child| Bytes(child.image_bytes)),
            attestations: attached.remove(entry.digest.as_str()).unwrap_or_default(),
            digest: entry.digest,
        }
    };
    entries.into_iter().map(entry).collect()
}
