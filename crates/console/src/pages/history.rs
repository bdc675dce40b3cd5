//! The history of the tags of an image: who moved what, from where, in which way; and the way back.

use askama::Template;
use axum::response::Response;
use engine::PageRequest;
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::reference::Tag;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::html::{Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page::{self, Frame};
use crate::request::ConsoleRequest;

const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    frame: Frame,
    name: String,
    tag: String,
    location: Option<String>,
    rows: Vec<ChangeEntry>,
    next: Option<Link>,
    action: Link,
    here: String,
    may_restore: bool,
}

struct ChangeEntry {
    at: Time,
    tag: String,
    from: Option<NamedVersion>,
    to: Option<NamedVersion>,
    actor: Untrusted,
    way: &'static str,
}

/// A version, by its digest.
struct NamedVersion {
    digest: String,
    short: String,
    link: Link,
}

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: PackageName,
) -> Result<Response, ConsoleError> {
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::TAGS_LIST, resource.clone()).await?;
    let wanted = request.query.get("tag");
    let tag: Option<Tag> =
        wanted.map(str::parse).transpose().map_err(|_| ConsoleError::NotFound)?;
    let start = request.query.get("after").unwrap_or_default().to_owned();
    let page = PageRequest { start, limit: ROWS };
    let listed = request.engine().tag_history(&authorized, &name, tag, page).await?;
    let base = request.links.image(&name).page("history").with_some("tag", wanted);
    let version = |digest: Digest| NamedVersion {
        short: short_digest(digest.as_str()).to_owned(),
        link: request.links.version(&VersionName { package: name.clone(), digest: digest.clone() }),
        digest: digest.to_string(),
    };
    let rows = listed.entries.into_iter().map(|change| ChangeEntry {
        at: Time(change.changed_at),
        tag: change.tag,
        from: change.from.map(version),
        to: change.to.map(version),
        actor: Untrusted::short(change.principal),
        way: request.texts.way(change.way),
    });
    let shown = HistoryPage {
        frame: request
            .frame(format!("{} · {}", request.texts.history, name.image))
            .with_crumbs(request.crumbs_to_image(&name).await?)
            .with_tabs(request.image_tabs(&name)),
        name: name.image.to_string(),
        tag: wanted.unwrap_or_default().to_owned(),
        location: request.other_location(&name.repository),
        rows: rows.collect(),
        next: listed.next.map(|next| base.with("after", &next)),
        action: request.links.image(&name).page("tags"),
        here: request.here.clone(),
        may_restore: request.may(artifactregistry::TAGS_UPDATE, &resource).await?
            && request.may(artifactregistry::TAGS_CREATE, &resource).await?,
    };
    Ok(page::show(request, &shown))
}
