//! The host that a request names.

use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;

use crate::layer::RequestInfo;

/// The host that a request names: HTTP/2 has it in the URI, HTTP/1 in a header, and a trusted proxy may know better.
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
