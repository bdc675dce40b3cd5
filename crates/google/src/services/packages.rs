//! Packages. A package is an image without a tag or digest, in Docker's words the name of an image.

use std::collections::BTreeMap;

use engine::{Annotations, ListQuery, PageRequest, SortOrder};
use model::artifact_name::PackageName;
use model::list_filter::ListFilter;
use model::name::RepositoryName;
use prost_types::FieldMask;
use proto::google::devtools::artifactregistry::v1::{
    DeletePackageRequest, GetPackageRequest, ListPackagesRequest, ListPackagesResponse, Package,
    UpdatePackageRequest,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed,
    image_message as message, name_order, names, page_size,
};

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListPackagesRequest>,
) -> ServiceAnswer<ListPackagesResponse> {
    let admitted = admitted(&request)?;
    let ListPackagesRequest { parent, page_size: wanted, page_token, filter, order_by } =
        request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let (order, direction) = name_order(&order_by)?;
    let order_text = format!("{order:?} {direction:?}");
    let list = ListIdentity::new(admitted.caller(), &["packages", &parent, &filter, &order_text]);
    let filter = ListFilter::parse(&filter, &["name", "annotations"])
        .map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let order = SortOrder { field: order, direction };
    let query = ListQuery { filter, order, page: PageRequest { start, limit } };
    let page = services.app.engine.list_packages(&admitted, &repository, query);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListPackagesResponse {
        packages: page.entries.iter().map(|found| message::package(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetPackageRequest>,
) -> ServiceAnswer<Package> {
    let admitted = admitted(&request)?;
    let name: PackageName = names::parse_existing(&request.into_inner().name)?;
    let found = services.app.engine.find_package(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message::package(&name.repository, &found)))
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdatePackageRequest>,
) -> ServiceAnswer<Package> {
    let admitted = admitted(&request)?;
    let UpdatePackageRequest { package, update_mask } = request.into_inner();
    let package = package.unwrap_or_default();
    let name: PackageName = names::parse_existing(&package.name)?;
    let annotations = annotations(update_mask, package.annotations)?;
    let changed = services.app.engine.annotate_package(&admitted, &name, annotations).await;
    Ok(Response::new(message::package(&name.repository, &changed.map_err(failed)?)))
}

/// Returns the annotations to set; no other field can be changed. An absent or empty mask means all fields.
pub(super) fn annotations(
    mask: Option<FieldMask>,
    annotations: BTreeMap<String, String>,
) -> Result<Annotations, Status> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    match paths.iter().find(|path| !["annotations", "*"].contains(&path.as_str())) {
        None => Ok(Some(annotations)),
        Some(path) => {
            let problem = format!("{path} cannot be changed; annotations can");
            Err(bad_field("update_mask", problem))
        }
    }
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeletePackageRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let name: PackageName = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_package(&admitted, &name).await.map_err(failed)?;
    services.store_deletion(admitted.caller(), name.repository).await
}
