//! The page of a project: its repositories.

use askama::Template;
use axum::response::Response;
use engine::{ListQuery, NameOrder};
use model::list_filter::{ListFilter, SortDirection};
use model::name::ProjectId;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::html::{Bytes, Time, Untrusted};
use crate::links::Link;
use crate::page::{self, Frame};
use crate::pages::paging::{ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

const COLUMNS: [SortColumn<NameOrder>; 3] = [
    SortColumn { field: NameOrder::Name, name: "name", first: SortDirection::Ascending },
    SortColumn { field: NameOrder::Created, name: "created", first: SortDirection::Descending },
    SortColumn { field: NameOrder::Updated, name: "updated", first: SortDirection::Descending },
];

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    frame: Frame,
    project: String,
    rows: Vec<RepositoryEntry>,
    by_name: SortLink,
    by_created: SortLink,
    pages: PageLinks,
}

struct RepositoryEntry {
    name: String,
    link: Link,
    mode: &'static str,
    location: String,
    description: Untrusted,
    has_immutable_tags: bool,
    stored: Bytes,
    created: Time,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    project: ProjectId,
) -> Result<Response, ConsoleError> {
    let location = request.links.default_location().clone();
    let resource = Resource::Location(project.clone(), location.clone());
    let authorized = request.authorize(artifactregistry::REPOSITORIES_LIST, resource).await?;
    let list = ListRequest::read(&request.query, &COLUMNS);
    let query =
        ListQuery { filter: ListFilter::default(), order: list.order, page: list.page.clone() };
    let listed = request.engine().list_repositories(&authorized, query).await?;
    let base = request.links.project(&project);
    let rows = listed.entries.into_iter().map(|row| RepositoryEntry {
        link: request.links.repository(&row.name),
        name: row.name.repository.to_string(),
        mode: row.mode.word(),
        location: row.name.location.to_string(),
        description: Untrusted::short(row.description),
        has_immutable_tags: row.immutable_tags,
        stored: Bytes(row.size_bytes),
        created: Time(row.created_at),
    });
    let command =
        format!("gcloud artifacts repositories list --project={project} --location={location}");
    let shown = RepositoriesPage {
        frame: request
            .frame(project.as_str())
            .with_crumbs(request.crumbs_to_project(&project).await?)
            .with_commands(vec![command]),
        project: project.to_string(),
        rows: rows.collect(),
        by_name: list.sort_link(&base, &COLUMNS, NameOrder::Name),
        by_created: list.sort_link(&base, &COLUMNS, NameOrder::Created),
        pages: list.page_links(&base, &COLUMNS, listed.next.as_deref()),
    };
    Ok(page::show(request, &shown))
}
