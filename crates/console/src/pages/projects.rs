//! The first page: the projects that the viewer may see.

use askama::Template;
use axum::response::Response;
use engine::{ListPage, PageRequest, ProjectSummary};
use identity::{Project, ProjectList};
use model::list_filter::SortDirection;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime, Untrusted};
use crate::links::Link;
use crate::page::{self, redirect};
use crate::pages::paging::{FilterForm, ListLinks, ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

/// The only column by which projects are sorted.
const COLUMNS: [SortColumn<()>; 1] =
    [SortColumn { field: (), name: "id", first: SortDirection::Ascending }];

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    /// True if there is no project, with whatever filter.
    is_empty: bool,
    rows: Vec<ProjectRow>,
    filter: FilterForm,
    by_id: SortLink,
    pages: PageLinks,
    /// The commands that push the first image.
    first_push: [String; 3],
}

struct ProjectRow {
    id: String,
    name: Untrusted,
    link: Link,
    content: Option<ContentOfProject>,
}

/// The content of the repositories of a project, which the viewer may list.
struct ContentOfProject {
    repositories: i64,
    stored: Bytes,
    last_push: MaybeTime,
}

pub(crate) async fn show(request: &ConsoleRequest) -> Result<Response, ConsoleError> {
    let list = ListRequest::read(&request.query, &COLUMNS);
    let PageRequest { start: last, limit } = list.page();
    let (contains, direction) = (list.filter.clone(), list.reading_order().direction);
    let query = ProjectList { contains, direction, last, limit };
    let (projects, next) = request.identity().list_projects(request.caller(), query).await?;
    let is_whole = list.is_first_page() && list.filter.is_empty() && next.is_none();
    if projects.is_empty() && is_whole && request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let first = projects.first().map(|project| project.id.clone());
    let shown = list.shown(ListPage { entries: projects, first, next });
    let projects = shown.entries;
    let ids = projects.iter().filter_map(|project| project.id.parse().ok()).collect();
    let summaries = request.engine().project_summaries(request.caller(), ids).await?;
    let rows = summaries.into_iter().map(|summary| row(request, &projects, summary));
    let rows: Vec<ProjectRow> = rows.collect();
    if let [only] = rows.as_slice()
        && is_whole
        && only.content.is_some()
        && request.query.get("all").is_none()
    {
        return Ok(redirect(request, &only.link.to_string()));
    }
    let base = Link::home();
    let links = ListLinks { base: &base, columns: &COLUMNS };
    let host = request.app.domains.default_location();
    let host = format!(
        "{host}-docker.{}{}",
        request.app.domains.primary(),
        request.app.origin.port_suffix()
    );
    let target = format!("{host}/my-project/my-repo/app:v1");
    let shown = ProjectsPage {
        frame: request
            .frame(request.texts.projects())
            .with_commands(vec!["gcloud projects list".to_owned()]),
        is_empty: rows.is_empty() && is_whole,
        rows,
        filter: FilterForm::of(request, request.texts.filter_projects(), &list.filter),
        by_id: list.sort_link(links, ()),
        pages: list.page_links(request.texts, links, &shown.range, None),
        first_push: [
            "docker pull busybox".to_owned(),
            format!("docker tag busybox {target}"),
            format!("docker push {target}"),
        ],
    };
    Ok(page::show(request, &shown))
}

fn row(request: &ConsoleRequest, projects: &[Project], summary: ProjectSummary) -> ProjectRow {
    let id = summary.project.to_string();
    let name = projects.iter().find(|project| project.id == id).map(|found| found.name.clone());
    ProjectRow {
        link: request.links.project(&summary.project),
        name: Untrusted::short(name.unwrap_or_default()),
        content: summary.content.map(|content| ContentOfProject {
            repositories: content.repositories,
            stored: Bytes(content.stored_bytes),
            last_push: MaybeTime(content.last_push),
        }),
        id,
    }
}
