//! The page of an image: its tags, or its versions.

use askama::Template;
use axum::response::Response;
use engine::{
    FallbackTags, ImageOrder, ListQuery, ManifestDetails, SortOrder, TagDetail, TagDetails,
    TagTableOrder, VersionOrder,
};
use model::artifact_name::{PackageName, VersionName};
use model::image_config::PlatformSummary;
use model::list_filter::{ListFilter, SortDirection};
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime, Time, Untrusted, platform_text, short_digest};
use crate::links::Link;
use crate::page;
use crate::pages::paging::{ListRequest, PageLinks, SortColumn, SortLink};
use crate::pages::rights::ImageRights;
use crate::request::ConsoleRequest;

const TAG_COLUMNS: [SortColumn<TagTableOrder>; 2] = [
    SortColumn { field: TagTableOrder::Updated, name: "pushed", first: SortDirection::Descending },
    SortColumn { field: TagTableOrder::Name, name: "name", first: SortDirection::Ascending },
];

const PUSHED: VersionOrder = VersionOrder::Time(ImageOrder::Uploaded);
const VERSION_COLUMNS: [SortColumn<VersionOrder>; 2] = [
    SortColumn { field: PUSHED, name: "pushed", first: SortDirection::Descending },
    SortColumn { field: VersionOrder::Name, name: "digest", first: SortDirection::Ascending },
];

/// The most platforms, and the most tags, of one row.
const MAX_IN_ROW: usize = 5;

#[derive(Template)]
#[template(path = "tags.html")]
struct TagsPage {
    frame: Frame,
    name: String,
    pull: Option<String>,
    filter: String,
    location: Option<String>,
    shows_attached: bool,
    attached: Link,
    all: Link,
    rows: Vec<TagEntry>,
    by_name: SortLink,
    by_time: SortLink,
    pages: PageLinks,
    address: String,
    deletion_plan: Link,
    compare: Link,
    rights: ImageRights,
}

struct TagEntry {
    name: String,
    digest: String,
    short: String,
    link: Link,
    platforms: Vec<Untrusted>,
    more_platforms: usize,
    size: Bytes,
    pushed: Time,
    last_pull: MaybeTime,
    pulls: i64,
    is_signed: bool,
    has_sbom: bool,
    has_provenance: bool,
}

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage {
    frame: Frame,
    name: String,
    rows: Vec<VersionEntry>,
    by_digest: Option<SortLink>,
    by_time: SortLink,
    pages: PageLinks,
    location: Option<String>,
    deletion_plan: Link,
    compare: Link,
    rights: ImageRights,
    /// The sentence of an empty list.
    empty: &'static str,
}

struct VersionEntry {
    digest: String,
    short: String,
    link: Link,
    tags: Vec<String>,
    more_tags: usize,
    kind: Untrusted,
    platforms: Vec<Untrusted>,
    size: Bytes,
    pushed: Time,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    match request.query.get("view") {
        None => show_tags(request, name).await,
        Some("versions") => show_versions(request, name).await,
        Some("untagged") => show_untagged(request, name).await,
        Some(_) => Err(ConsoleError::NotFound),
    }
}

async fn show_tags(request: &ConsoleRequest, name: PackageName) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::TAGS_LIST, resource).await?;
    // Names that begin with a text are found by the index of names, however old the tags are.
    let columns = match request.query.get("filter") {
        Some(_) => [TAG_COLUMNS[1].clone(), TAG_COLUMNS[0].clone()],
        None => TAG_COLUMNS,
    };
    let list = ListRequest::read(&request.query, &columns);
    let shows_attached = request.query.get("attached").is_some();
    let query = ListQuery {
        filter: tag_filter(&name, &list.filter)?,
        order: list.order,
        page: list.page.clone(),
    };
    let fallback = if shows_attached { FallbackTags::Shown } else { FallbackTags::Hidden };
    let listed = request.engine().list_tag_table(&authorized, &name, query, fallback).await?;
    let bare = request.links.image(&name);
    let base = bare.clone().with_some("attached", shows_attached.then_some("1"));
    let address = format!("{}/{}", request.app.registry_uri(&name.repository), name.image);
    let shown = listed.entries.into_iter();
    let rows: Vec<_> = shown.map(|tag| tag_entry(request, &name, tag)).collect();
    let is_newest = list.page.start.is_empty()
        && list.order.field == TagTableOrder::Updated
        && list.order.direction == SortDirection::Descending;
    let newest = rows.first().filter(|_| is_newest);
    let pull = newest.map(|row| format!("docker pull {address}:{}", row.name));
    let command = format!("gcloud artifacts docker tags list {address}");
    let shown = TagsPage {
        frame: request
            .frame(name.image.as_str())
            .with_crumbs(request.crumbs_to_image(&name).await?)
            .with_tabs(request.image_tabs(&name))
            .with_commands(vec![command]),
        name: name.image.to_string(),
        pull,
        location: request.other_location(&name.repository),
        shows_attached,
        attached: match shows_attached {
            true => bare.clone(),
            false => bare.clone().with("attached", "1"),
        },
        all: bare,
        rows,
        by_name: list.sort_link(&base, &columns, TagTableOrder::Name),
        by_time: list.sort_link(&base, &columns, TagTableOrder::Updated),
        pages: list.page_links(&base, &columns, listed.next.as_deref()),
        filter: list.filter,
        address,
        deletion_plan: request.links.image(&name).page("deletion-plan"),
        compare: request.links.image(&name).page("compare"),
        rights: ImageRights::of(request, &name.repository).await?,
    };
    Ok(page::show(request, &shown))
}

