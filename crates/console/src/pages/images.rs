//! The page of a repository: its images.

use askama::Template;
use axum::response::Response;
use engine::{
    ImageCounters, ImageNameFilter, ImageSummary, ImageSummaryList, ImageSummaryOrder, PageRequest,
};
use model::artifact_name::PackageName;
use model::list_filter::SortDirection;
use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::ModeName;
use model::resource::Resource;

use crate::commands;
use crate::csv::{CsvFile, ROWS_AT_ONCE, time_text};
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, Time, Untrusted};
use crate::links::Link;
use crate::page;
use crate::pages::paging::{FilterForm, ListLinks, ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

static COLUMNS: [SortColumn<ImageSummaryOrder>; 4] = [
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
    filter: FilterForm,
    /// True if the images come from several upstreams.
    has_upstreams: bool,
    rows: Vec<ImageEntry>,
    by_name: SortLink,
    by_tags: SortLink,
    by_stored: SortLink,
    by_push: SortLink,
    pages: PageLinks,
    file: Link,
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
    upstream: String,
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
    let repository = request.repository(&name).await?;
    let resource = Resource::Repository(name.clone());
    let listing = request.authorize(artifactregistry::PACKAGES_LIST, resource).await?;
    let (t, engine, columns) = (request.texts, request.engine(), columns_of(repository.mode));
    let list = ListRequest::read(&request.query, columns);
    let listed = engine.image_summaries(&listing, &name, query_of(&list, list.page())).await?;
    let total = engine.image_list_size(&listing, &name).await?;
    let base = request.links.repository(&name);
    let links = ListLinks { base: &base, columns };
    let shown = list.shown(listed);
    let entries = shown.entries.into_iter();
    let rows: Vec<_> = entries.filter_map(|summary| entry(request, &name, summary)).collect();
    let sort_link = |field| list.sort_link(links, field);
    let address = request.app.registry_uri(&name);
    let shown = ImagesPage {
        frame: request
            .repository_frame(&name, repository.mode, name.repository.as_str())
            .await?
            .with_commands(vec![commands::versions(&address)]),
        name: name.repository.to_string(),
        mode: t.mode_word(repository.mode),
        description: Untrusted::short(repository.description),
        has_immutable_tags: repository.immutable_tags,
        stored: Bytes(repository.size_bytes),
        filter: FilterForm::of(request, t.filter_images(), &list.filter),
        has_upstreams: repository.mode == ModeName::Virtual,
        rows,
        by_name: sort_link(ImageSummaryOrder::Name),
        by_tags: sort_link(ImageSummaryOrder::Tags),
        by_stored: sort_link(ImageSummaryOrder::Stored),
        by_push: sort_link(ImageSummaryOrder::LastPush),
        pages: list.page_links(t, links, &shown.range, total),
        file: list.file_link(base.clone().page("images.csv"), links),
        empty: empty_repository(request, repository.mode, &address),
        address,
    };
    Ok(page::show(request, &shown))
}

/// Returns the columns by which the images are sorted. Those of several upstreams are ordered by their names only.
fn columns_of(mode: ModeName) -> &'static [SortColumn<ImageSummaryOrder>] {
    match mode {
        ModeName::Standard | ModeName::Remote => &COLUMNS,
        ModeName::Virtual => &COLUMNS[..1],
    }
}

fn query_of(list: &ListRequest<ImageSummaryOrder>, page: PageRequest) -> ImageSummaryList {
    let names = match list.filter.as_str() {
        "" => ImageNameFilter::All,
        text => ImageNameFilter::Contains(text.to_owned()),
    };
    ImageSummaryList { names, order: list.reading_order(), page }
}

/// Answers with the images of a repository as a file, in the order and with the filter of the list.
pub(crate) async fn csv(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let repository = request.repository(&name).await?;
    let resource = Resource::Repository(name.clone());
    let listing = request.authorize(artifactregistry::PACKAGES_LIST, resource).await?;
    let list = ListRequest::read(&request.query, columns_of(repository.mode));
    let mut file = CsvFile::new(
        "image,newest tag,tags,versions,untagged,stored bytes,last push,pulls in 30 days,upstream",
    );
    let mut start = Some(list.page().start);
    while let Some(position) = start {
        let query = query_of(&list, PageRequest { start: position, limit: ROWS_AT_ONCE });
        let listed = request.engine().image_summaries(&listing, &name, query).await?;
        listed.entries.into_iter().for_each(|summary| file.push(&fields_of(summary)));
        start = file.end_page(listed.next);
    }
    Ok(file.answer(request, &name.repository, "images"))
}

/// Returns the fields of an image in a file. Those of an image that was not counted yet are empty.
fn fields_of(summary: ImageSummary) -> [String; 9] {
    let counter = |counter: fn(ImageCounters) -> i64| {
        summary.counters.map_or(String::new(), |counters| counter(counters).to_string())
    };
    let (tags, versions) = (counter(|all| all.tags), counter(|all| all.versions));
    let (untagged, stored) = (counter(|all| all.untagged), counter(|all| all.stored_bytes));
    let ImageSummary { name, newest_tag, last_push, pulls_30_days, upstream, .. } = summary;
    [
        name,
        newest_tag.unwrap_or_default(),
        tags,
        versions,
        untagged,
        stored,
        time_text(last_push),
        pulls_30_days.to_string(),
        upstream.unwrap_or_default(),
    ]
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
        upstream: summary.upstream.unwrap_or_default(),
    })
}

fn empty_repository(request: &ConsoleRequest, mode: ModeName, address: &str) -> EmptyRepository {
    let t = request.texts;
    match mode {
        ModeName::Standard => EmptyRepository {
            text: t.no_images(),
            commands: vec![
                format!("docker tag app {address}/app:v1"),
                format!("docker push {address}/app:v1"),
            ],
        },
        ModeName::Remote => EmptyRepository {
            text: t.no_images_remote(),
            commands: vec![format!("docker pull {address}/library/alpine")],
        },
        ModeName::Virtual => EmptyRepository { text: t.no_images_virtual(), commands: Vec::new() },
    }
}
