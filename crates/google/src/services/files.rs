//! Files: the blobs and manifests of a repository.

use engine::{FileOwner, ListQuery, PageRequest, RepositoryFile};
use model::artifact_name::{FileName, escape_slashes};
use model::digest::DigestAlgorithm;
use model::list_filter::{ListFilter, SortDirection, parse_order};
use model::name::RepositoryName;
use proto::google::devtools::artifactregistry::v1::hash::HashType;
use proto::google::devtools::artifactregistry::v1::{
    DeleteFileRequest, DownloadFileRequest, DownloadFileResponse, File, GetFileRequest, Hash,
    ListFilesRequest, ListFilesResponse,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed, names, page_size,
    timestamp,
};
use crate::MediaDownload;

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListFilesRequest>,
) -> ServiceAnswer<ListFilesResponse> {
    let admitted = admitted(&request)?;
    let ListFilesRequest { parent, page_size: wanted, page_token, filter, order_by } =
        request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let order = parse_order(&order_by, &["name"]).map_err(|error| bad_field("order_by", error))?;
    let direction = order.map_or(SortDirection::Ascending, |(_, direction)| direction);
    let order_text = format!("{direction:?}");
    let list = ListIdentity::new(admitted.caller(), &["files", &parent, &filter, &order_text]);
    let filter = ListFilter::parse(&filter, &["name", "owner"])
        .map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let query = ListQuery { filter, order: direction, page: PageRequest { start, limit } };
    let page = services.app.engine.list_files(&admitted, &repository, query);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListFilesResponse {
        files: page.entries.iter().map(|found| message(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetFileRequest>,
) -> ServiceAnswer<File> {
    let admitted = admitted(&request)?;
    let name: FileName = names::parse_existing(&request.into_inner().name)?;
    let found = services.app.engine.find_file(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message(&name.repository, &found)))
}

pub(super) async fn download(
    services: &ApiServices,
    request: Request<DownloadFileRequest>,
) -> ServiceAnswer<DownloadFileResponse> {
    let admitted = admitted(&request)?;
    let name: FileName = names::parse_existing(&request.into_inner().name)?;
    let content = services.app.engine.open_file(&admitted, &name).await.map_err(failed)?;
    let mut response = Response::new(DownloadFileResponse {});
    response.extensions_mut().insert(MediaDownload { digest: name.digest, content });
    Ok(response)
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteFileRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let name: FileName = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_file(&admitted, &name).await.map_err(failed)?;
    services.store_deletion(admitted.caller(), name.repository).await
}

fn message(repository: &RepositoryName, found: &RepositoryFile) -> File {
    let owner = |FileOwner { package, digest }: &FileOwner| {
        format!("{repository}/packages/{}/versions/{digest}", escape_slashes(package))
    };
    let hashes = match found.digest.algorithm() {
        DigestAlgorithm::Sha256 => {
            vec![Hash { r#type: HashType::Sha256.into(), value: found.digest.hash_bytes() }]
        }
        // The API has no hash type for SHA-512.
        DigestAlgorithm::Sha512 => Vec::new(),
    };
    File {
        name: format!("{repository}/files/{}", found.digest),
        size_bytes: found.size,
        hashes,
        create_time: Some(timestamp(found.created_at)),
        update_time: Some(timestamp(found.created_at)),
        owner: found.owner.as_ref().map(owner).unwrap_or_default(),
        ..File::default()
    }
}
