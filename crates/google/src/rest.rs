//! The REST door: it makes a call from a path, a query and a JSON body, and answers the reply as JSON.
//!
//! The call goes to the gRPC router in this process, as one frame, so that the gate and every other layer treat it like
//! a call by gRPC. The request's extensions go along: the caller is known from them and never from a header.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use http_body_util::BodyExt;
use model::json::{describe_error, parse_strict};
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use serde_json::Map;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::contract::{ApiContract, ContractError, MethodInfo};
use super::error::GoogleError;
use super::json::{self, FieldError};
use super::path::{MatchedRoute, PathRules};
use super::{BodyReader, MediaDownload, RejectedCredential, frame, overridden, query, unknown};
use crate::intake::{RestCall, UnknownFields};
use web::layer::body_budget::BufferedBody;

/// The headers of the connection and of the JSON body, which are not copied to the inner call.
const OUTER_HEADERS: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    overridden::OVERRIDE,
];

/// The REST door.
pub(super) struct Transcoder {
    contract: Arc<ApiContract>,
    rules: PathRules,
    grpc: Router,
    body_reader: BodyReader,
}

impl Transcoder {
    /// Creates the door. Its calls go to `grpc`.
    pub(super) fn new(
        contract: Arc<ApiContract>,
        grpc: Router,
        body_reader: BodyReader,
    ) -> Result<Self, ContractError> {
        let rules = PathRules::new(contract.methods())?;
        Ok(Self { contract, rules, grpc, body_reader })
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        match self.call(request).await {
            Ok(response) => response,
            Err(error) => error.into_response(self.contract.pool()),
        }
    }

    async fn call(&self, request: Request) -> Result<Response, GoogleError> {
        let (mut parts, body) = request.into_parts();
        let query_place = overridden::apply(&mut parts)?;
        let route = self.rules.find(&parts.method, parts.uri.path())?;
        let route = route
            .ok_or_else(|| GoogleError::new(Code::NotFound, "there is no method at this path"))?;
        let method = &self.contract.methods()[route.method];
        let mut query = parts.uri.query().unwrap_or_default().to_owned();
        let message = if parts.extensions.get::<RejectedCredential>().is_some() {
            // The gate refuses the call without reading the message.
            DynamicMessage::new(method.input.clone())
        } else {
            let mut document = None;
            if query_place == overridden::OverriddenQuery::InBody {
                let form = self.body_reader.take(&parts.extensions, body).await?;
                query = overridden::join_queries(&query, &form.bytes)?;
            } else if !route.body.is_empty() {
                document = Some(self.body_reader.take(&parts.extensions, body).await?);
            }
            let length = document.as_ref().map_or(0, |document| document.bytes.len());
            let (input, query) = (method.input.clone(), query.clone());
            let parse = move || build_message(&input, route, &query, document);
            let (message, unknown_check) = self.body_reader.parsing.run(length, parse).await??;
            // The gate answers this error only to a caller that may make the call.
            if let Err(error) = unknown_check {
                parts.extensions.insert(UnknownFields(error));
            }
            message
        };
        let (enums, wants_media) = (query::enum_format(&query), query::wants_media(&query));
        let headers = if wants_media { parts.headers.clone() } else { HeaderMap::new() };
        let (reply, media) = self.send(method, parts, frame::wrap(&message)).await?;
        if let Some(media) = media.filter(|_| wants_media) {
            return media.answer(&headers, self.contract.pool()).await;
        }
        let reply = json::write(&reply, enums).map_err(|error| unusable_reply(method, &error))?;
        Ok(axum::Json(reply).into_response())
    }

    /// Makes the call. Returns its reply, and the content that the method may have added.
    async fn send(
        &self,
        method: &MethodInfo,
        outer: Parts,
        frame: bytes::Bytes,
    ) -> Result<(DynamicMessage, Option<MediaDownload>), GoogleError> {
        let mut call = Request::new(Body::from(frame));
        *call.method_mut() = Method::POST;
        *call.version_mut() = Version::HTTP_2;
        *call.uri_mut() = Uri::try_from(&method.path).expect("names of methods are plain");
        *call.headers_mut() = inner_headers(outer.headers);
        *call.extensions_mut() = outer.extensions;
        call.extensions_mut().insert(RestCall);
        let Ok(mut answer) = self.grpc.clone().oneshot(call).await;
        let media = answer.extensions_mut().remove::<MediaDownload>();
        // A call that failed at once has its status in the headers, any other call in the trailers.
        check_status(answer.headers())?;
        let body =
            answer.into_body().collect().await.map_err(|error| unusable_reply(method, &error))?;
        if let Some(trailers) = body.trailers() {
            check_status(trailers)?;
        }
        let reply =
            frame::unwrap(&body.to_bytes()).map_err(|error| unusable_reply(method, &error))?;
        let reply = DynamicMessage::decode(method.output.clone(), reply);
        Ok((reply.map_err(|error| unusable_reply(method, &error))?, media))
    }
}

