//! The search box: a pasted reference or digest leads to its page, a name to what has that name.

use askama::Template;
use axum::response::Response;
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::name::ImageName;

use crate::error::ConsoleError;
use crate::links::Link;
use crate::page::{self, Frame, redirect};
use crate::request::ConsoleRequest;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    wanted: String,
    found: Vec<FoundImage>,
}

struct FoundImage {
    name: String,
    link: Link,
}

pub(crate) async fn show(request: &ConsoleRequest) -> Result<Response, ConsoleError> {
    let wanted = request.query.get("q").unwrap_or_default().trim().to_owned();
    if let Some(link) = crate::front_door::link_to_reference(request, &wanted) {
        return Ok(redirect(request, &link.to_string()));
    }
    let shown =
        SearchPage { frame: request.frame(request.texts.search), wanted, found: Vec::new() };
    Ok(page::show(request, &shown))
}

fn found_image(request: &ConsoleRequest, name: &PackageName, link: Link) -> FoundImage {
    let address = request.app.registry_uri(&name.repository);
    FoundImage { name: format!("{address}/{}", name.image), link }
}
