//! `WWW-Authenticate`, which every 401 below `/v2/` carries (RFC 9110 §15.5.2).

use http::{HeaderValue, Method};

use web::auth::refusal::host_of;

use crate::path::OciRoute;

/// Returns the challenge for a request: the token endpoint, and the scope that the request needs. An empty `error` is
/// left out.
pub(super) fn challenge(
    method: &Method,
    path: &str,
    base_url: &str,
    error: &str,
) -> Option<HeaderValue> {
    let service = host_of(base_url);
    let mut challenge = format!("Bearer realm=\"{base_url}/v2/token\",service=\"{service}\"");
    let route = path.strip_prefix("/v2/").and_then(OciRoute::parse);
    let image = route.as_ref().map(|route| match route {
        OciRoute::Blob { image, .. }
        | OciRoute::Uploads { image }
        | OciRoute::Upload { image, .. }
        | OciRoute::Manifest { image, .. }
        | OciRoute::Tags { image }
        | OciRoute::Referrers { image, .. } => *image,
    });
    if let Some(image) = image {
        let actions = match *method {
            // The progress of an upload is only for callers who may push.
            _ if matches!(route, Some(OciRoute::Upload { .. })) => "pull,push",
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "pull,push,delete",
            _ => "pull,push",
        };
        challenge.push_str(&format!(",scope=\"repository:{image}:{actions}\""));
    }
    if path == "/v2/_catalog" {
        challenge.push_str(",scope=\"registry:catalog:*\"");
    }
    if !error.is_empty() {
        challenge.push_str(&format!(",error=\"{error}\""));
    }
    HeaderValue::from_str(&challenge).ok()
}
