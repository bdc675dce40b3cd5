//! Packages: what Docker calls the name of an image.

use model::artifact::PackageName;
use model::filter::Filter;
use model::name::RepositoryName;
use proto::google::devtools::artifactregistry::v1::{
    DeletePackageRequest, GetPackageRequest, ListPackagesRequest, ListPackagesResponse, Package,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response};

use super::{
    Answer, List, Services, admitted, bad_field, failed, image_message as message, name_order,
    names, page_size,
};

pub(super) async fn list(
    services: &Services,
    request: Request<ListPackagesRequest>,
) -> Answer<ListPackagesResponse> {
    let admitted = admitted(&request)?;
    let ListPackagesRequest { parent, page_size: wanted, page_token, filter, order_by } =
        request.into_inner();
    let repository: RepositoryName = names::found(&parent)?;
    let (order, direction) = name_order(&order_by)?;
    let way = format!("{order:?} {direction:?}");
    let list = List::new(admitted.caller(), &["packages", &parent, &filter, &way]);
    let filter = Filter::parse(&filter, &["name"]).map_err(|error| bad_field("filter", error))?;
    let (start, size) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let wanted = (&filter, order, direction);
    let page = services.app.engine.packages(&admitted, &repository, wanted, (&start, size));
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListPackagesResponse {
        packages: page.found.iter().map(|found| message::package(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &Services,
    request: Request<GetPackageRequest>,
) -> Answer<Package> {
    let admitted = admitted(&request)?;
    let name: PackageName = names::found(&request.into_inner().name)?;
    let found = services.app.engine.package(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message::package(&name.repository, &found)))
}

pub(super) async fn delete(
    services: &Services,
    request: Request<DeletePackageRequest>,
) -> Answer<Operation> {
    let admitted = admitted(&request)?;
    let name: PackageName = names::found(&request.into_inner().name)?;
    services.app.engine.remove_package(&admitted, &name).await.map_err(failed)?;
    services.deleted(admitted.caller(), name.repository).await
}
