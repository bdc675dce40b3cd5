//! The method that a POST stands for: Google's clients send lists whose query is too long for an address, and updates
//! where something in between knows no PATCH, as POST with `X-HTTP-Method-Override`.
//!
//! The method is changed before anything is looked up by it, so that all that comes afterwards, the gate and the audit
//! log among it, sees the one that is meant. Only POST stands for another one: a GET never becomes more than it is.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use tonic::Code;

use super::error::GoogleError;

/// The header's name.
pub(super) const OVERRIDE: &str = "x-http-method-override";

/// Where the rest of a request's query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverriddenQuery {
    /// All of it is in the address.
    InAddress,
    /// There is more, as a form in the body.
    InBody,
}

/// Puts the method that is meant in place of the one that was sent.
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
        let text = "with X-HTTP-Method-Override: GET the body is a form, the query";
        return Err(GoogleError::new(Code::InvalidArgument, text));
    }
    parts.method = method;
    Ok(query)
}

/// Whether a body would be a form. None needs no type.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The query of the address, and behind it that of the body.
pub(super) fn joined(address: &str, body: &[u8]) -> Result<String, GoogleError> {
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
        assert_eq!(joined("", b"a=b").expect("text"), "a=b");
        assert_eq!(joined("alt=json", b"a=b").expect("text"), "alt=json&a=b");
        assert!(joined("", b"\xff").is_err());
    }
}
