//! The HTTP method that a POST stands for, in `X-HTTP-Method-Override`. Google's clients use it for lists whose query
//! is too long for a URL, and for updates by way of proxies that do not know PATCH.
//!
//! The method is replaced before the route is found, so that all later steps, such as the gate and the audit log, see
//! the intended method. Only a POST can stand for another method: a GET never becomes a change.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use tonic::Code;

use super::error::GoogleError;

/// The name of the header.
pub(super) const OVERRIDE: &str = "x-http-method-override";

/// The place of a request's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverriddenQuery {
    /// All of the query is in the URL.
    InAddress,
    /// More of the query is in the body, as a form.
    InBody,
}

/// Replaces the method that was sent by the intended one.
pub(super) fn apply(parts: &mut Parts) -> Result<OverriddenQuery, GoogleError> {
    let mut values = parts.headers.get_all(OVERRIDE).iter();
    let (Some(value), &Method::POST) = (values.next(), &parts.method) else {
        return Ok(OverriddenQuery::InAddress);
    };
    let is_clear = values.all(|other| other == value);
    let (method, query) = match value.as_bytes() {
        b"GET" if is_clear => (Method::GET, OverriddenQuery::InBody),
        b"PATCH" if is_clear => (Method::PATCH, OverriddenQuery::InAddress),
        _ => {
            let text = "X-HTTP-Method-Override may be GET or PATCH";
            return Err(GoogleError::new(Code::InvalidArgument, text));
        }
    };
    if query == OverriddenQuery::InBody && !is_form(&parts.headers) {
        let text = "with X-HTTP-Method-Override: GET, the body has to be a form with the query";
        return Err(GoogleError::new(Code::InvalidArgument, text));
    }
    parts.method = method;
    Ok(query)
}

/// Returns whether the headers describe a form. A request without a body needs no content type.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// Returns the query of the URL, followed by the query of the body.
pub(super) fn join_queries(address: &str, body: &[u8]) -> Result<String, GoogleError> {
    let refused = |_| GoogleError::new(Code::InvalidArgument, "the form is not UTF-8");
    let body = std::str::from_utf8(body).map_err(refused)?;
    Ok(if address.is_empty() { body.to_owned() } else { format!("{address}&{body}") })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(
        method: Method,
        headers: &[(&str, &str)],
        expected: Option<(Method, OverriddenQuery)>,
    ) {
        let mut request = Request::builder().method(method).uri("/v1/projects");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).expect("valid").into_parts();
        let found = apply(&mut parts).ok().map(|query| (parts.method, query));
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn only_a_post_stands_for_another_method() {
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let get = Some((Method::GET, OverriddenQuery::InBody));
        check(Method::POST, &[(OVERRIDE, "GET"), form], get.clone());
        check(Method::POST, &[("X-Http-Method-Override", "GET")], get.clone());
        check(Method::POST, &[(OVERRIDE, "GET"), (OVERRIDE, "GET")], get);
        let patch = Some((Method::PATCH, OverriddenQuery::InAddress));
        check(Method::POST, &[(OVERRIDE, "PATCH"), ("content-type", "application/json")], patch);
        check(Method::POST, &[], Some((Method::POST, OverriddenQuery::InAddress)));
        for value in ["DELETE", "PUT", "POST", "HEAD", "get", "patch", "", "GET, PATCH"] {
            check(Method::POST, &[(OVERRIDE, value)], None);
        }
        check(Method::POST, &[(OVERRIDE, "GET"), (OVERRIDE, "PATCH")], None);
        check(Method::POST, &[(OVERRIDE, "GET"), ("content-type", "application/json")], None);
        for method in [Method::GET, Method::HEAD, Method::DELETE, Method::PUT, Method::PATCH] {
            for value in ["DELETE", "PATCH", "GET", "x"] {
                check(
                    method.clone(),
                    &[(OVERRIDE, value)],
                    Some((method.clone(), OverriddenQuery::InAddress)),
                );
            }
        }
    }

    #[test]
    fn a_query_in_two_places_is_one() {
        assert_eq!(join_queries("", b"a=b").expect("text"), "a=b");
        assert_eq!(join_queries("alt=json", b"a=b").expect("text"), "alt=json&a=b");
        assert!(join_queries("", b"\xff").is_err());
    }
}
