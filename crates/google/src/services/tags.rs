//! Tags of an image.

use engine::{PageRequest, TagTarget};
use model::artifact_name::{PackageName, TagName, VersionName};
use model::list_filter::ListFilter;
use prost_types::FieldMask;
use proto::google::devtools::artifactregistry::v1::{
    CreateTagRequest, DeleteTagRequest, GetTagRequest, ListTagsRequest, ListTagsResponse, Tag,
    UpdateTagRequest,
};
use tonic::{Request, Response, Status};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed,
    image_message as message, names, page_size,
};

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListTagsRequest>,
) -> ServiceAnswer<ListTagsResponse> {
    let admitted = admitted(&request)?;
    let ListTagsRequest { parent, page_size: wanted, page_token, filter } = request.into_inner();
    let package: PackageName = names::parse_existing(&parent)?;
    let list = ListIdentity::new(admitted.caller(), &["tags", &parent, &filter]);
    let filter = ListFilter::parse(&filter, &["name", "version"]);
    let filter = filter.map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 1_000)?);
    let page = PageRequest { start, limit };
    let page = services.app.engine.list_tags(&admitted, &package, filter, page);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListTagsResponse {
        tags: page.entries.iter().map(|tag| message::tag(&package, tag)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetTagRequest>,
) -> ServiceAnswer<Tag> {
    let admitted = admitted(&request)?;
    let name: TagName = names::parse_existing(&request.into_inner().name)?;
    let digest = services.app.engine.find_tag(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(tag_message(&name, digest)))
}

pub(super) async fn create(
    services: &ApiServices,
    request: Request<CreateTagRequest>,
) -> ServiceAnswer<Tag> {
    let admitted = admitted(&request)?;
    let CreateTagRequest { parent, tag_id, tag } = request.into_inner();
    let package: PackageName = names::parse_existing(&parent)?;
    let tag_id = tag_id.parse().map_err(|problem| bad_field("tag_id", problem))?;
    let version = version_of(&package, &tag.unwrap_or_default())?;
    let name = TagName { package, tag: tag_id };
    services.app.engine.create_tag(&admitted, &name, &version).await.map_err(failed)?;
    Ok(Response::new(tag_message(&name, version.digest)))
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdateTagRequest>,
) -> ServiceAnswer<Tag> {
    let admitted = admitted(&request)?;
    let UpdateTagRequest { tag, update_mask } = request.into_inner();
    let tag = tag.unwrap_or_default();
    let name: TagName = names::parse_existing(&tag.name)?;
    check_mask(update_mask)?;
    let version = version_of(&name.package, &tag)?;
    services.app.engine.move_tag(&admitted, &name, &version).await.map_err(failed)?;
    Ok(Response::new(tag_message(&name, version.digest)))
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteTagRequest>,
) -> ServiceAnswer<()> {
    let admitted = admitted(&request)?;
    let name: TagName = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_tag(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(()))
}

fn tag_message(name: &TagName, digest: model::digest::Digest) -> Tag {
    message::tag(&name.package, &TagTarget { tag: name.tag.to_string(), digest })
}

/// Returns the version that a tag shall name. It has to be one of the same package.
fn version_of(package: &PackageName, tag: &Tag) -> Result<VersionName, Status> {
    let version: VersionName =
        tag.version.parse().map_err(|problem| bad_field("tag.version", problem))?;
    if version.package != *package {
        let problem = format!("a tag of {package} has to name a version of that package");
        return Err(bad_field("tag.version", problem));
    }
    Ok(version)
}

/// Refuses a mask with other fields than `version`. An absent or empty mask means all fields.
fn check_mask(mask: Option<FieldMask>) -> Result<(), Status> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    match paths.iter().find(|path| !["version", "*"].contains(&path.as_str())) {
        None => Ok(()),
        Some(path) => Err(bad_field(
            "update_mask",
            format!("{path} is not a field of a tag that can be changed; version is"),
        )),
    }
}
