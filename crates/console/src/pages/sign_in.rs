//! Signing in with a password, and signing out.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use identity::{SignInError, SignInRequest};

use crate::error::ConsoleError;
use crate::form;
use crate::frame::Frame;
use crate::next_page::{go_on, next_of};
use crate::page::{redirect, show_with_status};
use crate::query::Fields;
use crate::request::{ConsoleRequest, FormCookie};
use crate::session;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    email: String,
    problem: Option<String>,
    /// The address that the viewer opened, if no browser keeps a session there.
    insecure: Option<String>,
    is_password_set: bool,
}

pub(crate) fn show(request: &ConsoleRequest) -> Result<Response, ConsoleError> {
    if !request.viewer.is_signed_out() {
        return Ok(go_on(request, &request.query));
    }
    Ok(answer(request, &request.query, StatusCode::OK, None))
}

/// Answers with the form. A browser that has no cookie for it gets one, which the form's token belongs to.
fn answer(
    request: &ConsoleRequest,
    fields: &Fields,
    status: StatusCode,
    problem: Option<String>,
) -> Response {
    let FormCookie { form_token, cookie } = request.form_cookie();
    let frame = Frame { form_token, ..request.frame(request.texts.sign_in()) };
    let page = SignInPage {
        frame,
        next: next_of(fields),
        email: fields.get("email").unwrap_or_default().to_owned(),
        problem,
        insecure: (!request.keeps_cookies()).then(|| request.address.url.clone()),
        is_password_set: fields.get("set").is_some(),
    };
    let mut response = show_with_status(request, status, &page);
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

pub(crate) async fn sign_in(
    request: &ConsoleRequest,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let sign_in = SignInRequest {
        email: fields.get("email").unwrap_or_default().trim().to_owned(),
        password: fields.get("password").unwrap_or_default().to_owned(),
        device: request.device(),
    };
    let refusal = match request.identity().sign_in(sign_in).await {
        Ok(session) => {
            if let Some(before) = request.session() {
                request.identity().end_session(&before.caller, before.session_id).await?;
            }
            let mut response = redirect(request, &next_of(&fields));
            let headers = response.headers_mut();
            headers.append(SET_COOKIE, session::set(session::SESSION, &session.secret, None));
            headers.append(SET_COOKIE, session::cleared(session::FORM));
            return Ok(response);
        }
        Err(SignInError::Failed(error)) => return Err(error.into()),
        Err(refused) => Refusal::of(&refused, request.texts),
    };
    let Refusal { status, problem, retry_after } = refusal;
    request.trail.note_failure(status, &problem);
    let mut response = answer(request, &fields, status, Some(problem));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// The answer to somebody who is not signed in.
struct Refusal {
    status: StatusCode,
    problem: String,
    /// The seconds to wait, if waiting helps.
    retry_after: Option<u64>,
}

impl Refusal {
    fn of(error: &SignInError, t: Texts) -> Self {
        let (status, problem, retry_after) = match error {
            SignInError::Wrong => (StatusCode::FORBIDDEN, t.wrong_password().to_owned(), None),
            SignInError::Delayed { seconds } => {
                (StatusCode::TOO_MANY_REQUESTS, t.wait_seconds(*seconds), Some(*seconds))
            }
            SignInError::NetworkDelayed { seconds } => {
                (StatusCode::TOO_MANY_REQUESTS, t.network_waits(*seconds), Some(*seconds))
            }
            SignInError::Busy | SignInError::Failed(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, t.sign_in_busy().to_owned(), Some(1))
            }
        };
        Self { status, problem, retry_after }
    }
}

pub(crate) async fn sign_out(
    request: &ConsoleRequest,
    body: Body,
) -> Result<Response, ConsoleError> {
    form::read(request, body).await?;
    if let Some(person) = request.session() {
        request.identity().end_session(&person.caller, person.session_id).await?;
    }
    let mut response = redirect(request, crate::links::ROOT);
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, session::cleared(session::SESSION));
    // What the browser keeps of the pages goes too.
    headers.insert("clear-site-data", HeaderValue::from_static("\"cache\""));
    Ok(response)
}
