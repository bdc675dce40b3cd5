//! OAuth 2.0: tokens for assertions (RFC 7523), introspection (RFC 7662), revocation (RFC 7009), and the keys by which
//! ID tokens are verified. Errors are those of RFC 6749.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use identity::{AssertionAnswer, CredentialError, IdentityError, RevocationOutcome};
use serde_json::{Value, json};
use web::audit::AuditCode;

use super::{field, read_form, request_info};
use web::app::App;
use web::audit::{AuditedOperation, LogWhen};
use web::auth::refusal;
use web::server_url::RequestArrival;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `POST /token`: exchanges an assertion for a token.
pub async fn token(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let arrival = RequestArrival::of(&parts);
    let own_url = app.own_url(&arrival);
    let issuer = app.origin.fixed().unwrap_or_else(|| own_url.clone());
    // The audit log gets an entry only for an assertion that is refused.
    let operation = AuditedOperation::oauth("Token", LogWhen::Refused);
    let attempt = app.audit.begin(Some(operation), request_info(&parts), &parts.headers);
    let form = match read_form(&app, Request::from_parts(parts, body)).await {
        Ok(form) => form,
        Err(refused) => return refused.into_response(),
    };
    match field(&form, "grant_type") {
        Some(JWT_BEARER) => {}
        Some(_) => {
            return error("unsupported_grant_type", "only JWT assertions are exchanged here");
        }
        None => return missing("grant_type"),
    }
    let Some(assertion) = field(&form, "assertion") else {
        return missing("assertion");
    };
    let urls = [issuer.as_str(), &own_url];
    let exchanged = app.authenticate.exchange(app.engine.identity(), assertion, urls).await;
    if let Err(error) = &exchanged {
        attempt.trail().note_refusal(error);
    }
    match exchanged {
        Ok(AssertionAnswer::Access { token, scope }) => success(json!({
            "access_token": token.token,
            "expires_in": token.expires_in - 1,
            "token_type": "Bearer",
            "scope": scope,
        })),
        Ok(AssertionAnswer::Id { token }) => success(json!({ "id_token": token })),
        Err(IdentityError::Credential(refused)) => {
            let base_url = app.base_url(&arrival);
            match refused {
                CredentialError::TooMany => too_many(),
                _ => error("invalid_grant", &explain(refused, refusal::host_of(&base_url))),
            }
        }
        Err(IdentityError::InvalidArgument { field: "scope", problem }) => {
            error("invalid_scope", &problem)
        }
        Err(error) => failed(&error),
    }
}

/// Returns the reason of a refusal, in a text that begins as Google's do.
fn explain(refused: CredentialError, registry: &str) -> String {
    match refused {
        CredentialError::Expired => {
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.".to_owned()
        }
        CredentialError::Times(_) | CredentialError::Audience => {
            format!("Invalid JWT: {}.", refusal::reason(refused, registry))
        }
        CredentialError::Revoked
        | CredentialError::KeyDisabled
        | CredentialError::AccountDisabled
        | CredentialError::KeyFile
        | CredentialError::OtherKey
        | CredentialError::UserName
        | CredentialError::TooMany
        | CredentialError::Limited
        | CredentialError::Kind
        | CredentialError::Token(_) => format!(
            "Invalid JWT Signature, or an account or key that is not known to this registry ({registry}), or not good now."
        ),
    }
}

/// `POST /introspect`: answers whether an access token is good, and the account of its holder.
pub async fn introspect(State(app): State<App>, request: Request) -> Response {
    let form = match read_form(&app, request).await {
        Ok(form) => form,
        Err(refused) => return refused.into_response(),
    };
    let Some(token) = field(&form, "token") else {
        return missing("token");
    };
    match app.engine.identity().introspect(token).await {
        Ok(None) => success(json!({ "active": false })),
        Ok(Some(token)) => success(json!({
            "active": true,
            "username": token.email,
            "sub": token.subject,
            "scope": token.scope,
            "exp": token.expires_at,
            "token_type": "Bearer",
        })),
        Err(error) => failed(&error),
    }
}

/// `POST /revoke`: revokes a token. A token that was not good before is answered like a revoked one. A token that
/// cannot be revoked is an error.
pub async fn revoke(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let attempt = app.audit.begin_unnamed(request_info(&parts), &parts.headers);
    let form = match read_form(&app, Request::from_parts(parts, body)).await {
        Ok(form) => form,
        Err(refused) => return refused.into_response(),
    };
    let Some(token) = field(&form, "token") else {
        return missing("token");
    };
    match app.engine.identity().revoke_token(token).await {
        Ok(RevocationOutcome::Revoked(holder)) => {
            let trail = attempt.trail();
            trail.note_operation(Some(AuditedOperation::oauth("RevokeToken", LogWhen::Always)));
            trail.note_principal(&holder);
            trail.note_outcome(AuditCode::Ok, "");
            success(json!({}))
        }
        Ok(RevocationOutcome::AlreadyInvalid) => success(json!({})),
        Ok(RevocationOutcome::Unsupported(reason)) => error("unsupported_token_type", reason),
        Err(error) => failed(&error),
    }
}

/// `GET /oauth2/v3/certs`: answers the keys that verify ID tokens, as a JSON Web Key Set.
pub async fn keys(State(app): State<App>) -> Response {
    match app.engine.identity().public_keys().await {
        Ok(keys) => {
            let keys: Vec<Value> =
                keys.iter().filter_map(|(id, point)| json_web_key(id, point)).collect();
            let body = axum::Json(json!({ "keys": keys }));
            ([(CACHE_CONTROL, "public, max-age=300")], body).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// Returns the JSON Web Key of a point in its uncompressed form: 4, x, y.
fn json_web_key(id: &str, point: &[u8]) -> Option<Value> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Some(json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
        "kid": id, "x": text(x), "y": text(y),
    }))
}

fn success(body: Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

pub(super) fn missing(parameter: &str) -> Response {
    error("invalid_request", &format!("Required parameter is missing: {parameter}"))
}

pub(super) fn error(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

fn too_many() -> Response {
    let description = "Too many wrong assertions came from this address, or for this account.";
    let body = json!({ "error": "rate_limit_exceeded", "error_description": description });
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], axum::Json(body)).into_response()
}

fn failed(error: &IdentityError) -> Response {
    tracing::warn!(%error, "a token endpoint failed: {error}");
    unavailable()
}

pub(super) fn unavailable() -> Response {
    let body = json!({ "error": "temporarily_unavailable" });
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], axum::Json(body)).into_response()
}
