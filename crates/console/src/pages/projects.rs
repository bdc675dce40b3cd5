//! The first page: the projects that the viewer may see.

use askama::Template;
use axum::response::Response;

use crate::error::ConsoleError;
use crate::html::{Time, Untrusted};
use crate::links::Link;
use crate::page::{self, Frame, redirect};
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
    created: Time,
}

pub(crate) async fn show(request: &ConsoleRequest) -> Result<Response, ConsoleError> {
    let after = request.query.get("after").unwrap_or_default();
    let listed = request.identity().list_projects(request.caller(), after, MAX_PROJECTS).await?;
    let (projects, next) = listed;
    if projects.is_empty() && next.is_none() && request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let mut rows = Vec::new();
    for project in projects {
        let Ok(id) = project.id.parse() else { continue };
        rows.push(ProjectRow {
            link: request.links.project(&id),
            id: project.id,
            name: Untrusted::short(project.name),
            created: Time(project.created_at),
        });
    }
    if let ([only], None, "") = (rows.as_slice(), &next, after)
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
