//! The search box: a pasted reference or digest leads to its page, a name to what has that name.

use askama::Template;
use axum::response::Response;
use engine::{ListPage, SearchTarget};
use model::artifact_name::{PackageName, VersionName};
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
    /// The link to further images; `None` if there are none.
    next: Option<Link>,
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
    let start = request.query.get("page").unwrap_or_default();
    let target = SearchTarget::parse(&wanted);
    let listed = match &target {
        Some(target) => request.engine().search(request.caller(), target.clone(), start).await?,
        None => ListPage { entries: Vec::new(), first: None, next: None },
    };
    let found = listed.entries.into_iter().map(|name| found_image(request, name, target.as_ref()));
    let found: Vec<FoundImage> = found.collect();
    if let ([only], None, "") = (found.as_slice(), &listed.next, start) {
        return Ok(redirect(request, &only.link.to_string()));
    }
    let next = listed.next.map(|next| Link::own("search").with("q", &wanted).with("page", &next));
    let name = wanted.parse::<ImageName>().ok();
    let command = name.map(|name| commands::find_images(request, &name));
    let frame = request.frame(request.texts.search()).with_commands(Vec::from_iter(command));
    Ok(page::show(request, &SearchPage { frame, wanted, found, next }))
}

fn found_image(
    request: &ConsoleRequest,
    package: PackageName,
    target: Option<&SearchTarget>,
) -> FoundImage {
    let address = request.app.registry_uri(&package.repository);
    let name = format!("{address}/{}", package.image);
    let link = match target {
        Some(SearchTarget::Version(digest)) => {
            request.links.version(&VersionName { package, digest: digest.clone() })
        }
        Some(SearchTarget::Prefix(_)) | None => request.links.image(&package),
    };
    FoundImage { name, link }
}
