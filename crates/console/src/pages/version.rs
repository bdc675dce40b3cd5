//! The page of a version: everything that is known of one manifest, on one page without hidden parts.

mod commands;
pub(crate) mod configuration;
mod descriptors;
mod documents;

use askama::Template;
use axum::response::Response;
use engine::{EngineError, MAX_COUNTED_TAGS, ManifestDetails, VersionRelations};
use model::artifact_name::{PackageName, TagName, VersionName};
use model::permissions::artifactregistry;
use model::reference::Tag;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime, Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page::{self, redirect};
use crate::pages::artifact_kind::kind_text;
use crate::pages::rights::ImageRights;

use crate::request::ConsoleRequest;
use commands::PullCommand;
use configuration::ImageConfiguration;
use descriptors::{LayerEntry, PlatformEntry};
use documents::{StoredDocument, VersionDocuments};

#[derive(Template)]
#[template(path = "version.html")]
struct VersionPage {
    frame: Frame,
    image: String,
    digest: String,
    reference: String,
    tags: Vec<TagChip>,
    more_tags: Option<MoreTags>,
    media_type: Untrusted,
    artifact_type: Option<Untrusted>,
    size: Bytes,
    only_here: Bytes,
    is_only_here_complete: bool,
    pushed: Time,
    updated: Time,
    built: MaybeTime,
    last_pull: MaybeTime,
    pulls: i64,
    subject: Option<RelatedVersion>,
    commands: Vec<PullCommand>,
    is_index: bool,
    platforms: Vec<PlatformEntry>,
    layers: Vec<LayerEntry>,
    config: ImageConfiguration,
    annotations: Vec<(Untrusted, Untrusted)>,
    referrers: Vec<RelatedVersion>,
    parents: Vec<RelatedVersion>,
    /// The text of the refusal, if the viewer may not read the content.
    refusal: Option<&'static str>,
    raw_manifest: Option<RawDocument>,
    raw_config: Option<RawDocument>,
    sign: String,
    rights: ImageRights,
    change_tags: Link,
    deletion_plan: Link,
    here: Link,
}

/// The link to the tags that the page does not show.
struct MoreTags {
    text: String,
    link: Link,
}

struct TagChip {
    name: String,
    link: Link,
}

/// Another version, as a row of a table.
pub(crate) struct RelatedVersion {
    pub(crate) kind: Untrusted,
    pub(crate) digest: String,
    pub(crate) link: Link,
    pub(crate) media_type: Untrusted,
    pub(crate) size: Option<Bytes>,
}

/// A document as it is stored, with the way to the whole of it.
struct RawDocument {
    stored: StoredDocument,
    download: Link,
}

/// Leads to the version that a tag names.
pub(crate) async fn by_tag(
    request: &ConsoleRequest,
    package: PackageName,
    tag: Tag,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(package.repository.clone());
    let authorized = request.authorize(artifactregistry::TAGS_GET, resource).await?;
    let name = TagName { package: package.clone(), tag };
    let digest = request.engine().find_tag(&authorized, &name).await?;
    let link = request.links.version(&VersionName { package, digest });
    Ok(redirect(request, &link.to_string()))
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: VersionName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.package.repository.clone());
    let authorized = request.authorize(artifactregistry::VERSIONS_GET, resource).await?;
    let relations = request.engine().version_relations(&authorized, &name).await?;
    let read = read_content(request, &name).await?;
    let length = read.length;
    let shown = version_page(request, &name, relations, read).await?;
    page::show_long(request, length, shown).await
}

/// The documents of a version, or the text of the refusal.
struct ReadContent {
    documents: VersionDocuments,
    /// The length of the documents in bytes.
    length: usize,
    refusal: Option<&'static str>,
}

/// Reads the content of a version, unless the viewer may see only that the version exists.
async fn read_content(
    request: &ConsoleRequest,
    name: &VersionName,
) -> Result<ReadContent, ConsoleError> {
    let resource = Resource::Repository(name.package.repository.clone());
    let permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
    let refused = |reason| ReadContent {
        documents: VersionDocuments::default(),
        length: 0,
        refusal: Some(reason),
    };
    if !request.may(permission, &resource).await? {
        return Ok(refused(request.texts.may_not_download()));
    }
    let authorized = request.authorize(permission, resource).await?;
    let content = match request.engine().read_version(&authorized, name).await {
        Ok(content) => content,
        Err(EngineError::DownloadDenied(_)) => return Ok(refused(request.texts.rule_denies())),
        Err(error) => return Err(error.into()),
    };
    let (length, parsing) = (content.document_bytes(), request.engine().parsing());
    let documents = parsing.run(length, move || VersionDocuments::read(content)).await?;
    Ok(ReadContent { documents, length, refusal: None })
}

