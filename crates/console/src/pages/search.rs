//! The search box: a pasted reference or digest leads to its page, a name to what has that name.

use askama::Template;
use axum::response::Response;
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::name::ImageName;

use crate::commands;
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::links::Link;
use crate::page::{self, redirect};
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
    let found = find(request, &wanted).await?;
    if let [only] = found.as_slice() {
        return Ok(redirect(request, &only.link.to_string()));
    }
    let name = wanted.parse::<ImageName>().ok();
    let command = name.map(|name| commands::find_images(request, &name));
    let frame = request.frame(request.texts.search()).with_commands(Vec::from_iter(command));
    Ok(page::show(request, &SearchPage { frame, wanted, found }))
}

/// Returns the versions with a digest, or the images whose names begin with a text.
async fn find(request: &ConsoleRequest, wanted: &str) -> Result<Vec<FoundImage>, ConsoleError> {
    let (engine, caller) = (request.engine(), request.caller());
    let mut found = Vec::new();
    if let Ok(digest) = wanted.parse::<Digest>() {
        for package in engine.search_digest(caller, &digest).await? {
            let name = VersionName { package, digest: digest.clone() };
            found.push(found_image(request, &name.package, request.links.version(&name)));
        }
    } else if wanted.parse::<ImageName>().is_ok() {
        for package in engine.search_images(caller, wanted).await? {
            found.push(found_image(request, &package, request.links.image(&package)));
        }
    }
    Ok(found)
}

fn found_image(request: &ConsoleRequest, name: &PackageName, link: Link) -> FoundImage {
    let address = request.app.registry_uri(&name.repository);
    FoundImage { name: format!("{address}/{}", name.image), link }
}
