//! `/v2/NAME/blobs/uploads/`: upload sessions, from POST to PUT.

use axum::body::Body;
use axum::response::Response;
use engine::{
    EngineError, ImageTarget, MountFrom, Pull, Push, RepoAccess, UploadChunk, UploadProgress,
};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};
use model::byte_range::{ContentRange, MAX_BLOB_BYTES};
use model::digest::{Digest, DigestAlgorithm};

use web::audit::AuditedOperation;
use web::content::CONTENT_DIGEST;
use web::layer::body::upload_body;

use crate::context::{OciAnswer, OciRequest, empty, finish};
use crate::error::OciError;
use crate::range::stored_range;

/// The operation of a POST that uploads or mounts a whole blob: the audit log has one such entry for each blob.
const WHOLE_BLOB: AuditedOperation = AuditedOperation::write("Docker-FinishUpload");

/// `POST`: mounts a blob, stores one at once, or starts an upload session.
pub(super) async fn start(context: OciRequest, body: Body, image: &str) -> OciAnswer {
    refuse_encoding(&context)?;
    refuse_too_large(&context)?;
    let target = context.target(image)?;
    context.trail.note_image(&target);
    let digest_of = |name: &str| context.query.get(name).map(str::parse::<Digest>).transpose();
    let (mount, digest) = (digest_of("mount")?, digest_of("digest")?);
    let algorithm = algorithm(&context)?;
    let access = match context.open_existing::<Push>(&target).await? {
        Some(access) => access,
        None => {
            // No repository is created for a blob in this request that is larger than the room on the disk.
            let length =
                digest.as_ref().filter(|_| mount.is_none()).and(announced_length(&context));
            context.app.engine.check_announced(length.unwrap_or(0)).await?;
            context.open::<Push>(&target).await?
        }
    };
    match (mount, digest) {
        (Some(digest), _) => {
            if try_mount(&context, &access, &digest).await? {
                context.trail.note_operation(Some(WHOLE_BLOB));
                return Ok(created_answer(image, &digest));
            }
        }
        (None, Some(digest)) => {
            let upload = access.start_upload(digest.algorithm()).await?;
            let chunk = chunk_without_range(&context, body);
            access.finish_upload(&upload.id, &digest, chunk).await?;
            context.trail.note_operation(Some(WHOLE_BLOB));
            return Ok(created_answer(image, &digest));
        }
        (None, None) => {}
    }
    let upload = access.start_upload(algorithm).await?;
    Ok(progress_answer(StatusCode::ACCEPTED, image, &upload))
}

/// Mounts a blob, if it can. Returns false if the client has to upload the blob: a source that cannot be used is no
/// error.
async fn try_mount(
    context: &OciRequest,
    access: &RepoAccess<Push>,
    digest: &Digest,
) -> Result<bool, OciError> {
    let Some(from) = context.query.get("from") else {
        return Ok(access.mount(digest, MountFrom::Project).await?);
    };
    let Ok(source) = context.target(from) else { return Ok(false) };
    match context.open::<Pull>(&source).await {
        Ok(source) => Ok(access.mount(digest, MountFrom::Repository(&source)).await?),
        Err(_) => Ok(false),
    }
}

/// Returns the hash algorithm that a client announces for a session, or else SHA-256.
fn algorithm(context: &OciRequest) -> Result<DigestAlgorithm, OciError> {
    match context.query.get("digest-algorithm") {
        Some(name) => Ok(name.parse()?),
        None => Ok(DigestAlgorithm::default()),
    }
}

pub(super) async fn by_method(context: OciRequest, body: Body, image: &str, id: &str) -> OciAnswer {
    let target: ImageTarget = context.target(image)?;
    context.trail.note_image(&target);
    let access = context.open_existing::<Push>(&target).await?;
    let access = access.ok_or(EngineError::UploadUnknown)?;
    match context.method {
        Method::PATCH => append(context, body, &access, image, id).await,
        Method::PUT => finish_upload(context, body, &access, image, id).await,
        Method::DELETE => {
            access.cancel_upload(id).await?;
            Ok(finish(empty(StatusCode::NO_CONTENT), Body::empty()))
        }
        _ => {
            let upload = access.upload_progress(id).await?;
            Ok(progress_answer(StatusCode::NO_CONTENT, image, &upload))
        }
    }
}

