//! The page of a project: its repositories, of all locations.

use askama::Template;
use axum::response::Response;
use engine::{RepositorySummary, RepositorySummaryList};
use model::list_filter::SortDirection;
use model::name::ProjectId;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime};
use crate::links::Link;
use crate::page;
use crate::pages::paging::{FilterForm, ListLinks, ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

/// The only column by which repositories are sorted.
const COLUMNS: [SortColumn<()>; 1] =
    [SortColumn { field: (), name: "name", first: SortDirection::Ascending }];

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    frame: Frame,
    project: String,
    rows: Vec<RepositoryEntry>,
    filter: FilterForm,
    by_name: SortLink,
    pages: PageLinks,
}

struct RepositoryEntry {
    name: String,
    link: Link,
    mode: &'static str,
    location: String,
    has_immutable_tags: bool,
    images: i64,
    stored: Bytes,
    last_push: MaybeTime,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    project: ProjectId,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Project(project.clone());
    let authorized = request.authorize(artifactregistry::REPOSITORIES_LIST, resource).await?;
    let list = ListRequest::read(&request.query, &COLUMNS);
    let (contains, direction) = (list.filter.clone(), list.reading_order().direction);
    let query = RepositorySummaryList { contains, direction, page: list.page() };
    let shown = list.shown(request.engine().repository_summaries(&authorized, query).await?);
    let base = request.links.project(&project);
    let links = ListLinks { base: &base, columns: &COLUMNS };
    let rows = shown.entries.into_iter().map(|row| entry(request, row)).collect();
    let command = format!("gcloud artifacts repositories list --project={project}");
    let shown = RepositoriesPage {
        frame: request
            .frame(project.as_str())
            .with_crumbs(request.crumbs_to_project(&project).await?)
            .with_commands(vec![command]),
        project: project.to_string(),
        rows,
        filter: FilterForm::of(request, request.texts.filter_repositories(), &list.filter),
        by_name: list.sort_link(links, ()),
        pages: list.page_links(request.texts, links, &shown.range, None),
    };
    Ok(page::show(request, &shown))
}

fn entry(request: &ConsoleRequest, row: RepositorySummary) -> RepositoryEntry {
    RepositoryEntry {
        link: request.links.repository(&row.name),
        name: row.name.repository.to_string(),
        mode: request.texts.mode_word(row.mode),
        location: row.name.location.to_string(),
        has_immutable_tags: row.immutable_tags,
        images: row.images,
        stored: Bytes(row.stored_bytes),
        last_push: MaybeTime(row.last_push),
    }
}
