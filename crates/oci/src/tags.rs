//! `/v2/NAME/tags/list` and `/v2/_catalog`.

use axum::response::{IntoResponse, Response};
use engine::{AccessKind, ListedVersion, PageRequest, Pull, TagPage, TagRow};
use http::Method;
use http::header::AUTHORIZATION;
use model::name::RepositoryName;
use model::page_size::parse_page_size;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::complete;
use crate::context::{OciAnswer, OciRequest, check_method};
use crate::error::OciError;
use crate::next_link::add_next_link;
use crate::version_entry::version_entry;

/// A list of tags as in OCI Distribution, with more fields that Google's clients read.
#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: Vec<&'a str>,
    child: Vec<String>,
    manifest: Map<String, Value>,
}

pub(super) async fn list(context: OciRequest, image: &str) -> OciAnswer {
    if let Some(listed) = list_repository(&context, image).await? {
        return Ok(listed);
    }
    let target = context.target(image)?;
    let limit = parse_page_size(context.query.get("n"))?;
    let last = context.query.last();
    context.trail.note_image(&target);
    let access = context.open::<Pull>(&target).await?;
    if complete::is_wanted(&context)
        && let Some(list) = access.open_complete_list().await?
    {
        return complete::answer(&context, image, list);
    }
    let page = access.list_tags(PageRequest { start: last.to_owned(), limit }).await?;
    let response = axum::Json(TagList {
        name: image,
        tags: page.names.iter().map(String::as_str).collect(),
        child: page.children.clone(),
        manifest: manifests(&page),
    })
    .into_response();
    let path = format!("/v2/{image}/tags/list");
    Ok(with_next_link(&context, response, &path, NextPage { last: page.next.as_deref(), limit }))
}

/// Answers the images of a repository, or `None` if `path` names more than a repository.
async fn list_repository(context: &OciRequest, path: &str) -> Result<Option<Response>, OciError> {
    let parsed = context.host_target.parse_repository_path(path);
    let parsed = parsed.map_err(|error| context.path_error(path, error))?;
    let Some((project, repository)) = parsed else {
        return Ok(None);
    };
    let location = context.host_target.location.clone();
    let name = RepositoryName { project, location, repository };
    let limit = parse_page_size(context.query.get("n"))?;
    if complete::is_wanted(context) {
        let list = context.app.engine.open_complete_image_list(&context.caller, &name).await;
        context.trail.note_resource(&name);
        context.trail.note_check(Pull::PERMISSION, &name, &list);
        return complete::answer(context, path, list?).map(Some);
    }
    let request = PageRequest { start: context.query.last().to_owned(), limit };
    let page = context.app.engine.list_images(&context.caller, &name, request).await;
    context.trail.note_resource(&name);
    context.trail.note_check(Pull::PERMISSION, &name, &page);
    let page = page?;
    let list = TagList { name: path, tags: Vec::new(), child: page.entries, manifest: Map::new() };
    let list_path = format!("/v2/{path}/tags/list");
    let response = axum::Json(list).into_response();
    Ok(Some(with_next_link(
        context,
        response,
        &list_path,
        NextPage { last: page.next.as_deref(), limit },
    )))
}

/// Returns the entries of all versions, also of those without a tag, which cleanup programs look for.
fn manifests(page: &TagPage) -> Map<String, Value> {
    let with_tags = |version: &ListedVersion, tags: &[&TagRow]| {
        let mut entry = version_entry(version);
        entry["tag"] = tags.iter().map(|tag| tag.name.as_str()).collect();
        (version.digest.to_string(), entry)
    };
    let tagged = page.versions();
    let tagged = tagged.values().map(|tags| {
        let first = tags.first().expect("a version is listed by its tags");
        with_tags(&first.version, tags)
    });
    tagged.chain(page.untagged.iter().map(|version| with_tags(version, &[]))).collect()
}

/// `GET /v2/_catalog`.
pub(super) async fn catalog(context: OciRequest) -> OciAnswer {
    check_method(&context, &[Method::GET, Method::HEAD])?;
    // The token of an anonymous caller suffices: the list has the images that everybody may read.
    if context.caller.is_anonymous() && context.header(AUTHORIZATION).is_none() {
        return Err(OciError::no_credential());
    }
    let limit = parse_page_size(context.query.get("n"))?;
    let request = PageRequest { start: context.query.last().to_owned(), limit };
    let location = &context.host_target.location;
    let page = context.app.engine.list_catalog(&context.caller, location, request).await?;
    let response = axum::Json(json!({ "repositories": page.entries })).into_response();
    Ok(with_next_link(
        &context,
        response,
        "/v2/_catalog",
        NextPage { last: page.next.as_deref(), limit },
    ))
}

/// Adds the link to the next page, which begins after `last`, if there is one.
fn with_next_link(
    context: &OciRequest,
    mut response: Response,
    path: &str,
    next: NextPage<'_>,
) -> Response {
    if let Some(last) = next.last {
        let limit = next.limit.to_string();
        add_next_link(context, &mut response, path, &[("n", &limit), ("last", last)]);
    }
    response
}

/// The next page of a list.
struct NextPage<'a> {
    /// The entry after which the page begins, if there are more.
    last: Option<&'a str>,
    limit: usize,
}
