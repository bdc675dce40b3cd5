//! Docker images: every manifest of a repository.

use engine::{ImageOrder, PageRequest, SortOrder};
use model::artifact_name::DockerImageName;
use model::list_filter::{SortDirection, parse_order};
use model::name::RepositoryName;
use proto::google::devtools::artifactregistry::v1::{
    DockerImage, GetDockerImageRequest, ListDockerImagesRequest, ListDockerImagesResponse,
};
use tonic::{Request, Response};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed,
    image_message as message, names, page_size,
};

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListDockerImagesRequest>,
) -> ServiceAnswer<ListDockerImagesResponse> {
    let admitted = admitted(&request)?;
    let ListDockerImagesRequest { parent, page_size: wanted, page_token, order_by } =
        request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let order = parse_order(&order_by, &["upload_time", "update_time"])
        .map_err(|error| bad_field("order_by", error))?;
    let order = match order {
        // In this order, a push during the walk adds no image to the pages that follow.
        None => (ImageOrder::Uploaded, SortDirection::Descending),
        Some(("upload_time", direction)) => (ImageOrder::Uploaded, direction),
        Some((_, direction)) => (ImageOrder::Updated, direction),
    };
    let list =
        ListIdentity::new(admitted.caller(), &["dockerImages", &parent, &format!("{order:?}")]);
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let order = SortOrder { field: order.0, direction: order.1 };
    let page = PageRequest { start, limit };
    let page = services.app.engine.list_docker_images(&admitted, &repository, order, page);
    let page = page.await.map_err(failed)?;
    let shown = |image| message::docker_image(&repository, image, &services.app);
    Ok(Response::new(ListDockerImagesResponse {
        docker_images: page.entries.iter().map(shown).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetDockerImageRequest>,
) -> ServiceAnswer<DockerImage> {
    let admitted = admitted(&request)?;
    let DockerImageName(name) = names::parse_existing(&request.into_inner().name)?;
    let image = services.app.engine.find_docker_image(&admitted, &name).await.map_err(failed)?;
    let message = message::docker_image(&name.package.repository, &image, &services.app);
    Ok(Response::new(message))
}
