//! The names of this machine, and the refusal of all other names with `--dev`.

use std::net::IpAddr;

use axum::response::{IntoResponse, Response};
use http::header::ORIGIN;
use http::{StatusCode, Uri};
use model::registry_host::without_port;

/// Refuses a request with `--dev` that does not name this machine, or that a web page of another origin sends.
///
/// With `--dev`, everybody may do everything. A web page can make its own name resolve to 127.0.0.1 (DNS rebinding),
/// but the request still has that name.
pub(super) fn refuse_foreign<B>(request: &http::Request<B>, names: &[String]) -> Option<Response> {
    let header = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
    if !host.is_some_and(|host| is_local(without_port(host), names)) {
        let known = [&["localhost".to_owned()], names].concat().join(" and ");
        let text = format!(
            "this development server answers only {known}; start it with --dev-host NAME to add a name\n"
        );
        return Some((StatusCode::MISDIRECTED_REQUEST, text).into_response());
    }
    let origin = request.headers().get(ORIGIN)?;
    let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    if origin.as_ref().and_then(Uri::host).is_some_and(|host| is_local(host, names)) {
        return None;
    }
    Some((StatusCode::FORBIDDEN, "requests from other origins are refused\n").into_response())
}

/// Returns whether a host means this machine: a loopback address, `localhost`, a name below it, or one of `names`.
pub fn is_local(host: &str, names: &[String]) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let last_label = host.rsplit('.').next().unwrap_or(host);
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || last_label.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, origin: Option<&str>, expected: u16) {
        let mut request = http::Request::get("/v2/");
        if !host.is_empty() {
            request = request.header("host", host);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(()).expect("valid");
        let refused = refuse_foreign(&request, &["registry.test".to_owned()]);
        assert_eq!(refused.map_or(200, |refused| refused.status().as_u16()), expected, "{host}");
    }

    #[test]
    fn a_development_server_answers_only_its_own_names() {
        check("127.0.0.1:5050", None, 200);
        check("[::1]:5050", None, 200);
        check("localhost", None, 200);
        check("us-west1-docker.localhost:5050", None, 200);
        check("Registry.test:80", None, 200);
        check("evil.example:5050", None, 421);
        check("127.0.0.1.evil.example", None, 421);
        check("10.0.0.1", None, 421);
        check("", None, 421);
        check("localhost:5050", Some("http://localhost:3000"), 200);
        check("localhost:5050", Some("https://evil.example"), 403);
        check("localhost:5050", Some("null"), 403);
    }
}