fn tag_entry(request: &ConsoleRequest, name: &PackageName, tag: TagDetails) -> TagEntry {
    let version = VersionName { package: name.clone(), digest: tag.digest.clone() };
    let mut platforms = platforms_of(&tag.platforms);
    let more_platforms = platforms.len().saturating_sub(MAX_IN_ROW);
    platforms.truncate(MAX_IN_ROW);
    let attached = || tag.referrer_types.iter().chain(&tag.fallback_tags).map(String::as_str);
    TagEntry {
        short: short_digest(tag.digest.as_str()).to_owned(),
        link: request.links.version(&version),
        platforms: platforms.into_iter().map(Untrusted::short).collect(),
        more_platforms,
        size: Bytes(tag.bytes),
        pushed: Time(tag.updated_at),
        last_pull: MaybeTime(tag.last_pulled_at),
        pulls: tag.pulls,
        is_signed: attached().any(is_signature),
        has_sbom: attached().any(is_sbom),
        has_provenance: attached().any(is_provenance) || has_attestation(&tag.platforms),
        digest: tag.digest.to_string(),
        name: tag.name,
    }
}

async fn show_versions(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::VERSIONS_LIST, resource).await?;
    let list = ListRequest::read(&request.query, &VERSION_COLUMNS);
    let (filter, order, page) = (ListFilter::default(), list.order, list.page.clone());
    let query = ListQuery { filter, order, page };
    let listed =
        request.engine().list_versions(&authorized, &name, query, TagDetail::Hidden).await?;
    let base = request.links.image(&name).with("view", "versions");
    let address = format!("{}/{}", request.app.registry_uri(&name.repository), name.image);
    let command = format!("gcloud artifacts docker images list {address} --include-tags");
    let rows = listed.entries.into_iter().map(|version| version_entry(request, &name, version));
    let shown = VersionsPage {
        frame: request
            .frame(name.image.as_str())
            .with_crumbs(request.crumbs_to_image(&name).await?)
            .with_tabs(request.image_tabs(&name))
            .with_commands(vec![command]),
        name: name.image.to_string(),
        rows: rows.collect(),
        by_digest: Some(list.sort_link(&base, &VERSION_COLUMNS, VersionOrder::Name)),
        by_time: list.sort_link(&base, &VERSION_COLUMNS, PUSHED),
        pages: list.page_links(&base, &VERSION_COLUMNS, listed.next.as_deref()),
        location: request.other_location(&name.repository),
        deletion_plan: request.links.image(&name).page("deletion-plan"),
        compare: request.links.image(&name).page("compare"),
        rights: ImageRights::of(request, &name.repository).await?,
        empty: request.texts.no_match,
    };
    Ok(page::show(request, &shown))
}

