//! Several ranges of content as one answer, `multipart/byteranges` (RFC 9110 §14.6).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use engine::{ContentStream, OpenContent};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use model::byte_range::ByteRange;
use model::digest::Digest;

use super::{ContentError, MEDIA_TYPE, content_head, content_range};

/// Answers ranges of content, in their order, each with its `Content-Range`.
pub(crate) async fn serve_several(
    digest: &Digest,
    content: OpenContent,
    parts: &[ByteRange],
) -> Result<Response, ContentError> {
    let size = content.size();
    // The boundary is random, so that nobody can have pushed content that contains it.
    let random = || getrandom::u64().expect("the system has random numbers");
    let boundary = format!("{:016x}{:016x}", random(), random());
    let mut part_heads: Vec<_> =
        parts.iter().map(|part| part_head(part, size, &boundary)).collect();
    // The line break before a boundary ends the part before, and before the first boundary there is no part.
    part_heads[0] = part_heads[0].slice(2..);
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let length = part_heads.iter().chain([&end]).map(|frame| frame.len() as u64).sum::<u64>()
        + parts.iter().map(|part| part.length).sum::<u64>();
    let streams = content.parts(parts).await.map_err(ContentError::Engine)?;
    let frame = |bytes: Bytes| -> ContentStream { Box::pin(stream::iter([Ok(bytes)])) };
    let pieces =
        part_heads.into_iter().zip(streams).flat_map(|(part_head, part)| [frame(part_head), part]);
    let pieces: Vec<_> = pieces.chain([frame(end)]).collect();
    let mut response = content_head(StatusCode::PARTIAL_CONTENT, digest)
        .header(CONTENT_LENGTH, length)
        .body(Body::from_stream(stream::iter(pieces).flatten()))
        .expect("headers are made of digests and numbers");
    let media_type = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
    response.headers_mut().insert(CONTENT_TYPE, media_type.expect("a number"));
    Ok(response)
}

/// Returns the boundary and the headers that stand before a part.
fn part_head(part: &ByteRange, size: u64, boundary: &str) -> Bytes {
    let range = content_range(part, size);
    format!("\r\n--{boundary}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Range: {range}\r\n\r\n")
        .into()
}
