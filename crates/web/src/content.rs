//! Content as an answer: the whole, the ranges that a client asks for, or nothing if the client has it already.

mod multipart;

use axum::body::Body;
use axum::response::Response;
use engine::{EngineError, OpenContent};
use http::header::{
    ACCEPT_RANGES, AsHeaderName, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::response::Builder;
use http::{HeaderMap, HeaderValue, StatusCode};
use model::byte_range::{ByteRange, RangeSelection, select_ranges};
use model::digest::Digest;
use model::precondition::{Precondition, PreconditionError, PreconditionOutcome};
use multipart::serve_several;

/// The `Content-Type` of all content.
const MEDIA_TYPE: &str = "application/octet-stream";

/// The reason why content is not answered.
pub enum ContentError {
    /// The content could not be read.
    Engine(EngineError),
    /// The content has none of the bytes that the range asks for.
    OutOfRange(OutOfRange),
    /// `If-Match` names other content.
    ConditionFailed,
}

/// The size in bytes of content that has none of the bytes that a range asks for.
pub struct OutOfRange(pub(super) u64);

impl OutOfRange {
    /// Returns the text of the error.
    pub fn message(&self) -> String {
        format!("the content has {} bytes; the range asks for none of them", self.0)
    }

    /// Returns the value of `Content-Range`.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("bytes */{}", self.0)).expect("a number")
    }
}

/// Answers content, or the ranges of it that the headers of the request ask for.
pub async fn serve(
    headers: &HeaderMap,
    digest: &Digest,
    content: OpenContent,
) -> Result<Response, ContentError> {
    match check_conditions(headers, digest) {
        PreconditionOutcome::Holds => {}
        PreconditionOutcome::NoneMatchFailed => {
            let head = not_modified_head(digest);
            return Ok(head.body(Body::empty()).expect("headers are made of digests"));
        }
        PreconditionOutcome::MatchFailed => return Err(ContentError::ConditionFailed),
    }
    let size = content.size();
    let (head, body) = match select_ranges(applicable_range(headers, digest), size) {
        RangeSelection::Whole => {
            (content_head(StatusCode::OK, digest).header(CONTENT_LENGTH, size), content.whole())
        }
        RangeSelection::One(part) => {
            let mut streams = content.parts(&[part]).await.map_err(ContentError::Engine)?;
            let head = content_head(StatusCode::PARTIAL_CONTENT, digest)
                .header(CONTENT_LENGTH, part.length)
                .header(CONTENT_RANGE, content_range(&part, size));
            (head, streams.remove(0))
        }
        RangeSelection::Several(parts) => return serve_several(digest, content, &parts).await,
        RangeSelection::Unsatisfiable => return Err(ContentError::OutOfRange(OutOfRange(size))),
    };
    Ok(head.body(Body::from_stream(body)).expect("headers are made of digests and numbers"))
}

fn content_range(part: &ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.last())
}

/// Reads `If-Match` and `If-None-Match`. Several lines of one header are one list.
pub fn precondition(headers: &HeaderMap) -> Result<Precondition, PreconditionError> {
    let list = |name| {
        let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
        let lines: Result<Vec<_>, _> = lines.into_iter().collect();
        lines.map_err(|_| PreconditionError)
    };
    let joined = |lines: Vec<&str>| (!lines.is_empty()).then(|| lines.join(","));
    let (matches, differs) = (joined(list(IF_MATCH)?), joined(list(IF_NONE_MATCH)?));
    Precondition::parse(matches.as_deref(), differs.as_deref())
}

/// Compares the conditions of a read with the digest of the content. A condition that cannot be parsed is ignored.
pub fn check_conditions(headers: &HeaderMap, digest: &Digest) -> PreconditionOutcome {
    precondition(headers).unwrap_or_default().evaluate(Some(digest))
}

/// Returns the value of `Range`, unless `If-Range` names other content.
fn applicable_range<'a>(headers: &'a HeaderMap, digest: &Digest) -> Option<&'a str> {
    match header(headers, IF_RANGE) {
        Some(etag) if etag.trim_matches('"') != digest.as_str() => None,
        Some(_) | None => header(headers, RANGE),
    }
}

fn header(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The header with the digest of the content that an answer is about.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Returns the head that every answer about content has.
pub fn digest_head(status: StatusCode, digest: &Digest) -> Builder {
    let mut head = Response::builder().status(status);
    if let Some(headers) = head.headers_mut() {
        // At once for all headers of such an answer, so that the map need not grow.
        headers.reserve(9);
    }
    head.header(CONTENT_DIGEST, digest.as_str())
        .header(ETAG, ["\"", digest.as_str(), "\""].concat())
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// Returns the head of an answer about content that the client has already: `304 Not Modified`.
pub fn not_modified_head(digest: &Digest) -> Builder {
    digest_head(StatusCode::NOT_MODIFIED, digest)
}

/// Returns the head of an answer that carries content. The headers keep browsers from showing it: content is for the
/// clients of a registry.
pub fn content_head(status: StatusCode, digest: &Digest) -> Builder {
    digest_head(status, digest)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .header(ACCEPT_RANGES, "bytes")
        .header(CONTENT_DISPOSITION, "attachment")
}