/// Returns the JSON object in a body; an empty body is an empty object.
fn parse_object(body: &[u8]) -> Result<Map<String, serde_json::Value>, GoogleError> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let invalid = |problem: String| GoogleError::new(Code::InvalidArgument, problem);
    match parse_strict(body) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(invalid("the request's body is not a JSON object".to_owned())),
        Err(error) => {
            Err(invalid(format!("the request's body cannot be read: {}", describe_error(&error))))
        }
    }
}

/// Returns the request's message, and an error if the body has unknown fields. Values from the path replace those from
/// the body, so they are set last.
fn build_message(
    input: &MessageDescriptor,
    route: MatchedRoute,
    query: &str,
    document: Option<BufferedBody>,
) -> Result<(DynamicMessage, Result<(), GoogleError>), GoogleError> {
    let body = document.map_or_else(|| Ok(Map::new()), |document| parse_object(&document.bytes))?;
    let mut fields = match &*route.body {
        "" | "*" => body,
        // Without a body, the field is absent.
        _ if body.is_empty() => Map::new(),
        name => {
            let field = input.get_field_by_name(name).expect("checked when the rules were read");
            Map::from_iter([(field.json_name().to_owned(), body.into())])
        }
    };
    // Only the body is checked: unknown names in the query are parameters of the call, or for other programs.
    let unknown_check = unknown::check(input, &fields);
    let named = |error: FieldError| GoogleError::bad_field(&error.field, error.problem);
    query::fill(input, query, &mut fields).map_err(named)?;
    let mut message = json::read(input, fields).map_err(named)?;
    for (path, value) in route.variables {
        set(&mut message, &path, value);
    }
    Ok((message, unknown_check))
}

fn set(message: &mut DynamicMessage, path: &str, value: String) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(value)),
        Some((first, rest)) => {
            let inner = message.get_field_by_name_mut(first).and_then(Value::as_message_mut);
            set(inner.expect("checked when the rules were read"), rest, value);
        }
    }
}

/// Returns the headers of the inner call.
fn inner_headers(outer: HeaderMap) -> HeaderMap {
    // The `Connection` header names further headers of the connection.
    let connection: Vec<HeaderName> = outer
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let stays_outside = |name: &HeaderName| {
        OUTER_HEADERS.contains(&name.as_str())
            || name.as_str().starts_with("grpc-")
            || connection.contains(name)
    };
    let mut inner = outer;
    let names: Vec<HeaderName> = inner.keys().filter(|name| stays_outside(name)).cloned().collect();
    for name in names {
        inner.remove(name);
    }
    inner.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    inner.insert(TE, HeaderValue::from_static("trailers"));
    inner
}

/// Returns the error that headers or trailers contain, if there is one.
fn check_status(headers: &HeaderMap) -> Result<(), GoogleError> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status.into()),
        Some(_) | None => Ok(()),
    }
}

/// Logs a reply that cannot be used, which must not happen, and returns an error that has no details.
fn unusable_reply(method: &MethodInfo, error: &dyn std::fmt::Display) -> GoogleError {
    tracing::error!(rpc.method = method.name, %error, "the reply of {} is not usable: {error}", method.name);
    GoogleError::new(Code::Internal, "internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_and_of_grpc_stay_outside() {
        let outer = [
            ("authorization", "Bearer t"),
            ("user-agent", "gcloud"),
            ("grpc-encoding", "gzip"),
            ("grpc-timeout", "1n"),
            ("content-encoding", "gzip"),
            ("content-length", "5"),
            ("content-type", "application/json"),
            ("accept-encoding", "gzip"),
            ("transfer-encoding", "chunked"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
        ];
        let outer = outer
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let inner = inner_headers(HeaderMap::from_iter(outer));
        let mut names: Vec<_> = inner.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "content-type", "te", "user-agent"]);
        assert_eq!(inner[CONTENT_TYPE], "application/grpc");
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        assert!(parse_object(b"").expect("nothing").is_empty());
        assert!(parse_object(b" \r\n").expect("nothing").is_empty());
        assert_eq!(parse_object(b"{\"a\":1}").expect("an object").len(), 1);
        for body in ["null", "[]", "1", "\"x\"", "{", "{}x", "\u{feff}{}"] {
            assert_eq!(
                parse_object(body.as_bytes()).expect_err(body).code(),
                Code::InvalidArgument
            );
        }
    }
}
