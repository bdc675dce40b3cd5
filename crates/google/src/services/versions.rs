//! Versions: the manifests of an image.

use engine::{
    DeleteMode, ImageOrder, ListQuery, PageRequest, SortOrder, TagDetail, TagHandling, VersionOrder,
};
use model::artifact_name::{PackageName, VersionName};
use model::list_filter::{ListFilter, SortDirection, parse_order};
use model::name::RepositoryName;
use prost_types::Any;
use proto::google::devtools::artifactregistry::v1::{
    BatchDeleteVersionsMetadata, BatchDeleteVersionsRequest, DeleteVersionRequest,
    GetVersionRequest, ListVersionsRequest, ListVersionsResponse, UpdateVersionRequest, Version,
    VersionView,
};
use proto::google::longrunning::Operation;
use proto::google::longrunning::operation::Result as Outcome;
use proto::google::rpc;
use tonic::{Request, Response, Status};

use super::operations::OperationParent;
use super::packages::annotations;
use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed,
    image_message as message, names, page_size,
};

/// The most versions that one call deletes.
const MAX_VERSIONS: usize = 1_000;

fn view(view: i32) -> Result<VersionView, Status> {
    VersionView::try_from(view).map_err(|_| bad_field("view", "is neither BASIC nor FULL"))
}

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListVersionsRequest>,
) -> ServiceAnswer<ListVersionsResponse> {
    let admitted = admitted(&request)?;
    let ListVersionsRequest {
        parent,
        page_size: wanted,
        page_token,
        view: shown,
        order_by,
        filter,
    } = request.into_inner();
    let (package, shown): (PackageName, _) = (names::parse_existing(&parent)?, view(shown)?);
    let order = parse_order(&order_by, &["name", "create_time", "update_time"])
        .map_err(|error| bad_field("order_by", error))?;
    let (order, direction) = match order {
        None => (VersionOrder::Name, SortDirection::Ascending),
        Some(("name", direction)) => (VersionOrder::Name, direction),
        Some(("create_time", direction)) => (VersionOrder::Time(ImageOrder::Uploaded), direction),
        Some((_, direction)) => (VersionOrder::Time(ImageOrder::Updated), direction),
    };
    let tags = if shown == VersionView::Full { TagDetail::InFull } else { TagDetail::Hidden };
    let order_text = format!("{order:?} {direction:?}");
    let list = ListIdentity::new(admitted.caller(), &["versions", &parent, &filter, &order_text]);
    let filter = ListFilter::parse(&filter, &["name", "annotations"])
        .map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let order = SortOrder { field: order, direction };
    let query = ListQuery { filter, order, page: PageRequest { start, limit } };
    let page = services.app.engine.list_versions(&admitted, &package, query, tags);
    let page = page.await.map_err(failed)?;
    let shown = |image| message::version(&package.repository, image, shown);
    Ok(Response::new(ListVersionsResponse {
        versions: page.entries.iter().map(shown).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetVersionRequest>,
) -> ServiceAnswer<Version> {
    let admitted = admitted(&request)?;
    let GetVersionRequest { name, view: shown } = request.into_inner();
    let name: VersionName = names::parse_existing(&name)?;
    // gcloud asks for no view and shows the tags, so that the default is the full view.
    let shown = match view(shown)? {
        VersionView::Unspecified => VersionView::Full,
        shown => shown,
    };
    let image = services.app.engine.find_version(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message::version(&name.package.repository, &image, shown)))
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdateVersionRequest>,
) -> ServiceAnswer<Version> {
    let admitted = admitted(&request)?;
    let UpdateVersionRequest { version, update_mask } = request.into_inner();
    let version = version.unwrap_or_default();
    let name: VersionName = names::parse_existing(&version.name)?;
    let annotations = annotations(update_mask, version.annotations)?;
    let changed = services.app.engine.annotate_version(&admitted, &name, annotations).await;
    let changed = changed.map_err(failed)?;
    Ok(Response::new(message::version(&name.package.repository, &changed, VersionView::Full)))
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteVersionRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let DeleteVersionRequest { name, force } = request.into_inner();
    let name: VersionName = names::parse_existing(&name)?;
    let tagged = if force { TagHandling::DeleteTags } else { TagHandling::RefuseIfTagged };
    services.app.engine.delete_version(&admitted, &name, tagged).await.map_err(failed)?;
    services.store_deletion(admitted.caller(), name.package.repository).await
}

pub(super) async fn delete_several(
    services: &ApiServices,
    request: Request<BatchDeleteVersionsRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let BatchDeleteVersionsRequest { parent, names, validate_only } = request.into_inner();
    let package: PackageName = names::parse_existing(&parent)?;
    if names.is_empty() || names.len() > MAX_VERSIONS {
        return Err(bad_field("names", format!("between 1 and {MAX_VERSIONS} names")));
    }
    let digest = |name: &String| match name.parse::<VersionName>() {
        Ok(version) if version.package == package => Ok(version.digest),
        Ok(_) => Err(bad_field("names", format!("{name} is not in {package}"))),
        Err(problem) => Err(bad_field("names", problem)),
    };
    let digests = names.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
    let mode = if validate_only { DeleteMode::Validate } else { DeleteMode::Delete };
    let versions = services.app.engine.delete_versions(&admitted, &package, digests, mode);
    let undone = versions.await.map_err(failed)?;
    let failed_versions: Vec<String> =
        undone.iter().map(|(digest, _)| format!("{package}/versions/{digest}")).collect();
    let outcome = match undone.into_iter().next() {
        None => Outcome::Response(Any::from_msg(&()).expect("a Vec grows")),
        Some((_, first)) => {
            let why = failed(first);
            let message = format!(
                "{} of {} versions cannot be deleted; the first: {}",
                failed_versions.len(),
                names.len(),
                why.message()
            );
            Outcome::Error(rpc::Status { code: why.code() as i32, message, details: Vec::new() })
        }
    };
    let metadata = BatchDeleteVersionsMetadata { failed_versions };
    let metadata = Any::from_msg(&metadata).expect("a Vec grows");
    if validate_only {
        // Nothing was done, so that the operation is not stored and has no name.
        let (metadata, result) = (Some(metadata), Some(outcome));
        let operation = Operation { name: String::new(), metadata, done: true, result };
        return Ok(Response::new(operation));
    }
    let RepositoryName { project, location, .. } = package.repository;
    let parent = OperationParent::Location(project, location);
    services.store_operation(admitted.caller(), parent, Some(metadata), outcome).await
}
