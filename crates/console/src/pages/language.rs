//! The choice of a language, which the browser keeps.

use axum::response::Response;
use http::header::SET_COOKIE;

use crate::error::ConsoleError;
use crate::next_page::go_on;
use crate::request::ConsoleRequest;
use crate::{session, texts};

pub(crate) fn choose(request: &ConsoleRequest, language: &str) -> Result<Response, ConsoleError> {
    let texts = texts::by_name(language).ok_or(ConsoleError::NotFound)?;
    let mut response = go_on(request, &request.query);
    response.headers_mut().append(SET_COOKIE, session::language(texts.language()));
    Ok(response)
}
