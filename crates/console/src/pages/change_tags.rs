//! The forms that set, move and remove a tag.

use axum::body::Body;
use axum::response::Response;
use engine::TagSetting;
use http::header::SET_COOKIE;
use identity::ChangeWay;
use model::artifact_name::{PackageName, TagName};
use model::digest::Digest;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::form;
use crate::next_page::next_of;
use crate::page::redirect;
use crate::query::Fields;
use crate::request::ConsoleRequest;
use crate::session::{Done, Message};

pub(crate) async fn change(
    request: &ConsoleRequest,
    package: PackageName,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let resource = Resource::Repository(package.repository.clone());
    request.authorize(artifactregistry::TAGS_LIST, resource).await?;
    let tag = fields.get("tag").unwrap_or_default().trim();
    let tag = tag.parse().map_err(|_| ConsoleError::Invalid(format!("{tag:?} is no tag")))?;
    let name = TagName { package, tag };
    let done = match fields.get("action") {
        Some("set") => set(request, &name, &fields, ChangeWay::Console).await?,
        Some("restore") => set(request, &name, &fields, ChangeWay::Restore).await?,
        Some("remove") => remove(request, &name, &fields).await?,
        Some(_) | None => return Err(ConsoleError::Invalid("the form has no action".to_owned())),
    };
    let mut response = redirect(request, &next_of(&fields));
    let message = Message { done, about: name.tag.to_string() };
    response.headers_mut().append(SET_COOKIE, message.header());
    Ok(response)
}

/// Sets a tag. A form that says what the tag named before moves it only from there; another one may move any tag.
async fn set(
    request: &ConsoleRequest,
    name: &TagName,
    fields: &Fields,
    way: ChangeWay,
) -> Result<Done, ConsoleError> {
    let resource = || Resource::Repository(name.package.repository.clone());
    let digest = digest_of(fields, "digest")?.ok_or_else(no_digest)?;
    let seen = match fields.get("seen") {
        Some("none") => None,
        Some(_) => digest_of(fields, "seen")?,
        None => {
            let reading = request.authorize(artifactregistry::TAGS_GET, resource()).await?;
            match request.engine().find_tag(&reading, name).await.map_err(ConsoleError::from) {
                Ok(digest) => Some(digest),
                Err(ConsoleError::NotFound) => None,
                Err(error) => return Err(error),
            }
        }
    };
    let permission = match seen {
        Some(_) => artifactregistry::TAGS_UPDATE,
        None => artifactregistry::TAGS_CREATE,
    };
    let authorized = request.authorize_change_by(permission, resource(), way).await?;
    let change = TagSetting { name: name.clone(), seen, digest };
    request.engine().set_tag(&authorized, change).await?;
    Ok(Done::TagSet)
}

async fn remove(
    request: &ConsoleRequest,
    name: &TagName,
    fields: &Fields,
) -> Result<Done, ConsoleError> {
    let resource = Resource::Repository(name.package.repository.clone());
    let authorized = request.authorize_change(artifactregistry::TAGS_DELETE, resource).await?;
    let seen = digest_of(fields, "seen")?.ok_or_else(no_digest)?;
    request.engine().delete_seen_tag(&authorized, name, &seen).await?;
    Ok(Done::TagRemoved)
}

fn digest_of(fields: &Fields, name: &str) -> Result<Option<Digest>, ConsoleError> {
    let parse = |text: &str| text.parse().map_err(|_| no_digest());
    fields.get(name).map(parse).transpose()
}

fn no_digest() -> ConsoleError {
    ConsoleError::Invalid("the form names no digest".to_owned())
}
