//! The page of an image: its tags.

use askama::Template;
use axum::response::Response;
use engine::{FallbackTags, ListedTag, SortOrder, TagTableList, TagTableOrder};
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::list_filter::{ListFilter, SortDirection};
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::commands;
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime, Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page;
use crate::pages::artifact_kind::{
    has_attestation, is_provenance, is_sbom, is_signature, platforms_of,
};
use crate::pages::paging::{FilterForm, ListLinks, ListRequest, PageLinks, SortColumn, SortLink};
use crate::pages::row_selection::{MAX_IN_ROW, RowSelection};
use crate::request::ConsoleRequest;

const BY_TIME: SortColumn<TagTableOrder> =
    SortColumn { field: TagTableOrder::Updated, name: "pushed", first: SortDirection::Descending };
const BY_NAME: SortColumn<TagTableOrder> =
    SortColumn { field: TagTableOrder::Name, name: "name", first: SortDirection::Ascending };

#[derive(Template)]
#[template(path = "tags.html")]
struct TagsPage {
    frame: Frame,
    name: String,
    /// The name by which tools know the image, or the command that pulls its newest tag.
    address: String,
    newest_tag: bool,
    /// The version whose tags alone are shown.
    version: Option<ShownVersion>,
    filter: FilterForm,
    shows_attached: bool,
    attached: Link,
    all: Link,
    rows: Vec<TagEntry>,
    /// True if the tags come from several upstreams.
    has_upstreams: bool,
    by_name: SortLink,
    by_time: Option<SortLink>,
    pages: PageLinks,
    selection: RowSelection,
}

struct ShownVersion {
    short: String,
    link: Link,
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
    upstream: String,
}

/// The tags that the address asks for.
struct TagQuery {
    list: ListRequest<TagTableOrder>,
    columns: Vec<SortColumn<TagTableOrder>>,
    version: Option<Digest>,
    shows_attached: bool,
}

impl TagQuery {
    fn read(request: &ConsoleRequest) -> Result<Self, ConsoleError> {
        let version = request.query.get("digest").map(str::parse).transpose();
        let version = version.map_err(|_| ConsoleError::NotFound)?;
        let columns = match (&version, request.query.get("filter")) {
            (Some(_), _) => vec![BY_NAME],
            // Names that begin with a text are found by the index of names, however old the tags are.
            (None, Some(_)) => vec![BY_NAME, BY_TIME],
            (None, None) => vec![BY_TIME, BY_NAME],
        };
        let list = ListRequest::read(&request.query, &columns);
        let shows_attached = request.query.get("attached").is_some();
        Ok(Self { list, columns, version, shows_attached })
    }

    fn table(&self, name: &PackageName) -> Result<TagTableList, ConsoleError> {
        Ok(TagTableList {
            names: tag_filter(name, &self.list.filter)?,
            version: self.version.clone(),
            fallback_tags: match self.shows_attached {
                true => FallbackTags::Shown,
                false => FallbackTags::Hidden,
            },
            order: self.list.reading_order(),
            page: self.list.page(),
        })
    }

    /// Returns whether the first row is the tag of the image that was set last.
    fn begins_with_newest(&self) -> bool {
        let newest_first =
            SortOrder { field: TagTableOrder::Updated, direction: SortDirection::Descending };
        self.list.is_first_page() && self.list.order == newest_first
    }
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    let permission = artifactregistry::TAGS_LIST;
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(permission, resource).await?;
    let query = TagQuery::read(request)?;
    let (list, engine) = (&query.list, request.engine());
    let listed = engine.list_tag_table(&authorized, &name, query.table(&name)?).await?;
    let sizes = engine.image_list_sizes(&authorized, permission, &name).await?;
    let total = sizes
        .filter(|_| query.version.is_none())
        .and_then(|sizes| if query.shows_attached { Some(sizes.tags) } else { sizes.usual_tags });
    let shown = list.shown(listed);
    let rows = shown.entries.into_iter().map(|listed| tag_entry(request, &name, listed));
    let rows: Vec<_> = rows.collect();
    let bare = request.links.image(&name);
    let of_version = bare.clone().with_some("digest", query.version.as_ref().map(Digest::as_str));
    let base = of_version.clone().with_some("attached", query.shows_attached.then_some("1"));
    let links = ListLinks { base: &base, columns: &query.columns };
    let address = request.image_address(&name);
    let newest = rows.first().filter(|_| query.begins_with_newest());
    let shown = TagsPage {
        frame: request
            .image_frame(&name, name.image.as_str())
            .await?
            .with_commands(vec![commands::tags(&address)]),
        name: name.image.to_string(),
        newest_tag: newest.is_some(),
        address: match newest {
            Some(row) => format!("docker pull {address}:{}", row.name),
            None => address,
        },
        version: query.version.clone().map(|digest| ShownVersion {
            short: short_digest(digest.as_str()).to_owned(),
            link: request.links.version(&VersionName { package: name.clone(), digest }),
        }),
        filter: FilterForm::of(request, request.texts.filter_tags(), &list.filter),
        shows_attached: query.shows_attached,
        attached: match query.shows_attached {
            true => of_version,
            false => of_version.with("attached", "1"),
        },
        all: bare,
        has_upstreams: rows.iter().any(|row| !row.upstream.is_empty()),
        rows,
        by_name: list.sort_link(links, TagTableOrder::Name),
        by_time: query.version.is_none().then(|| list.sort_link(links, TagTableOrder::Updated)),
        pages: list.page_links(request.texts, links, &shown.range, total),
        selection: RowSelection::of(request, &name).await?,
    };
    Ok(page::show(request, &shown))
}

fn tag_entry(request: &ConsoleRequest, name: &PackageName, listed: ListedTag) -> TagEntry {
    let ListedTag { tag, upstream } = listed;
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
        upstream: upstream.unwrap_or_default(),
        digest: tag.digest.to_string(),
        name: tag.name,
    }
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
