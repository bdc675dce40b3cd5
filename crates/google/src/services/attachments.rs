//! Attachments: artifacts that refer to an image.

use std::collections::BTreeMap;

use engine::{AttachmentDetails, NewAttachment, PageRequest};
use model::artifact_name::{ArtifactNameError, AttachmentName, escape_slashes};
use model::attachment::AttachmentId;
use model::digest::Digest;
use model::list_filter::ListFilter;
use model::manifest::EMPTY_BLOB_DIGEST;
use model::name::RepositoryName;
use prost_types::Any;
use proto::google::devtools::artifactregistry::v1::{
    Attachment, CreateAttachmentRequest, DeleteAttachmentRequest, GetAttachmentRequest,
    ListAttachmentsRequest, ListAttachmentsResponse,
};
use proto::google::longrunning::Operation;
use tonic::{Request, Response, Status};

use super::operations::OperationParent;
use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed, metadata, names,
    page_size, timestamp,
};

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListAttachmentsRequest>,
) -> ServiceAnswer<ListAttachmentsResponse> {
    let admitted = admitted(&request)?;
    let ListAttachmentsRequest { parent, filter, page_size: wanted, page_token } =
        request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let list = ListIdentity::new(admitted.caller(), &["attachments", &parent, &filter]);
    let fields = ["name", "target", "oci_version_name", "type"];
    let filter = ListFilter::parse(&filter, &fields).map_err(|error| bad_field("filter", error))?;
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let page = PageRequest { start, limit };
    let page = services.app.engine.list_attachments(&admitted, &repository, filter, page);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListAttachmentsResponse {
        attachments: page.entries.iter().map(|found| message(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetAttachmentRequest>,
) -> ServiceAnswer<Attachment> {
    let admitted = admitted(&request)?;
    let name: AttachmentName = names::parse_existing(&request.into_inner().name)?;
    let found = services.app.engine.find_attachment(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(message(&name.repository, &found)))
}

pub(super) async fn create(
    services: &ApiServices,
    request: Request<CreateAttachmentRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let CreateAttachmentRequest { parent, attachment_id, attachment } = request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let new = read_new(&attachment_id, attachment.unwrap_or_default())?;
    let created = services.app.engine.create_attachment(&admitted, &repository, new);
    let created = message(&repository, &created.await.map_err(failed)?);
    let response = Any::from_msg(&created).expect("a Vec grows");
    let parent = OperationParent::Location(repository.project, repository.location);
    services.store_success(admitted.caller(), parent, Some(metadata()), response).await
}

/// Reads the new attachment of a request. Without an id, the attachment is named by its digest.
fn read_new(id: &str, attachment: Attachment) -> Result<NewAttachment, Status> {
    let Attachment { target, r#type, attachment_namespace, annotations, files, .. } = attachment;
    let id = (!id.is_empty()).then(|| AttachmentId::parse_chosen(id)).transpose();
    let files = files.iter().map(|file| file.parse()).collect::<Result<_, _>>();
    Ok(NewAttachment {
        id: id.map_err(|problem| bad_field("attachment_id", problem))?,
        target: target.parse().map_err(|problem| bad_field("attachment.target", problem))?,
        artifact_type: r#type,
        namespace: attachment_namespace,
        annotations: annotations.into_iter().collect(),
        files: files
            .map_err(|problem: ArtifactNameError| bad_field("attachment.files", problem))?,
    })
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteAttachmentRequest>,
) -> ServiceAnswer<Operation> {
    let admitted = admitted(&request)?;
    let name: AttachmentName = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_attachment(&admitted, &name).await.map_err(failed)?;
    services.store_deletion(admitted.caller(), name.repository).await
}

fn message(repository: &RepositoryName, found: &AttachmentDetails) -> Attachment {
    let version = |digest: &Digest| {
        format!("{repository}/packages/{}/versions/{digest}", escape_slashes(&found.package))
    };
    let annotations: BTreeMap<String, String> =
        serde_json::from_str(&found.annotations).unwrap_or_default();
    let files = found.files.iter().filter(|digest| digest.as_str() != EMPTY_BLOB_DIGEST);
    let name = AttachmentName { repository: repository.clone(), id: found.id.clone() };
    Attachment {
        name: name.to_string(),
        target: version(&found.subject),
        r#type: found.artifact_type.clone().unwrap_or_default(),
        attachment_namespace: found.namespace.clone(),
        annotations: annotations.into_iter().collect(),
        create_time: Some(timestamp(found.created_at)),
        update_time: Some(timestamp(found.created_at)),
        files: files.map(|digest| format!("{repository}/files/{digest}")).collect(),
        oci_version_name: version(&found.digest),
    }
}
