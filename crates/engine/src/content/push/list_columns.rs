//! The columns of a manifest that only lists use: its size and its platforms.

use std::collections::BTreeMap;

use model::image_config::PlatformSummary;
use model::manifest::{Manifest, NamedContent};
use model::media_type::ManifestKind;

use super::references::FoundContent;

/// The columns of a manifest that only lists use.
pub(super) struct ListColumns {
    /// The size of the image: the blobs that it names, each once, and its own bytes. An index that names only
    /// manifests has no size of its own.
    pub(super) image_bytes: i64,
    /// The entries of an index, as their column keeps them. `None` for an image, whose platform is in its config.
    pub(super) platforms: Option<String>,
}

impl ListColumns {
    pub(super) fn new(manifest: &Manifest, content: &FoundContent, own_bytes: u64) -> Self {
        let is_blob = |named: &NamedContent<'_>| match manifest.kind {
            ManifestKind::Image => true,
            ManifestKind::Index => !content.is_manifest(named),
        };
        let named = || manifest.named_content().filter(|named| !named.is_subject);
        let blobs: BTreeMap<_, _> = named()
            .filter(is_blob)
            .map(|named| (&named.descriptor.digest, named.descriptor.size))
            .collect();
        let own_bytes = match manifest.kind {
            ManifestKind::Index if blobs.is_empty() => 0,
            ManifestKind::Image | ManifestKind::Index => own_bytes,
        };
        let sum = blobs.into_values().fold(own_bytes, u64::saturating_add);
        let platforms = (manifest.kind == ManifestKind::Index).then(|| {
            PlatformSummary::list_to_json(named().filter(|named| !is_blob(named)).map(|named| {
                PlatformSummary {
                    digest: Some(named.descriptor.digest.to_string()),
                    media_type: Some(named.descriptor.media_type.clone()),
                    platform: named.descriptor.platform.clone(),
                }
            }))
        });
        Self { image_bytes: i64::try_from(sum).unwrap_or(i64::MAX), platforms }
    }
}