async fn append(
    context: OciRequest,
    body: Body,
    access: &RepoAccess<Push>,
    image: &str,
    id: &str,
) -> OciAnswer {
    let chunk = chunk(context, body, access, image, id).await?;
    let outcome = access.append(id, chunk).await;
    let upload = outcome.map_err(|error| with_upload_location(error, image, id))?;
    Ok(progress_answer(StatusCode::ACCEPTED, image, &upload))
}

async fn finish_upload(
    context: OciRequest,
    body: Body,
    access: &RepoAccess<Push>,
    image: &str,
    id: &str,
) -> OciAnswer {
    let digest = context.query.get("digest").ok_or_else(|| {
        let hint = "add ?digest= and the digest of the whole blob";
        OciError::bad_request("DIGEST_INVALID", "the last PUT of an upload needs ?digest=", hint)
    })?;
    let digest: Digest = digest.parse()?;
    context.trail.note_digest(&digest);
    let chunk = chunk(context, body, access, image, id).await?;
    let outcome = access.finish_upload(id, &digest, chunk).await;
    outcome.map_err(|error| with_upload_location(error, image, id))?;
    Ok(created_answer(image, &digest))
}

/// Returns the bytes of a request, with their range if the request states it.
async fn chunk(
    context: OciRequest,
    body: Body,
    access: &RepoAccess<Push>,
    image: &str,
    id: &str,
) -> Result<UploadChunk<'static>, OciError> {
    refuse_encoding(&context)?;
    refuse_too_large(&context)?;
    let range = match context.headers.get(CONTENT_RANGE) {
        Some(text) => match text.to_str().ok().and_then(ContentRange::parse) {
            Some(range) => Some(range),
            None => {
                let offset = access.upload_progress(id).await?.offset;
                let message = "Content-Range must be START-END, both counted from 0 and inclusive";
                return Err(OciError::chunk_out_of_order(message, offset)
                    .header(LOCATION, upload_path(image, id)));
            }
        },
        None => None,
    };
    Ok(UploadChunk { range, ..chunk_without_range(&context, body) })
}

/// Returns the bytes of a request, without a range.
fn chunk_without_range(context: &OciRequest, body: Body) -> UploadChunk<'static> {
    let body = upload_body(body, context.app.limits.idle_timeout.get());
    UploadChunk { range: None, announced: announced_length(context), body }
}

/// Adds the address of the upload to an error, unless the upload has ended by it.
fn with_upload_location(error: EngineError, image: &str, id: &str) -> OciError {
    let has_ended = matches!(
        error,
        EngineError::UploadUnknown
            | EngineError::DigestMismatch { .. }
            | EngineError::StorageFull
            | EngineError::DiskNearlyFull(_)
    );
    let error = OciError::from(error);
    if has_ended { error } else { error.header(LOCATION, upload_path(image, id)) }
}

fn upload_path(image: &str, id: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("/v2/{image}/blobs/uploads/{id}")).expect("name and id parsed")
}

/// Refuses a body whose announced length is larger than a blob may be, before it is read.
fn refuse_too_large(context: &OciRequest) -> Result<(), OciError> {
    match announced_length(context) {
        Some(length) if length > MAX_BLOB_BYTES => {
            Err(EngineError::BlobTooLarge { limit: MAX_BLOB_BYTES }.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the announced length of the body.
fn announced_length(context: &OciRequest) -> Option<u64> {
    context.header(CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

/// Refuses a body with a Content-Encoding: digests are of the bytes that are stored.
fn refuse_encoding(context: &OciRequest) -> Result<(), OciError> {
    match context.header(CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err(OciError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED",
            "Content-Encoding is not understood",
            "send the content as it is to be stored",
        )),
    }
}

fn created_answer(image: &str, digest: &Digest) -> Response {
    let head = empty(StatusCode::CREATED)
        .header(LOCATION, format!("/v2/{image}/blobs/{digest}"))
        .header(CONTENT_DIGEST, digest.as_str());
    finish(head, Body::empty())
}

fn progress_answer(status: StatusCode, image: &str, upload: &UploadProgress) -> Response {
    let head = Response::builder()
        .status(status)
        .header(LOCATION, format!("/v2/{image}/blobs/uploads/{}", upload.id))
        .header(RANGE, stored_range(upload.offset))
        .header("docker-upload-uuid", &upload.id);
    finish(head, Body::empty())
}