async fn version_page(
    request: &ConsoleRequest,
    name: &VersionName,
    relations: VersionRelations,
    read: ReadContent,
) -> Result<VersionPage, ConsoleError> {
    let ReadContent { documents, refusal, .. } = read;
    let VersionDocuments { parsed, index, config, raw_manifest, raw_config } = documents;
    let parsed = parsed.as_ref();
    let VersionName { package, digest } = name;
    let version = &relations.version;
    let address = request.image_address(package);
    let platforms = descriptors::platforms(request, name, &relations, index);
    let command = format!("gcloud artifacts docker images describe {address}@{digest}");
    let related = |version: &ManifestDetails| related_version(request, package, version);
    let tag_chip = |tag: &String| TagChip {
        name: tag.clone(),
        link: request.links.image(package).with("filter", tag),
    };
    let raw_document = |stored: StoredDocument, page: &str| RawDocument {
        stored,
        download: request.links.version(name).page(page),
    };
    let first_tag = version.tags.first().map(String::as_str);
    Ok(VersionPage {
        frame: request
            .frame(format!("{} · {}", short_digest(digest.as_str()), package.image))
            .with_crumbs(request.crumbs_to_version(name).await?)
            .with_commands(vec![command]),
        image: package.image.to_string(),
        digest: digest.to_string(),
        reference: format!("{address}@{digest}"),
        tags: version.tags.iter().map(tag_chip).collect(),
        more_tags: more_tags(request, name, &relations),
        media_type: Untrusted::short(version.media_type.clone()),
        artifact_type: version.artifact_type.clone().map(Untrusted::short),
        size: Bytes(relations.bytes),
        only_here: Bytes(relations.only_here.bytes),
        is_only_here_complete: relations.only_here.is_complete,
        pushed: Time(version.uploaded_at),
        updated: Time(version.updated_at),
        built: MaybeTime(version.built_at),
        last_pull: MaybeTime(relations.last_pulled_at),
        pulls: relations.pulls,
        subject: version.subject.as_ref().map(|subject| named_version(request, package, subject)),
        commands: commands::pull_commands(&address, first_tag, digest),
        is_index: parsed.is_some_and(|manifest| !manifest.manifests.is_empty())
            || !relations.children.is_empty(),
        platforms,
        layers: descriptors::layers(parsed, &config),
        annotations: annotations_of(&version.annotations),
        referrers: relations.referrers.iter().map(related).collect(),
        parents: relations
            .parents
            .iter()
            .map(|parent| named_version(request, package, parent))
            .collect(),
        refusal,
        raw_manifest: raw_manifest.map(|stored| raw_document(stored, "manifest")),
        raw_config: raw_config.map(|stored| raw_document(stored, "config")),
        sign: format!("cosign sign {address}@{digest}"),
        rights: ImageRights::of(request, &package.repository).await?,
        change_tags: request.links.image(package).page("tags"),
        deletion_plan: request.links.image(package).page("deletion-plan"),
        here: request.links.version(name),
        config,
    })
}

/// Returns the link to the tags that the page does not show, if there are any.
fn more_tags(
    request: &ConsoleRequest,
    name: &VersionName,
    relations: &VersionRelations,
) -> Option<MoreTags> {
    let more = relations.tag_count.saturating_sub(relations.version.tags.len());
    let is_complete = relations.tag_count < MAX_COUNTED_TAGS;
    (more > 0).then(|| MoreTags {
        text: request.texts.more_tags(more, is_complete),
        link: request.links.image(&name.package).with("digest", name.digest.as_str()),
    })
}

fn related_version(
    request: &ConsoleRequest,
    package: &PackageName,
    version: &ManifestDetails,
) -> RelatedVersion {
    RelatedVersion {
        kind: Untrusted::short(kind_text(
            request.texts,
            version.artifact_type.as_deref(),
            &version.media_type,
        )),
        media_type: Untrusted::short(
            version.artifact_type.clone().unwrap_or_else(|| version.media_type.clone()),
        ),
        size: Some(Bytes(version.image_bytes)),
        ..named_version(request, package, &version.digest)
    }
}

/// Returns a version of which only the digest is known.
fn named_version(
    request: &ConsoleRequest,
    package: &PackageName,
    digest: &model::digest::Digest,
) -> RelatedVersion {
    let name = VersionName { package: package.clone(), digest: digest.clone() };
    RelatedVersion {
        kind: Untrusted::short(""),
        digest: digest.to_string(),
        link: request.links.version(&name),
        media_type: Untrusted::short(""),
        size: None,
    }
}

/// Returns the annotations of a version, up to 200.
fn annotations_of(json: &str) -> Vec<(Untrusted, Untrusted)> {
    let parsed: std::collections::BTreeMap<String, String> =
        serde_json::from_str(json).unwrap_or_default();
    let pairs = parsed.into_iter().take(200);
    pairs.map(|(key, value)| (Untrusted::short(key), Untrusted::long(value))).collect()
}
