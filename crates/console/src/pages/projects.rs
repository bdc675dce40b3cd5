//! The first page: the projects that the viewer may see.

use askama::Template;
use axum::response::Response;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Bytes, MaybeTime, Untrusted};
use crate::links::Link;
use crate::page::{self, redirect};
use crate::request::ConsoleRequest;

/// The most projects of a page.
const MAX_PROJECTS: usize = 200;

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    rows: Vec<ProjectRow>,
    next: Option<Link>,
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
    let after = request.query.get("after").unwrap_or_default();
    let listed = request.identity().list_projects(request.caller(), after, MAX_PROJECTS).await?;
    let (projects, next) = listed;
    if projects.is_empty() && next.is_none() && request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let ids = projects.iter().filter_map(|project| project.id.parse().ok()).collect();
    let summaries = request.engine().project_summaries(request.caller(), ids).await?;
    let rows = summaries.into_iter().map(|summary| {
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
    });
    let rows: Vec<ProjectRow> = rows.collect();
    if let ([only], None, "") = (rows.as_slice(), &next, after)
        && only.content.is_some()
        && request.query.get("all").is_none()
    {
        return Ok(redirect(request, &only.link.to_string()));
    }
    let host = request.app.domains.default_location();
    let host = format!(
        "{host}-docker.{}{}",
        request.app.domains.primary(),
        request.app.origin.port_suffix()
    );
    let target = format!("{host}/my-project/my-repo/app:v1");
    let shown = ProjectsPage {
        frame: request
            .frame(request.texts.projects)
            .with_commands(vec!["gcloud projects list".to_owned()]),
        rows,
        next: next.map(|next| Link::home().with("after", &next)),
        first_push: [
            "docker pull busybox".to_owned(),
            format!("docker tag busybox {target}"),
            format!("docker push {target}"),
        ],
    };
    Ok(page::show(request, &shown))
}
