//! `/v2/NAME/blobs/DIGEST`: read and delete.

use axum::body::Body;
use axum::response::Response;
use engine::{Delete, Pull};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use http::{HeaderValue, Method, StatusCode};
use model::digest::Digest;
use model::range::{ByteRange, byte_range};

use super::{Answer, Context, OciError, empty, finish};

pub(super) async fn by_method(context: Context, image: &str, digest: &str) -> Answer {
    let target = context.target(image)?;
    let digest: Digest = digest.parse()?;
    context.trail.image(&target);
    context.trail.digest(&digest);
    match context.method {
        Method::HEAD => {
            let access = context.open::<Pull>(&target).await?;
            let size = access.stat_blob(&digest).await?;
            let head = described(StatusCode::OK, &digest).header(CONTENT_LENGTH, size);
            Ok(finish(head, Body::empty()))
        }
        Method::GET => {
            let access = context.open::<Pull>(&target).await?;
            get(&context, access.blob(&digest).await?, &digest).await
        }
        Method::DELETE => {
            let access = context.open::<Delete>(&target).await?;
            access.delete_blob(&digest).await?;
            Ok(finish(empty(StatusCode::ACCEPTED), Body::empty()))
        }
        _ => Err(OciError::no_such_path()),
    }
}

async fn get(context: &Context, blob: engine::BlobContent, digest: &Digest) -> Answer {
    let size = blob.size();
    match byte_range(range_header(context, digest), size) {
        ByteRange::Whole => {
            let head = described(StatusCode::OK, digest).header(CONTENT_LENGTH, size);
            Ok(finish(head, Body::from_stream(blob.whole())))
        }
        ByteRange::Part { start, length } => {
            let end = start + length - 1;
            let part = blob.part(start, length).await?;
            let head = described(StatusCode::PARTIAL_CONTENT, digest)
                .header(CONTENT_LENGTH, length)
                .header(CONTENT_RANGE, format!("bytes {start}-{end}/{size}"));
            Ok(finish(head, Body::from_stream(part)))
        }
        ByteRange::Unsatisfiable => {
            let whole = HeaderValue::from_str(&format!("bytes */{size}")).expect("a number");
            Err(OciError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "RANGE_INVALID",
                format!("the blob has {size} bytes; the range asks for none of them"),
                "ask for a range that begins within the blob, or for all of it",
            )
            .header(CONTENT_RANGE, whole))
        }
    }
}

/// The range, unless it holds only for other content than this.
fn range_header<'a>(context: &'a Context, digest: &Digest) -> Option<&'a str> {
    match context.header(IF_RANGE) {
        Some(etag) if etag.trim_matches('"') != digest.as_str() => None,
        Some(_) | None => context.header(RANGE),
    }
}

/// The headers that say what this is. Content is for registry clients, not for a browser to show.
fn described(status: StatusCode, digest: &Digest) -> http::response::Builder {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header("docker-content-digest", digest.as_str())
        .header(ETAG, format!("\"{digest}\""))
        .header(ACCEPT_RANGES, "bytes")
        .header("x-content-type-options", "nosniff")
        .header("content-disposition", "attachment")
}
