//! The viewer's own page: who they are, and their sessions.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::SET_COOKIE;

use crate::error::ConsoleError;
use crate::form;
use crate::frame::Frame;
use crate::html::{Time, Untrusted};
use crate::links::Link;
use crate::page::{self, redirect};
use crate::request::ConsoleRequest;
use crate::session::{Done, Message};

#[derive(Template)]
#[template(path = "you.html")]
struct YouPage {
    frame: Frame,
    name: String,
    sessions: Vec<SessionEntry>,
}

struct SessionEntry {
    id: String,
    agent: Untrusted,
    address: String,
    created: Time,
    last_seen: Time,
    expires: Time,
    is_this: bool,
}

pub(crate) async fn show(request: &ConsoleRequest) -> Result<Response, ConsoleError> {
    if request.viewer.is_signed_out() {
        return Err(ConsoleError::SignIn);
    }
    let own = request.session().map(|person| person.session_id);
    let sessions = request.identity().list_sessions(request.caller()).await?;
    let frame = request.frame(request.texts.you());
    let shown = YouPage {
        name: frame.viewer.clone().unwrap_or_default(),
        frame,
        sessions: sessions
            .into_iter()
            .map(|session| SessionEntry {
                id: session.id.to_string(),
                agent: Untrusted::short(session.agent),
                address: session.address.map_or(String::new(), |address| address.to_string()),
                created: Time(session.created_at),
                last_seen: Time(session.last_seen_at),
                expires: Time(session.expires_at),
                is_this: own == Some(session.id),
            })
            .collect(),
    };
    Ok(page::show(request, &shown))
}

pub(crate) async fn end_sessions(
    request: &ConsoleRequest,
    body: Body,
) -> Result<Response, ConsoleError> {
    let fields = form::read(request, body).await?;
    let person = request.session().ok_or(ConsoleError::SignIn)?;
    match fields.get("session") {
        Some(id) => {
            let id = id.parse().map_err(|_| ConsoleError::NotFound)?;
            request.identity().end_session(&person.caller, id).await?;
        }
        None => {
            let kept = Some(person.session_id);
            request.identity().end_all_sessions(&person.caller, kept).await?;
        }
    }
    let mut response = redirect(request, &Link::own("you").to_string());
    let message = Message { done: Done::SessionEnded, about: String::new() };
    response.headers_mut().append(SET_COOKIE, message.header());
    Ok(response)
}
