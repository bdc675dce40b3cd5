//! Conversion of images, versions, packages and tags to messages.

use std::collections::BTreeMap;

use engine::{ManifestDetails, PackageDetails, TagTarget, annotations};
use model::artifact_name::{PackageName, escape_slashes};
use model::image_config::{ImageConfig, PlatformSummary};
use model::name::RepositoryName;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use proto::google::devtools::artifactregistry::v1::{
    DockerImage, ImageManifest, Package, Tag, Version, VersionView,
};

use super::timestamp;
use web::app::App;

fn docker_image_name(repository: &RepositoryName, image: &ManifestDetails) -> String {
    format!("{repository}/dockerImages/{}@{}", escape_slashes(&image.package), image.digest)
}

pub(super) fn docker_image(
    repository: &RepositoryName,
    image: &ManifestDetails,
    app: &App,
) -> DockerImage {
    DockerImage {
        name: docker_image_name(repository, image),
        uri: format!("{}/{}@{}", app.registry_uri(repository), image.package, image.digest),
        tags: image.tags.clone(),
        image_size_bytes: Some(image.image_bytes),
        upload_time: Some(timestamp(image.uploaded_at)),
        media_type: image.media_type.clone(),
        build_time: image.built_at.map(timestamp),
        update_time: Some(timestamp(image.updated_at)),
        artifact_type: artifact_type(image).unwrap_or_default(),
        image_manifests: PlatformSummary::list_from_json(&image.platforms)
            .into_iter()
            .filter_map(manifest)
            .collect(),
        subject_digest: image.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Returns the artifact type of a manifest. The type of a plain image is left out, because it says nothing.
fn artifact_type(image: &ManifestDetails) -> Option<String> {
    let shown =
        |kind: &String| image.subject.is_some() || !ImageConfig::is_media_type(kind.as_str());
    image.artifact_type.clone().filter(shown)
}

/// Returns the message of an image that an index names. An entry without a digest is left out: it describes the image
/// itself.
fn manifest(summary: PlatformSummary) -> Option<ImageManifest> {
    let PlatformSummary { digest, media_type, platform } = summary;
    let mut manifest = ImageManifest {
        digest: digest?,
        media_type: media_type.unwrap_or_default(),
        ..ImageManifest::default()
    };
    if let Some(platform) = platform {
        manifest.architecture = platform.architecture;
        manifest.os = platform.os;
        manifest.os_version = platform.os_version.unwrap_or_default();
        manifest.os_features = platform.os_features.unwrap_or_default();
        manifest.variant = platform.variant.unwrap_or_default();
    }
    Some(manifest)
}

pub(super) fn version(
    repository: &RepositoryName,
    image: &ManifestDetails,
    view: VersionView,
) -> Version {
    let package = format!("{repository}/packages/{}", escape_slashes(&image.package));
    let name = format!("{package}/versions/{}", image.digest);
    let tag = |tag: &String| Tag { name: format!("{package}/tags/{tag}"), version: name.clone() };
    let related_tags = match view {
        VersionView::Full => image.tags.iter().map(tag).collect(),
        VersionView::Basic | VersionView::Unspecified => Vec::new(),
    };
    Version {
        related_tags,
        create_time: Some(timestamp(image.uploaded_at)),
        update_time: Some(timestamp(image.updated_at)),
        metadata: Some(metadata(repository, image)),
        annotations: annotations(&image.annotations),
        name,
        ..Version::default()
    }
}

/// Returns the metadata of a version: the fields of its Docker image, all as texts. gcloud reads sizes from it.
fn metadata(repository: &RepositoryName, image: &ManifestDetails) -> Struct {
    let built_at = image.built_at.map(|built_at| timestamp(built_at).to_string());
    let texts = [
        ("name", Some(docker_image_name(repository, image))),
        ("imageSizeBytes", Some(image.image_bytes.to_string())),
        ("mediaType", Some(image.media_type.clone())),
        ("buildTime", built_at),
        ("artifactType", artifact_type(image)),
        ("subjectDigest", image.subject.as_ref().map(ToString::to_string)),
    ];
    let text = |text| Value { kind: Some(Kind::StringValue(text)) };
    let fields: BTreeMap<_, _> =
        texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), text(value?)))).collect();
    Struct { fields }
}

pub(super) fn package(repository: &RepositoryName, package: &PackageDetails) -> Package {
    Package {
        name: format!("{repository}/packages/{}", escape_slashes(&package.name)),
        display_name: package.name.clone(),
        create_time: Some(timestamp(package.created_at)),
        update_time: Some(timestamp(package.updated_at)),
        annotations: annotations(&package.annotations),
    }
}

pub(super) fn tag(package: &PackageName, tag: &TagTarget) -> Tag {
    Tag {
        name: format!("{package}/tags/{}", tag.tag),
        version: format!("{package}/versions/{}", tag.digest),
    }
}
