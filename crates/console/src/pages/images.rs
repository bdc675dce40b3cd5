//! The page of a repository: its images.

use askama::Template;
use axum::response::Response;
use engine::{ListQuery, NameOrder};
use model::artifact_name::PackageName;
use model::list_filter::{ListFilter, SortDirection};
use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::ModeName;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::html::{Bytes, Time, Untrusted};
use crate::links::Link;
use crate::page::{self, Frame};
use crate::pages::paging::{ListRequest, PageLinks, SortColumn, SortLink};
use crate::request::ConsoleRequest;

const COLUMNS: [SortColumn<NameOrder>; 2] = [
    SortColumn { field: NameOrder::Name, name: "name", first: SortDirection::Ascending },
    SortColumn { field: NameOrder::Updated, name: "updated", first: SortDirection::Descending },
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
    filter: String,
    location: Option<String>,
    rows: Vec<ImageEntry>,
    by_name: SortLink,
    by_updated: SortLink,
    pages: PageLinks,
    empty: EmptyRepository,
}

struct ImageEntry {
    name: String,
    link: Link,
    updated: Time,
    created: Time,
}

/// What the page of a repository without images says.
struct EmptyRepository {
    text: &'static str,
    commands: Vec<String>,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.clone());
    let permission = artifactregistry::REPOSITORIES_GET;
    let authorized = request.authorize(permission, resource.clone()).await?;
    let repository = request.engine().find_repository(&authorized, permission).await?;
    let listing = request.authorize(artifactregistry::PACKAGES_LIST, resource).await?;
    let list = ListRequest::read(&request.query, &COLUMNS);
    let query = ListQuery {
        filter: name_filter(&name, &list.filter)?,
        order: list.order,
        page: list.page.clone(),
    };
    let listed = request.engine().list_packages(&listing, &name, query).await?;
    let base = request.links.repository(&name);
    let mut rows = Vec::new();
    for package in listed.entries {
        let Ok(image) = package.name.parse() else { continue };
        let full = PackageName { repository: name.clone(), image };
        rows.push(ImageEntry {
            link: request.links.image(&full),
            name: package.name,
            updated: Time(package.updated_at),
            created: Time(package.created_at),
        });
    }
    let address = request.app.registry_uri(&name);
    let shown = ImagesPage {
        frame: request
            .frame(name.repository.as_str())
            .with_crumbs(request.crumbs_to_repository(&name).await?)
            .with_tabs(request.repository_tabs(&name, repository.mode))
            .with_commands(vec![format!("gcloud artifacts docker images list {address}")]),
        name: name.repository.to_string(),
        mode: repository.mode.word(),
        description: Untrusted::short(repository.description),
        has_immutable_tags: repository.immutable_tags,
        stored: Bytes(repository.size_bytes),
        location: request.other_location(&name),
        filter: list.filter.clone(),
        rows,
        by_name: list.sort_link(&base, &COLUMNS, NameOrder::Name),
        by_updated: list.sort_link(&base, &COLUMNS, NameOrder::Updated),
        pages: list.page_links(&base, &COLUMNS, listed.next.as_deref()),
        empty: empty_repository(request, repository.mode, &address),
        address,
    };
    Ok(page::show(request, &shown))
}

/// Returns the filter for images whose names contain a text.
fn name_filter(repository: &RepositoryName, text: &str) -> Result<ListFilter, ConsoleError> {
    if text.is_empty() {
        return Ok(ListFilter::default());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let filter = match text.bytes().all(is_plain) && text.len() <= 255 {
        true => format!("name=\"*{}*\"", model::artifact_name::escape_slashes(text)),
        // No name has the text in it, and no image has this name.
        false => format!("name=\"{repository}/packages/-\""),
    };
    let parsed = ListFilter::parse(&filter, &["name"]);
    parsed.map_err(|error| ConsoleError::Invalid(format!("{repository}: {error}")))
}

fn empty_repository(request: &ConsoleRequest, mode: ModeName, address: &str) -> EmptyRepository {
    let t = request.texts;
    match mode {
        ModeName::Standard => EmptyRepository {
            text: t.no_images,
            commands: vec![
                format!("docker tag app {address}/app:v1"),
                format!("docker push {address}/app:v1"),
            ],
        },
        ModeName::Remote => EmptyRepository {
            text: t.no_images_remote,
            commands: vec![format!("docker pull {address}/library/alpine")],
        },
        ModeName::Virtual => EmptyRepository { text: t.no_images_virtual, commands: Vec::new() },
    }
}
