//! The versions of an image: all of them, or those without a tag.

use askama::Template;
use axum::response::Response;
use engine::{ImageListSizes, ImageOrder, ListQuery, ManifestDetails, TagDetail, VersionOrder};
use model::artifact_name::{PackageName, VersionName};
use model::list_filter::{ListFilter, SortDirection};
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::commands;
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page;
use crate::pages::artifact_kind::{kind_text, platforms_of};
use crate::pages::paging::{ListLinks, ListRequest, PageLinks, SortColumn, SortLink};
use crate::pages::row_selection::{MAX_IN_ROW, RowSelection};
use crate::request::ConsoleRequest;

const PUSHED: VersionOrder = VersionOrder::Time(ImageOrder::Uploaded);
static COLUMNS: [SortColumn<VersionOrder>; 2] = [
    SortColumn { field: PUSHED, name: "pushed", first: SortDirection::Descending },
    SortColumn { field: VersionOrder::Name, name: "digest", first: SortDirection::Ascending },
];

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage {
    frame: Frame,
    name: String,
    rows: Vec<VersionEntry>,
    by_digest: Option<SortLink>,
    by_time: SortLink,
    pages: PageLinks,
    selection: RowSelection,
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

/// The versions that a page lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListedVersions {
    All,
    /// The versions that no tag and no index keeps.
    Untagged,
}

impl ListedVersions {
    fn columns(self) -> &'static [SortColumn<VersionOrder>] {
        match self {
            Self::All => &COLUMNS,
            Self::Untagged => &COLUMNS[..1],
        }
    }

    /// The word for the list in an address.
    fn view(self) -> &'static str {
        match self {
            Self::All => "versions",
            Self::Untagged => "untagged",
        }
    }

    fn total(self, sizes: ImageListSizes) -> i64 {
        match self {
            Self::All => sizes.versions,
            Self::Untagged => sizes.untagged,
        }
    }

    async fn frame(
        self,
        request: &ConsoleRequest,
        name: &PackageName,
    ) -> Result<Frame, ConsoleError> {
        let (t, address) = (request.texts, request.image_address(name));
        let (title, command, note) = match self {
            Self::All => (t.versions(), commands::versions(&address), ""),
            Self::Untagged => {
                (t.untagged(), commands::untagged_versions(&address), t.platforms_too())
            }
        };
        let frame = request.image_frame(name, format!("{title} · {}", name.image)).await?;
        Ok(frame.with_commands(vec![command]).with_commands_note(note))
    }
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
    listed_versions: ListedVersions,
) -> Result<Response, ConsoleError> {
    let permission = artifactregistry::VERSIONS_LIST;
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(permission, resource).await?;
    let (t, engine, columns) = (request.texts, request.engine(), listed_versions.columns());
    let list = ListRequest::read(&request.query, columns);
    let (order, page) = (list.reading_order(), list.page());
    let listed = match listed_versions {
        ListedVersions::All => {
            let query = ListQuery { filter: ListFilter::default(), order, page };
            engine.list_versions(&authorized, &name, query, TagDetail::Hidden).await?
        }
        ListedVersions::Untagged => {
            engine.untagged_versions(&authorized, &name, order.direction, page).await?
        }
    };
    let sizes = engine.image_list_sizes(&authorized, permission, &name).await?;
    let total = sizes.map(|sizes| listed_versions.total(sizes));
    let base = request.links.image(&name).with("view", listed_versions.view());
    let links = ListLinks { base: &base, columns };
    let shown = list.shown(listed);
    let rows = shown.entries.into_iter().map(|version| version_entry(request, &name, version));
    let is_sorted_by_digest = listed_versions == ListedVersions::All;
    let shown = VersionsPage {
        frame: listed_versions.frame(request, &name).await?,
        name: name.image.to_string(),
        rows: rows.collect(),
        by_digest: is_sorted_by_digest.then(|| list.sort_link(links, VersionOrder::Name)),
        by_time: list.sort_link(links, PUSHED),
        pages: list.page_links(t, links, &shown.range, total),
        selection: RowSelection::of(request, &name).await?,
        empty: match listed_versions {
            ListedVersions::All => t.no_match(),
            ListedVersions::Untagged => t.no_untagged(),
        },
    };
    Ok(page::show(request, &shown))
}

fn version_entry(
    request: &ConsoleRequest,
    name: &PackageName,
    version: ManifestDetails,
) -> VersionEntry {
    let full = VersionName { package: name.clone(), digest: version.digest.clone() };
    let (kind, media_type) = (version.artifact_type.as_deref(), &version.media_type);
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
        kind: Untrusted::short(kind_text(request.texts, kind, media_type)),
        platforms: platforms.into_iter().map(Untrusted::short).collect(),
        size: Bytes(version.image_bytes),
        pushed: Time(version.uploaded_at),
        digest: version.digest.to_string(),
    }
}
