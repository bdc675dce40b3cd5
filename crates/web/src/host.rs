//! The host that a request names.

use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;

use crate::layer::RequestInfo;

/// Returns the host that a request names. A trusted proxy's word goes first; otherwise the host is in the URI over
/// HTTP/2, and in the `Host` header over HTTP/1.
pub fn host(parts: &Parts) -> String {
    let forwarded = parts.extensions.get::<Arc<RequestInfo>>().and_then(|info| info.forwarded());
    if let Some(host) = forwarded.and_then(|forwarded| forwarded.host.clone()) {
        return host;
    }
    match (parts.uri.authority(), parts.headers.get(HOST)) {
        (Some(authority), _) => authority.as_str().to_owned(),
        (None, Some(header)) => String::from_utf8_lossy(header.as_bytes()).into_owned(),
        (None, None) => String::new(),
    }
}
