//! The page of a repository: its images.

use askama::Template;
use axum::response::Response;
use engine::{ImageCounters, ImageNameFilter, ImageSummary, ImageSummaryList, ImageSummaryOrder};
use model::artifact_name::PackageName;
use model::list_filter::SortDirection;
use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::ModeName;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, Time, Untrusted};
use crate::links::Link;
use crate::page;
use crate::pages::paging::{ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

const COLUMNS: [SortColumn<ImageSummaryOrder>; 4] = [
    SortColumn { field: ImageSummaryOrder::Name, name: "name", first: SortDirection::Ascending },
    SortColumn {
        field: ImageSummaryOrder::LastPush,
        name: "pushed",
        first: SortDirection::Descending,
    },
    SortColumn {
        field: ImageSummaryOrder::Stored,
        name: "stored",
        first: SortDirection::Descending,
    },
    SortColumn { field: ImageSummaryOrder::Tags, name: "tags", first: SortDirection::Descending },
];

#[derive(Template)]
#[template(path = "images.html")]
struct ImagesPage {
    frame: Frame,
    name: String,
    mode: &'static str,
    description: Untrusted,
    has_immutable_tags: bool,
    stored: Bytes,
    address: String,
    filter: String,
    location: Option<String>,
    rows: Vec<ImageEntry>,
    by_name: SortLink,
    by_tags: SortLink,
    by_stored: SortLink,
    by_push: SortLink,
    pages: PageLinks,
    empty: EmptyRepository,
}

struct ImageEntry {
    name: String,
    link: Link,
    newest_tag: Option<TagLink>,
    counters: Option<ImageCounters>,
    stored: Bytes,
    last_push: Time,
    pulls: i64,
}

struct TagLink {
    name: String,
    link: Link,
}

/// The text of a repository without images.
struct EmptyRepository {
    text: &'static str,
    commands: Vec<String>,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.clone());
    let permission = artifactregistry::REPOSITORIES_GET;
    let authorized = request.authorize(permission, resource.clone()).await?;
    let repository = request.engine().find_repository(&authorized, permission).await?;
    let listing = request.authorize(artifactregistry::PACKAGES_LIST, resource).await?;
    // The images of several upstreams are ordered by their names only.
    let columns = match repository.mode {
        ModeName::Standard | ModeName::Remote => &COLUMNS[..],
        ModeName::Virtual => &COLUMNS[..1],
    };
    let list = ListRequest::read(&request.query, columns);
    let names = match list.filter.as_str() {
        "" => ImageNameFilter::All,
        text => ImageNameFilter::Contains(text.to_owned()),
    };
    let query = ImageSummaryList { names, order: list.order, page: list.page.clone() };
    let listed = request.engine().image_summaries(&listing, &name, query).await?;
    let base = request.links.repository(&name);
    let entries = listed.entries.into_iter();
    let rows = entries.filter_map(|summary| entry(request, &name, summary)).collect();
    let sort_link = |field| list.sort_link(&base, columns, field);
    let address = request.app.registry_uri(&name);
    let shown = ImagesPage {
        frame: request
            .frame(name.repository.as_str())
            .with_crumbs(request.crumbs_to_repository(&name).await?)
            .with_tabs(request.repository_tabs(&name, repository.mode))
            .with_commands(vec![format!("gcloud artifacts docker images list {address}")]),
        name: name.repository.to_string(),
        mode: repository.mode.word(),
        description: Untrusted::short(repository.description),
        has_immutable_tags: repository.immutable_tags,
        stored: Bytes(repository.size_bytes),
        location: request.other_location(&name),
        filter: list.filter.clone(),
        rows,
        by_name: sort_link(ImageSummaryOrder::Name),
        by_tags: sort_link(ImageSummaryOrder::Tags),
        by_stored: sort_link(ImageSummaryOrder::Stored),
        by_push: sort_link(ImageSummaryOrder::LastPush),
        pages: list.page_links(&base, columns, listed.next.as_deref()),
        empty: empty_repository(request, repository.mode, &address),
        address,
    };
    Ok(page::show(request, &shown))
}

fn entry(
    request: &ConsoleRequest,
    repository: &RepositoryName,
    summary: ImageSummary,
) -> Option<ImageEntry> {
    let image = summary.name.parse().ok()?;
    let full = PackageName { repository: repository.clone(), image };
    let newest_tag = summary.newest_tag.and_then(|name| {
        let link = request.links.tag(&full, &name.parse().ok()?);
        Some(TagLink { name, link })
    });
    Some(ImageEntry {
        link: request.links.image(&full),
        name: summary.name,
        newest_tag,
        stored: Bytes(summary.counters.map_or(0, |counters| counters.stored_bytes)),
        counters: summary.counters,
        last_push: Time(summary.last_push),
        pulls: summary.pulls_30_days,
    })
}

fn empty_repository(request: &ConsoleRequest, mode: ModeName, address: &str) -> EmptyRepository {
    let t = request.texts;
    match mode {
        ModeName::Standard => EmptyRepository {
            text: t.no_images,
            commands: vec![
                format!("docker tag app {address}/app:v1"),
                format!("docker push {address}/app:v1"),
            ],
        },
        ModeName::Remote => EmptyRepository {
            text: t.no_images_remote,
            commands: vec![format!("docker pull {address}/library/alpine")],
        },
        ModeName::Virtual => EmptyRepository { text: t.no_images_virtual, commands: Vec::new() },
    }
}
