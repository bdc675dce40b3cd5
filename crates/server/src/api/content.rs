//! Bytes as answers: all of them, or the part that a client asks for.

use axum::body::Body;
use axum::response::Response;
use engine::{Content, EngineError};
use http::header::{
    ACCEPT_RANGES, AsHeaderName, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use http::response::Builder;
use http::{HeaderMap, HeaderValue, StatusCode};
use model::digest::Digest;
use model::range::{ByteRange, byte_range};

/// Why content is not answered.
pub(super) enum ContentError {
    /// It could not be read.
    Engine(EngineError),
    /// The range asks for nothing that it has.
    OutOfRange(OutOfRange),
}

/// How long the content is that a range asks for nothing of.
pub(super) struct OutOfRange(pub(super) u64);

impl OutOfRange {
    /// What it says.
    pub(super) fn message(&self) -> String {
        format!("the content has {} bytes; the range asks for none of them", self.0)
    }

    /// `Content-Range`.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("bytes */{}", self.0)).expect("a number")
    }
}

/// Answers content, or the part of it that the headers of the request ask for.
pub(super) async fn serve(
    headers: &HeaderMap,
    digest: &Digest,
    content: Content,
) -> Result<Response, ContentError> {
    let size = content.size();
    let (head, body) = match byte_range(range(headers, digest), size) {
        ByteRange::Whole => {
            (described(StatusCode::OK, digest).header(CONTENT_LENGTH, size), content.whole())
        }
        ByteRange::Part { start, length } => {
            let end = start + length - 1;
            let part = content.part(start, length).await.map_err(ContentError::Engine)?;
            let head = described(StatusCode::PARTIAL_CONTENT, digest)
                .header(CONTENT_LENGTH, length)
                .header(CONTENT_RANGE, format!("bytes {start}-{end}/{size}"));
            (head, part)
        }
        ByteRange::Unsatisfiable => return Err(ContentError::OutOfRange(OutOfRange(size))),
    };
    Ok(head.body(Body::from_stream(body)).expect("headers are made of digests and numbers"))
}

/// The range, unless it holds only for other content than this.
fn range<'a>(headers: &'a HeaderMap, digest: &Digest) -> Option<&'a str> {
    match header(headers, IF_RANGE) {
        Some(etag) if etag.trim_matches('"') != digest.as_str() => None,
        Some(_) | None => header(headers, RANGE),
    }
}

fn header(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The headers that say what this is. Content is for the clients of a registry, not for a browser to show.
pub(super) fn described(status: StatusCode, digest: &Digest) -> Builder {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header("docker-content-digest", digest.as_str())
        .header(ETAG, format!("\"{digest}\""))
        .header(ACCEPT_RANGES, "bytes")
        .header("x-content-type-options", "nosniff")
        .header("content-disposition", "attachment")
}
