//! Files: the blobs and manifests of a repository.

use engine::{File as FoundFile, FileOwner};
use model::artifact::{FileName, escaped};
use model::digest::Algorithm;
use model::filter::{Direction, Filter, order};
use model::name::RepositoryName;
use proto::google::devtools::artifactregistry::v1::hash::HashType;
use proto::google::devtools::artifactregistry::v1::{
    DeleteFileRequest, DownloadFileRequest, DownloadFileResponse, File, GetFileRequest, Hash,
    ListFilesRequest, ListFilesResponse,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response};

use super::{Answer, List, Services, admitted, bad_field, failed, names, page_size, timestamp};
use crate::Media;

pub(super) async fn list(
    services: &Services,
    request: Request<ListFilesRequest>,
) -> Answer<ListFilesResponse> {
    let admitted = admitted(&request)?;
    let ListFilesRequest { parent, page_size: wanted, page_token, filter, order_by } =
        request.into_inner();
    let repository: RepositoryName = names::found(&parent)?;
    let order = order(&order_by, &["name"]).map_err(|error| bad_field("order_by", error))?;
    let direction = order.map_or(Direction::Up, |(_, direction)| direction);
    let way = format!("{direction:?}");
    let list = List::new(admitted.caller(), &["files", &parent, &filter, &way]);
    let filter =
        Filter::parse(&filter, &["name", "owner"]).map_err(|error| bad_field("filter", error))?;
    let (start, size) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let wanted = (&filter, direction);
    let page = services.app.engine.files(&admitted, &repository, wanted, (&start, size));
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListFilesResponse {
        files: page.found.iter().map(|found| message(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(services: &Services, request: Request<GetFileRequest>) -> Answer<File> {
    let admitted = admitted(&request)?;
    let name: FileName = names::found(&request.into_inner().name)?;
    let found = services.app.engine.file(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message(&name.repository, &found)))
}

pub(super) async fn download(
    services: &Services,
    request: Request<DownloadFileRequest>,
) -> Answer<DownloadFileResponse> {
    let admitted = admitted(&request)?;
    let name: FileName = names::found(&request.into_inner().name)?;
    let content = services.app.engine.file_content(&admitted, &name).await.map_err(failed)?;
    let mut response = Response::new(DownloadFileResponse {});
    response.extensions_mut().insert(Media { digest: name.digest, content });
    Ok(response)
}

pub(super) async fn delete(
    services: &Services,
    request: Request<DeleteFileRequest>,
) -> Answer<Operation> {
    let admitted = admitted(&request)?;
    let name: FileName = names::found(&request.into_inner().name)?;
    services.app.engine.remove_file(&admitted, &name).await.map_err(failed)?;
    services.deleted(admitted.caller(), name.repository).await
}

fn message(repository: &RepositoryName, found: &FoundFile) -> File {
    let owner = |FileOwner { package, digest }: &FileOwner| {
        format!("{repository}/packages/{}/versions/{digest}", escaped(package))
    };
    let hashes = match found.digest.algorithm() {
        Algorithm::Sha256 => {
            vec![Hash { r#type: HashType::Sha256.into(), value: found.digest.hash() }]
        }
        // Which the API has no word for.
        Algorithm::Sha512 => Vec::new(),
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
