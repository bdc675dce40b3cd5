//! `WWW-Authenticate`, which every 401 below `/v2/` carries (RFC 9110 §15.5.2).

use http::{HeaderValue, Method};

use web::auth::refusal::host_of;

use crate::path::Route;

/// Where a token is to be had, and for what.
pub(super) fn challenge(
    (method, path): (&Method, &str),
    (base_url, problem): (&str, &str),
) -> Option<HeaderValue> {
    let service = host_of(base_url);
    let mut challenge = format!("Bearer realm=\"{base_url}/v2/token\",service=\"{service}\"");
    let route = path.strip_prefix("/v2/").and_then(Route::parse);
    let name = route.as_ref().map(|route| match route {
        Route::Blob { image, .. }
        | Route::Uploads { image }
        | Route::Upload { image, .. }
        | Route::Manifest { image, .. }
        | Route::Tags { image }
        | Route::Referrers { image, .. } => *image,
    });
    if let Some(name) = name {
        let actions = match *method {
            // How far an upload is, is for who pushes.
            _ if matches!(route, Some(Route::Upload { .. })) => "pull,push",
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "pull,push,delete",
            _ => "pull,push",
        };
        challenge.push_str(&format!(",scope=\"repository:{name}:{actions}\""));
    }
    if path == "/v2/_catalog" {
        challenge.push_str(",scope=\"registry:catalog:*\"");
    }
    if !problem.is_empty() {
        challenge.push_str(&format!(",error=\"{problem}\""));
    }
    HeaderValue::from_str(&challenge).ok()
}
