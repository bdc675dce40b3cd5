//! The kind of a version in words, and its platforms.

use model::image_config::PlatformSummary;

use crate::html::platform_text;
use crate::texts::Texts;

/// Returns the platforms of a row, without those of attestations.
pub(crate) fn platforms_of(json: &str) -> Vec<String> {
    let summaries = PlatformSummary::list_from_json(json).into_iter();
    let platforms = summaries.filter_map(|summary| summary.platform);
    platforms.map(|platform| platform_text(&platform)).filter(|text| !is_unknown(text)).collect()
}

/// Returns whether an index names attestations, which builders put beside the platforms as `unknown/unknown`.
pub(crate) fn has_attestation(json: &str) -> bool {
    let summaries = PlatformSummary::list_from_json(json).into_iter();
    summaries
        .filter_map(|summary| summary.platform)
        .any(|platform| is_unknown(&platform_text(&platform)))
}

pub(crate) fn is_unknown(platform: &str) -> bool {
    platform == "unknown/unknown"
}

/// Returns the kind of a version in words: the artifact type, if it says more than the media type.
pub(crate) fn kind_text(t: Texts, artifact_type: Option<&str>, media_type: &str) -> String {
    match artifact_type {
        Some(kind) if is_signature(kind) => t.signature().to_owned(),
        Some(kind) if is_sbom(kind) => t.sbom().to_owned(),
        Some(kind) if kind.contains("helm") => t.helm_chart().to_owned(),
        Some(kind)
            if kind.starts_with("application/vnd.oci.image.config")
                || kind.starts_with("application/vnd.docker.container.image") =>
        {
            t.image_kind().to_owned()
        }
        Some(kind) if !kind.is_empty() => kind.to_owned(),
        Some(_) | None if media_type.contains("index") || media_type.contains("manifest.list") => {
            t.index_kind().to_owned()
        }
        Some(_) | None => t.image_kind().to_owned(),
    }
}

/// Returns whether a type of an attachment, or a tag that stands for one, is a signature.
pub(crate) fn is_signature(kind: &str) -> bool {
    kind.ends_with(".sig")
        || kind.contains("cosign")
        || kind.contains("notary.signature")
        || kind.contains("sigstore")
        || kind.contains("simplesigning")
}

/// Returns whether a type of an attachment, or a tag that stands for one, is a bill of materials.
pub(crate) fn is_sbom(kind: &str) -> bool {
    ["spdx", "cyclonedx", "syft", ".sbom"].iter().any(|word| kind.contains(word))
}

pub(crate) fn is_provenance(kind: &str) -> bool {
    kind.ends_with(".att") || kind.contains("in-toto") || kind.contains("slsa")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_in_words() {
        let index = "application/vnd.oci.image.index.v1+json";
        let image = "application/vnd.oci.image.manifest.v1+json";
        for (kind, media_type, expected) in [
            (None, index, "index"),
            (None, "application/vnd.docker.distribution.manifest.list.v2+json", "index"),
            (None, image, "image"),
            (Some("application/vnd.oci.image.config.v1+json"), image, "image"),
            (Some("application/vnd.dev.cosign.simplesigning.v1+json"), image, "signature"),
            (Some("application/spdx+json"), image, "SBOM"),
            (Some("application/vnd.cncf.helm.config.v1+json"), image, "Helm chart"),
            (Some("application/vnd.example"), image, "application/vnd.example"),
        ] {
            assert_eq!(kind_text(Texts::English, kind, media_type), expected);
        }
    }
}
