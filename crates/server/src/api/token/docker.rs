//! `/v2/token`: a registry token for a credential, or for nobody.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::{Caller, CredentialError, EngineError, Surface};
use http::StatusCode;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::request::Parts;
use model::scope::{Entry, MAX_SCOPES, parse};
use serde_json::json;

use super::{field, info, read_form};
use crate::api::{App, oci};
use crate::audit::{Attempt, Operation, Trail};
use crate::auth::Credential;

/// The credential is in the header, what is asked for in the query.
pub async fn get(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let attempt = attempt(&app, &parts);
    let host = oci::host(&parts);
    let caller = app.authenticate.caller(&app.engine, &parts.headers, Surface::Registry).await;
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    answer((&app, attempt.trail()), caller, (&host, &query)).await
}

/// Everything is in the form.
pub async fn post(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let attempt = attempt(&app, &parts);
    let host = oci::host(&parts);
    let headers = parts.headers.clone();
    let request = Request::from_parts(parts, body);
    let Some(form) = read_form(&app, request).await else {
        let text = ("the form cannot be read", "send application/x-www-form-urlencoded");
        return refused(text, StatusCode::BAD_REQUEST);
    };
    let caller = match field(&form, "grant_type") {
        Some("password") => by_password(&app, &form).await,
        // Nobody was given one, so it can only be somebody else's.
        Some("refresh_token") => Err(CredentialError::Expired.into()),
        _ => app.authenticate.caller(&app.engine, &headers, Surface::Registry).await,
    };
    answer((&app, attempt.trail()), caller, (&host, &form)).await
}

/// Only credentials that are refused are written down.
fn attempt(app: &App, parts: &Parts) -> Attempt {
    app.audit.attempt(Some(Operation::door("Docker-Token")), (info(parts), &parts.headers))
}

async fn by_password(app: &App, form: &[(String, String)]) -> Result<Caller, EngineError> {
    let user = field(form, "username").unwrap_or_default();
    let password = field(form, "password").unwrap_or_default();
    let credential = Credential::of_user(user, password);
    app.authenticate.caller_with(&app.engine, credential, Surface::Registry).await
}

async fn answer(
    (app, trail): (&App, &Trail),
    caller: Result<Caller, EngineError>,
    (host, fields): (&str, &[(String, String)]),
) -> Response {
    let issued = match caller {
        Ok(caller) => app.engine.registry_token(&caller, scopes(app, host, fields)).await,
        Err(error) => {
            trail.refused(&error);
            Err(error)
        }
    };
    match issued {
        Ok(issued) => {
            let issued_at = jiff::Timestamp::from_second(issued.issued_at).unwrap_or_default();
            let body = json!({
                "token": issued.token,
                "access_token": issued.token,
                "expires_in": issued.expires_in,
                "issued_at": issued_at.to_string(),
            });
            ([(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
        }
        Err(EngineError::Credential(error)) => {
            tracing::info!(%error, "a credential was refused: {error}");
            match error {
                CredentialError::TooMany => {
                    soon(refused(explain(error), StatusCode::TOO_MANY_REQUESTS))
                }
                _ => refused(explain(error), StatusCode::UNAUTHORIZED),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "no token could be made: {error}");
            let text = ("the registry cannot answer now", "try again in a moment");
            soon(refused(text, StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

/// Asks the client to come again in a second.
fn soon(response: Response) -> Response {
    ([(RETRY_AFTER, "1")], response).into_response()
}

/// What is wrong, and what a person can do about it. Nothing here tells whether an account exists.
fn explain(error: CredentialError) -> (&'static str, &'static str) {
    match error {
        CredentialError::Expired => (
            "authentication failed: the token has expired; sign in again, or use a service account key (_json_key_base64)",
            "a token lives for an hour, a key until it is deleted",
        ),
        CredentialError::KeyFile => (
            "authentication failed: the password is not a service account's key file, plain or in base64",
            "send the whole file, as gcloud iam service-accounts keys create wrote it",
        ),
        CredentialError::UserName => (
            "authentication failed: the user name must be oauth2accesstoken, _json_key or _json_key_base64",
            "the user name says what the password is: a token, or a key file",
        ),
        CredentialError::TooMany => (
            "authentication failed, as it did too often lately from this address or for this account",
            "sign in with a credential that is right: it is not refused for those that were wrong",
        ),
        CredentialError::Revoked
        | CredentialError::KeyDisabled
        | CredentialError::AccountDisabled
        | CredentialError::OtherKey
        | CredentialError::Token(_) => (
            "authentication failed",
            "use a token or key of an account that is enabled, and that has not been revoked",
        ),
    }
}

fn refused((message, hint): (&str, &str), status: StatusCode) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::BAD_REQUEST => "UNSUPPORTED",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        _ => "UNAVAILABLE",
    };
    let body =
        json!({ "errors": [{ "code": code, "message": message, "detail": { "hint": hint } }] });
    (status, axum::Json(body)).into_response()
}

/// The images that are asked for: `scope` may come several times, and hold several. What does not fit into a
/// token that a header can carry is left out: it would make the token good for nothing at all.
fn scopes(app: &App, host: &str, fields: &[(String, String)]) -> Vec<Entry> {
    const LONGEST: usize = 8 << 10;
    let place = app.domains.place(host);
    let values = fields.iter().filter(|(name, _)| name == "scope");
    let asked = values
        .flat_map(|(_, value)| value.split(' '))
        .take(MAX_SCOPES)
        .filter_map(|scope| parse(scope, &place));
    let (mut entries, mut room) = (Vec::new(), LONGEST);
    for entry in asked.filter(|entry| !entry.actions.is_empty()) {
        let length = serde_json::to_string(&entry).map_or(usize::MAX, |json| json.len());
        if !entries.contains(&entry) && length <= room {
            room -= length;
            entries.push(entry);
        }
    }
    entries
}
