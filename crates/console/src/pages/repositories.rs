//! The page of a project: its repositories, of all locations.

use askama::Template;
use axum::response::Response;
use engine::{PageRequest, RepositorySummary};
use model::name::ProjectId;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime};
use crate::links::Link;
use crate::page;
use crate::request::ConsoleRequest;

const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    frame: Frame,
    project: String,
    rows: Vec<RepositoryEntry>,
    next: Option<Link>,
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
    let start = request.query.get("after").unwrap_or_default().to_owned();
    let page = PageRequest { start, limit: ROWS };
    let listed = request.engine().repository_summaries(&authorized, page).await?;
    let base = request.links.project(&project);
    let rows = listed.entries.into_iter().map(|row| entry(request, row)).collect();
    let command = format!("gcloud artifacts repositories list --project={project}");
    let shown = RepositoriesPage {
        frame: request
            .frame(project.as_str())
            .with_crumbs(request.crumbs_to_project(&project).await?)
            .with_commands(vec![command]),
        project: project.to_string(),
        rows,
        next: listed.next.map(|next| base.with("after", &next)),
    };
    Ok(page::show(request, &shown))
}

fn entry(request: &ConsoleRequest, row: RepositorySummary) -> RepositoryEntry {
    RepositoryEntry {
        link: request.links.repository(&row.name),
        name: row.name.repository.to_string(),
        mode: row.mode.word(),
        location: row.name.location.to_string(),
        has_immutable_tags: row.immutable_tags,
        images: row.images,
        stored: Bytes(row.stored_bytes),
        last_push: MaybeTime(row.last_push),
    }
}
