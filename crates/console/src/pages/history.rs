//! The history of the tags of an image: who moved what, from where, in which way; and the way back.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::response::Response;
use engine::PageRequest;
use model::artifact_name::{PackageName, TagName, VersionName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::reference::Tag;
use model::resource::Resource;

use crate::commands;
use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::html::{Time, Untrusted, short_digest};
use crate::links::Link;
use crate::page;
use crate::pages::rights::ImageRights;
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
    /// The version that the tag can be put back to: the one that it named before, unless it names that now.
    earlier: Option<NamedVersion>,
    /// The digest that the tag names now, or `none`.
    current: String,
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
    // The history names people, so that nobody sees it who is signed out.
    if request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::TAGS_LIST, resource).await?;
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
    let may_restore = ImageRights::of(request, &name.repository).await?.set_tags;
    let named = listed.entries.iter().filter(|_| may_restore).map(|change| change.tag.as_str());
    let current = current_digests(request, &name, named.collect()).await?;
    let rows = listed.entries.into_iter().map(|change| {
        let current = current.get(&change.tag);
        ChangeEntry {
            at: Time(change.changed_at),
            earlier: change.from.clone().filter(|from| Some(from) != current).map(version),
            current: current.map_or_else(|| "none".to_owned(), Digest::to_string),
            tag: change.tag,
            from: change.from.map(version),
            to: change.to.map(version),
            actor: Untrusted::short(change.principal),
            way: request.texts.change_way(change.way),
        }
    });
    let rows: Vec<_> = rows.collect();
    let address = request.image_address(&name);
    let mut commands = vec![commands::tags(&address)];
    let earlier = rows.iter().find_map(|row| Some((row, row.earlier.as_ref()?)));
    commands.extend(
        earlier.map(|(row, earlier)| commands::set_tag(&address, &row.tag, &earlier.digest)),
    );
    let shown = HistoryPage {
        frame: request
            .image_frame(&name, format!("{} · {}", request.texts.history(), name.image))
            .await?
            .with_commands(commands),
        name: name.image.to_string(),
        tag: wanted.unwrap_or_default().to_owned(),
        location: request.other_location(&name.repository),
        rows,
        next: listed.next.map(|next| base.with("after", &next)),
        action: request.links.image(&name).page("tags"),
        here: request.here.clone(),
        may_restore,
    };
    Ok(page::show(request, &shown))
}

/// Returns what the tags of a page name now. A tag that is gone is left out.
async fn current_digests(
    request: &ConsoleRequest,
    name: &PackageName,
    tags: BTreeSet<&str>,
) -> Result<BTreeMap<String, Digest>, ConsoleError> {
    if tags.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resource = Resource::Repository(name.repository.clone());
    let authorized = request.authorize(artifactregistry::TAGS_GET, resource).await?;
    let mut current = BTreeMap::new();
    for text in tags {
        let Ok(tag) = text.parse() else { continue };
        let tag = TagName { package: name.clone(), tag };
        match request.engine().find_tag(&authorized, &tag).await {
            Ok(digest) => drop(current.insert(text.to_owned(), digest)),
            Err(error) => match ConsoleError::from(error) {
                ConsoleError::NotFound => {}
                error => return Err(error),
            },
        }
    }
    Ok(current)
}
