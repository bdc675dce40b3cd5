//! The pages that say errors.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::error::ConsoleError;
use crate::frame::Frame;
use crate::links::Link;
use crate::page::{redirect, show_with_status};
use crate::request::ConsoleRequest;

/// The page that says an error.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    text: String,
    /// The permission or the number of the request, in the type of a code.
    code: String,
}

impl ConsoleError {
    /// Answers a request that failed.
    pub(crate) fn into_response(self, request: &ConsoleRequest) -> Response {
        let t = request.texts;
        let allow =
            if let Self::WrongMethod(methods) = &self { methods.join(", ") } else { String::new() };
        let retry_after =
            if let Self::NetworkDelayed { seconds } = self { Some(seconds) } else { None };
        let (status, title, text, code) = match self {
            Self::WrongMethod(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                t.refused(),
                request.method.to_string(),
                String::new(),
            ),
            Self::SignIn => {
                let to = Link::own("sign-in").with("next", &request.here);
                return redirect(request, &to.to_string());
            }
            Self::NotFound => {
                (StatusCode::NOT_FOUND, t.not_found(), t.not_found_hint().to_owned(), String::new())
            }
            Self::Forbidden(permission) => {
                let code = permission.to_string();
                (StatusCode::FORBIDDEN, t.forbidden(), t.forbidden_hint().to_owned(), code)
            }
            Self::OtherHost => {
                let text = t.other_host(&request.address.url);
                (StatusCode::MISDIRECTED_REQUEST, t.refused(), text, String::new())
            }
            Self::Csrf(error) => {
                (StatusCode::FORBIDDEN, t.refused(), error.to_string(), String::new())
            }
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, t.refused(), text, String::new()),
            Self::Changed(text) => (StatusCode::CONFLICT, t.changed(), text, String::new()),
            Self::Refused(text) => (StatusCode::CONFLICT, t.refused(), text, String::new()),
            Self::Unavailable(text) => {
                (StatusCode::SERVICE_UNAVAILABLE, t.unavailable(), text, String::new())
            }
            Self::LinkUnusable => {
                (StatusCode::GONE, t.refused(), t.link_unusable().to_owned(), String::new())
            }
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, t.refused(), t.too_many().to_owned(), String::new())
            }
            Self::NetworkDelayed { seconds } => {
                let text = t.network_waits(seconds);
                (StatusCode::TOO_MANY_REQUESTS, t.refused(), text, String::new())
            }
            Self::Internal(text) => {
                tracing::error!("a page of the console failed: {text}");
                let code = request.id.clone();
                (StatusCode::INTERNAL_SERVER_ERROR, t.unavailable(), t.internal().to_owned(), code)
            }
        };
        request.trail.note_failure(status, &text);
        let page = ErrorPage { frame: request.frame(title), text, code };
        let mut response = show_with_status(request, status, &page);
        if !allow.is_empty() {
            let allow = allow.parse().expect("methods are words");
            response.headers_mut().insert(http::header::ALLOW, allow);
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
