//! `/v2/token`: registry tokens, for callers with a credential and for anonymous ones.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use identity::{Caller, CredentialError, IdentityError, TokenAudience};
use model::registry_scope::{MAX_SCOPE_ENTRIES, ScopeEntry, parse_scope};
use serde_json::json;

use super::{field, oauth, read_form, request_info};
use web::app::App;
use web::audit::{AuditGuard, AuditRecorder, AuditedOperation};
use web::auth::{SentCredential, refusal};
use web::server_url::RequestArrival;

/// `GET /v2/token`: the credential is in a header, and the scopes are in the query.
pub async fn get(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let attempt = attempt(&app, &parts);
    let token_request = TokenRequest::of(&app, &parts);
    let caller = app
        .authenticate
        .caller(app.engine.identity(), &parts.headers, TokenAudience::Registry)
        .await;
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    answer(&app, attempt.trail(), caller, &token_request, &query).await
}

/// `POST /v2/token`: the credential and the scopes are in the form. Some clients send the credential in a header.
pub async fn post(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let attempt = attempt(&app, &parts);
    let token_request = TokenRequest::of(&app, &parts);
    let headers = parts.headers.clone();
    let form = match read_form(&app, Request::from_parts(parts, body)).await {
        Ok(form) => form,
        Err(refused) => return refused.into_response(),
    };
    let caller = match field(&form, "grant_type") {
        Some("password") => match (field(&form, "username"), field(&form, "password")) {
            (Some(user), Some(password)) => caller_by_password(&app, user, password).await,
            (None, _) => return oauth::missing("username"),
            (_, None) => return oauth::missing("password"),
        },
        // This registry gives out no refresh tokens, so this one is of another registry.
        Some("refresh_token") => {
            let kind = Err(CredentialError::Kind);
            app.authenticate.caller_with(app.engine.identity(), kind, TokenAudience::Registry).await
        }
        Some(_) => {
            let text = "only grant_type=password is supported, or a credential in the Authorization header";
            return oauth::error("unsupported_grant_type", text);
        }
        None => {
            app.authenticate.caller(app.engine.identity(), &headers, TokenAudience::Registry).await
        }
    };
    answer(&app, attempt.trail(), caller, &token_request, &form).await
}

/// The addresses of a request for a token.
struct TokenRequest {
    /// The host that the request names. It decides in which location and repository the images are.
    host: String,
    /// The address that clients are told.
    base_url: String,
}

impl TokenRequest {
    fn of(app: &App, parts: &Parts) -> Self {
        Self { host: web::host::host(parts), base_url: app.base_url(&RequestArrival::of(parts)) }
    }
}

/// Begins the entry in the audit log. It is written only if the credential is refused.
fn attempt(app: &App, parts: &Parts) -> AuditGuard {
    let operation = AuditedOperation::door("Docker-Token");
    app.audit.begin(Some(operation), request_info(parts), &parts.headers)
}

async fn caller_by_password(
    app: &App,
    user: &str,
    password: &str,
) -> Result<Caller, IdentityError> {
    let credential = SentCredential::of_user(user, password);
    app.authenticate.caller_with(app.engine.identity(), credential, TokenAudience::Registry).await
}

async fn answer(
    app: &App,
    trail: &AuditRecorder,
    caller: Result<Caller, IdentityError>,
    token_request: &TokenRequest,
    fields: &[(String, String)],
) -> Response {
    let issued = match caller {
        Ok(caller) => {
            let access = parse_scopes(app, &token_request.host, fields);
            app.engine.identity().registry_token(&caller, access).await
        }
        Err(error) => {
            trail.note_refusal(&error);
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
        Err(IdentityError::Credential(error)) => {
            refusal::log(error, None);
            let registry = refusal::host_of(&token_request.base_url);
            let message = format!("authentication failed: {}", refusal::reason(error, registry));
            match error {
                CredentialError::TooMany => with_retry_after(error_answer(
                    StatusCode::TOO_MANY_REQUESTS,
                    &message,
                    hint(error),
                )),
                _ => with_challenge(
                    error_answer(StatusCode::UNAUTHORIZED, &message, hint(error)),
                    registry,
                ),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "no token could be made: {error}");
            with_retry_after(error_answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "the registry cannot answer now",
                "try again in a moment",
            ))
        }
    }
}

/// Adds `Retry-After`, by which the client tries again in a second.
fn with_retry_after(response: Response) -> Response {
    ([(RETRY_AFTER, "1")], response).into_response()
}

/// Adds a challenge with the scheme by which clients get tokens here (RFC 6749 §5.2).
fn with_challenge(response: Response, registry: &str) -> Response {
    let challenge = HeaderValue::from_str(&format!("Basic realm=\"{registry}\""));
    let challenge = challenge.map(|challenge| (WWW_AUTHENTICATE, challenge));
    let mut response = response;
    response.headers_mut().extend(challenge);
    response
}

/// Returns advice for the person at the client. No text tells whether an account exists.
fn hint(error: CredentialError) -> &'static str {
    match error {
        CredentialError::Expired => "a token lives for an hour, a key until it is deleted",
        CredentialError::KeyFile => {
            "send the whole file, as gcloud iam service-accounts keys create wrote it"
        }
        CredentialError::UserName => {
            "the user name says what the password is: a token, or a key file"
        }
        CredentialError::TooMany => {
            "sign in with a good credential: it is accepted in spite of the wrong ones before it"
        }
        CredentialError::Times(_) => {
            "set the clock of the machine that signs, or sign for an hour at most"
        }
        CredentialError::Audience => "sign a token that names no audience",
        CredentialError::Limited => "send the credential that the token was made from",
        CredentialError::Revoked
        | CredentialError::KeyDisabled
        | CredentialError::AccountDisabled
        | CredentialError::OtherKey
        | CredentialError::Kind
        | CredentialError::Token(_) => {
            "use a token or key of an account that is enabled, and that has not been revoked"
        }
    }
}

fn error_answer(status: StatusCode, message: &str, hint: &str) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        _ => "UNAVAILABLE",
    };
    let body =
        json!({ "errors": [{ "code": code, "message": message, "detail": { "hint": hint } }] });
    (status, axum::Json(body)).into_response()
}

/// Returns the scopes that are asked for. There may be several fields `scope`, with several scopes in each. Scopes
/// beyond the length that a token in a header can have are left out: with them, the token could not be sent at all.
fn parse_scopes(app: &App, host: &str, fields: &[(String, String)]) -> Vec<ScopeEntry> {
    const MAX_ACCESS_BYTES: usize = 8 << 10;
    let host_target = app.domains.target_of(host);
    let values = fields.iter().filter(|(name, _)| name == "scope");
    let requested = values
        .flat_map(|(_, value)| value.split(' '))
        .take(MAX_SCOPE_ENTRIES)
        .filter_map(|scope| parse_scope(scope, &host_target));
    let (mut entries, mut bytes_left) = (Vec::new(), MAX_ACCESS_BYTES);
    for entry in requested.filter(|entry| !entry.actions.is_empty()) {
        let length = serde_json::to_string(&entry).map_or(usize::MAX, |json| json.len());
        if !entries.contains(&entry) && length <= bytes_left {
            bytes_left -= length;
            entries.push(entry);
        }
    }
    entries
}
