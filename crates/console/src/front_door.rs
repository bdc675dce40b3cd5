//! The addresses of images in a browser: `https://HOST/PROJECT/REPOSITORY[/IMAGE]` leads to the page about it.
//!
//! Tools ask for the same addresses, and get JSON. Only a browser names HTML among what it accepts.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, HOST, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::name::{ImagePath, RepositoryName};
use model::registry_host::without_port;
use web::app::App;
use web::server_url::RequestArrival;

use crate::address::is_development;
use crate::links::{Link, Links, ROOT};
use crate::request::ConsoleRequest;

/// Returns whether a request is a browser's for a page: a GET that names HTML among what it accepts.
pub fn is_page_request(method: &Method, headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let takes_html = accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    });
    matches!(*method, Method::GET | Method::HEAD) && takes_html
}

/// Answers a browser's request with the address of the page about what the path names, on the console's host.
pub(crate) fn answer(app: &App, parts: &Parts) -> Response {
    let link = link_of(app, parts).unwrap_or_else(Link::home);
    let base = match is_development(app) {
        // The browser stays at the address by which it has reached this machine.
        true => String::new(),
        false => app.origin.fixed().unwrap_or_else(|| app.own_url(&RequestArrival::of(parts))),
    };
    let mut response = found(&base, &link.to_string());
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Answers a request for a page at another configured host with the same page at the console's own.
pub(crate) fn lead_to_console(url: &str, parts: &Parts) -> Response {
    found(url, parts.uri.path_and_query().map_or(ROOT, |path| path.as_str()))
}

/// Answers with an address, which may be another one the next time.
fn found(base: &str, path: &str) -> Response {
    let location = HeaderValue::try_from(format!("{base}{path}"));
    let first_page = || HeaderValue::try_from(format!("{base}{ROOT}")).expect("a configured URL");
    Response::builder()
        .status(StatusCode::FOUND)
        .header(LOCATION, location.unwrap_or_else(|_| first_page()))
        .header(CACHE_CONTROL, "no-store")
        .header(CONTENT_LENGTH, 0)
        .body(Body::empty())
        .expect("the headers are valid")
}

fn link_of(app: &App, parts: &Parts) -> Option<Link> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    link_to_path(app, host, parts.uri.path().trim_matches('/'))
}

/// Returns the link to what a pasted text names: `HOST/PROJECT/REPOSITORY/IMAGE:TAG`, perhaps with a command before it.
pub(crate) fn link_to_reference(request: &ConsoleRequest, text: &str) -> Option<Link> {
    let reference = text.split_ascii_whitespace().next_back()?;
    let reference = reference.strip_prefix("https://").unwrap_or(reference);
    let (host, path) = reference.split_once('/')?;
    let is_host = host == "localhost" || host.contains(['.', ':']);
    // Without a host, a text with two slashes or more is the path of an image, and one with fewer may be a name.
    match (is_host, reference.matches('/').count()) {
        (true, _) => link_to_path(&request.app, host, path),
        (false, 2..) => link_to_path(&request.app, "", reference),
        (false, _) => None,
    }
}

fn link_to_path(app: &App, host: &str, path: &str) -> Option<Link> {
    let links = Links::new(app.domains.default_location().clone());
    let target = app.domains.target_of(without_port(host));
    let (path, digest) = match path.split_once('@') {
        Some((path, digest)) => (path, Some(digest.parse::<Digest>().ok()?)),
        None => (path, None),
    };
    let (path, tag) = match path.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((path, tag)) => (path, Some(tag.parse().ok()?)),
        None => (path, None),
    };
    if let Ok(path) = target.parse_image_path(path) {
        let ImagePath { project, repository, image } = path;
        let repository = RepositoryName { project, location: target.location, repository };
        let package = PackageName { repository, image };
        return Some(match (digest, tag) {
            (Some(digest), _) => links.version(&VersionName { package, digest }),
            (None, Some(tag)) => links.tag(&package, &tag),
            (None, None) => links.image(&package),
        });
    }
    if let Ok(Some((project, repository))) = target.parse_repository_path(path) {
        let name = RepositoryName { project, location: target.location, repository };
        return Some(links.repository(&name));
    }
    path.parse().ok().map(|project| links.project(&project))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, accept: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().expect("a header"));
        }
        assert_eq!(is_page_request(&method, &headers), expected, "{method} {accept}");
    }

    #[test]
    fn browsers_name_html() {
        check(Method::GET, "text/html,application/xhtml+xml,*/*;q=0.8", true);
        check(Method::HEAD, "Text/HTML;q=0.9", true);
        check(Method::GET, "*/*", false);
        check(Method::GET, "application/json", false);
        check(Method::GET, "", false);
        check(Method::POST, "text/html", false);
    }
}
