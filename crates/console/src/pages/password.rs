//! The page of a one-time link, where a person sets a password.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::SET_COOKIE;
use identity::PasswordLinkError;

use crate::error::ConsoleError;
use crate::form;
use crate::frame::Frame;
use crate::links::Link;
use crate::page::{redirect, show_with_status};
use crate::request::{ConsoleRequest, FormCookie};

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    email: String,
    problem: Option<String>,
    insecure: Option<String>,
}

pub(crate) async fn show(request: &ConsoleRequest, token: &str) -> Result<Response, ConsoleError> {
    answer(request, token, StatusCode::OK, None).await
}

async fn answer(
    request: &ConsoleRequest,
    token: &str,
    status: StatusCode,
    problem: Option<String>,
) -> Result<Response, ConsoleError> {
    let link = request.identity().password_link(token).await.map_err(ConsoleError::from)?;
    let FormCookie { form_token, cookie } = request.form_cookie();
    let page = PasswordPage {
        frame: Frame { form_token, ..request.frame(request.texts.set_password()) },
        email: link.email,
        problem,
        insecure: (!request.keeps_cookies()).then(|| request.address.url.clone()),
    };
    let mut response = show_with_status(request, status, &page);
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(crate) async fn set(
    request: &ConsoleRequest,
    token: &str,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let password = fields.get("password").unwrap_or_default();
    let address = request.device().address;
    match request.identity().set_password(token, password, address).await {
        Ok(_) => Ok(redirect(request, &Link::own("sign-in").with("set", "1").to_string())),
        Err(PasswordLinkError::Unacceptable(problem)) => {
            answer(request, token, StatusCode::BAD_REQUEST, Some(problem.to_string())).await
        }
        Err(error) => Err(error.into()),
    }
}
