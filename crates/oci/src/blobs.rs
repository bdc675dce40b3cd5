//! `/v2/NAME/blobs/DIGEST`: read and delete.

use axum::body::Body;
use engine::{Delete, Pull};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{Method, StatusCode};
use model::digest::Digest;

use web::content::{self, ContentError, content_head};

use crate::context::{OciAnswer, OciRequest, empty, finish};
use crate::error::OciError;

pub(super) async fn by_method(context: OciRequest, image: &str, digest: &str) -> OciAnswer {
    let target = context.target(image)?;
    let digest: Digest = digest.parse()?;
    context.trail.note_image(&target);
    context.trail.note_digest(&digest);
    match context.method {
        Method::HEAD => {
            let access = context.open::<Pull>(&target).await?;
            let size = access.stat_blob(&digest).await?;
            if let Some(ended) = context.ended_by_condition(&digest) {
                return ended;
            }
            let head = content_head(StatusCode::OK, &digest).header(CONTENT_LENGTH, size);
            Ok(finish(head, Body::empty()))
        }
        Method::GET => {
            let access = context.open::<Pull>(&target).await?;
            let blob = access.open_blob(&digest).await?;
            content::serve(&context.headers, &digest, blob).await.map_err(content_error)
        }
        Method::DELETE => {
            let access = context.open::<Delete>(&target).await?;
            let precondition = context.precondition()?;
            access.delete_blob_if(&digest, &precondition).await?;
            Ok(finish(empty(StatusCode::ACCEPTED), Body::empty()))
        }
        _ => Err(OciError::no_such_path()),
    }
}

fn content_error(error: ContentError) -> OciError {
    match error {
        ContentError::Engine(error) => error.into(),
        ContentError::ConditionFailed => OciError::condition_failed(),
        ContentError::OutOfRange(range) => OciError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "RANGE_INVALID",
            range.message(),
            "ask for a range that begins within the blob, or for all of it",
        )
        .header(CONTENT_RANGE, range.header()),
    }
}