/// Shows the versions that no tag and no index keeps, the newest first.
async fn show_untagged(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    const COLUMNS: &[SortColumn<VersionOrder>] =
        &[SortColumn { field: PUSHED, name: "pushed", first: SortDirection::Descending }];
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::VERSIONS_LIST, resource).await?;
    let list = ListRequest::read(&request.query, COLUMNS);
    let order = SortOrder { field: PUSHED, direction: SortDirection::Descending };
    let list = ListRequest { order, ..list };
    let page = list.page.clone();
    let listed = request.engine().untagged_versions(&authorized, &name, page).await?;
    let base = request.links.image(&name).with("view", "untagged");
    let rows = listed.entries.into_iter().map(|version| version_entry(request, &name, version));
    let shown = VersionsPage {
        frame: request
            .frame(format!("{} · {}", request.texts.untagged, name.image))
            .with_crumbs(request.crumbs_to_image(&name).await?)
            .with_tabs(request.image_tabs(&name)),
        name: name.image.to_string(),
        rows: rows.collect(),
        by_digest: None,
        by_time: list.sort_link(&base, COLUMNS, PUSHED),
        pages: list.page_links(&base, COLUMNS, listed.next.as_deref()),
        location: request.other_location(&name.repository),
        deletion_plan: request.links.image(&name).page("deletion-plan"),
        compare: request.links.image(&name).page("compare"),
        rights: ImageRights::of(request, &name.repository).await?,
        empty: request.texts.no_untagged,
    };
    Ok(page::show(request, &shown))
}

fn version_entry(
    request: &ConsoleRequest,
    name: &PackageName,
    version: ManifestDetails,
) -> VersionEntry {
    let full = VersionName { package: name.clone(), digest: version.digest.clone() };
    let mut platforms = platforms_of(&version.platforms);
    platforms.truncate(MAX_IN_ROW);
    let mut tags = version.tags;
    let more_tags = tags.len().saturating_sub(MAX_IN_ROW);
    tags.truncate(MAX_IN_ROW);
    VersionEntry {
        short: short_digest(version.digest.as_str()).to_owned(),
        link: request.links.version(&full),
        tags,
        more_tags,
        kind: Untrusted::short(kind_text(version.artifact_type.as_deref(), &version.media_type)),
        platforms: platforms.into_iter().map(Untrusted::short).collect(),
        size: Bytes(version.image_bytes),
        pushed: Time(version.uploaded_at),
        digest: version.digest.to_string(),
    }
}

/// Returns the platforms of a row, without those of attestations.
pub(crate) fn platforms_of(json: &str) -> Vec<String> {
    let summaries = PlatformSummary::list_from_json(json).into_iter();
    let platforms = summaries.filter_map(|summary| summary.platform);
    platforms.map(|platform| platform_text(&platform)).filter(|text| !is_unknown(text)).collect()
}

/// Returns whether an index names attestations, which builders put beside the platforms as `unknown/unknown`.
fn has_attestation(json: &str) -> bool {
    let summaries = PlatformSummary::list_from_json(json).into_iter();
    summaries
        .filter_map(|summary| summary.platform)
        .any(|platform| is_unknown(&platform_text(&platform)))
}

pub(crate) fn is_unknown(platform: &str) -> bool {
    platform == "unknown/unknown"
}

/// Returns the kind of a version in words: the artifact type, if it says more than the media type.
pub(crate) fn kind_text(artifact_type: Option<&str>, media_type: &str) -> String {
    match artifact_type {
        Some(kind) if is_signature(kind) => "signature".to_owned(),
        Some(kind) if is_sbom(kind) => "SBOM".to_owned(),
        Some(kind) if kind.contains("helm") => "Helm chart".to_owned(),
        Some(kind)
            if kind.starts_with("application/vnd.oci.image.config")
                || kind.starts_with("application/vnd.docker.container.image") =>
        {
            "image".to_owned()
        }
        Some(kind) if !kind.is_empty() => kind.to_owned(),
        Some(_) | None if media_type.contains("index") || media_type.contains("manifest.list") => {
            "index".to_owned()
        }
        Some(_) | None => "image".to_owned(),
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

fn is_provenance(kind: &str) -> bool {
    kind.ends_with(".att") || kind.contains("in-toto") || kind.contains("slsa")
}

/// Returns the filter for tags that begin with a text.
fn tag_filter(name: &PackageName, text: &str) -> Result<ListFilter, ConsoleError> {
    if text.is_empty() {
        return Ok(ListFilter::default());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let filter = match text.bytes().all(is_plain) && text.len() <= 128 {
        true => format!("name=\"{name}/tags/{text}*\""),
        // No tag begins with the text, and none has this name.
        false => format!("name=\"{name}/tags/-\""),
    };
    let parsed = ListFilter::parse(&filter, &["name"]);
    parsed.map_err(|error| ConsoleError::Invalid(error.to_string()))
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
            assert_eq!(kind_text(kind, media_type), expected);
        }
    }
}
