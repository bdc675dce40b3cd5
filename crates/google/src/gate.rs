//! The gate: the layer that every call of both doors passes before its method runs.
//!
//! The contract says which permission a method asks for, and which field of the request names the resource. The gate
//! hands both to the [`Authorizer`]. It does not know the caller, nor what a permission is. A call whose path is not in
//! the contract is refused.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};

use super::contract::{AccessRule, ApiContract, MethodInfo, text_at};
use super::error::GoogleError;
use super::{BodyReader, RejectedCredential, frame};
use crate::intake::UnknownFields;
use web::audit::{AuditCode, AuditRecorder, AuditedOperation};

/// The access that a call asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredAccess {
    /// The method's full name: `google.longrunning.Operations.GetOperation`.
    pub method: String,
    /// The permission; `None` is for methods that every authenticated caller may use.
    pub permission: Option<String>,
    /// The name of the resource of the permission; empty for the organization.
    pub resource: String,
}

/// The decision whether a call may go on.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Checks that the caller, who is in the extensions, has the access. May add values to the extensions that methods
    /// need.
    async fn admit(
        &self,
        extensions: &mut http::Extensions,
        access: &RequiredAccess,
    ) -> Result<(), GoogleError>;
}

/// The parts that the gate works with.
#[derive(Clone)]
pub(super) struct AuthorizationLayer {
    contract: Arc<ApiContract>,
    authorizer: Arc<dyn Authorizer>,
    body_reader: BodyReader,
}

impl AuthorizationLayer {
    pub(super) fn new(
        contract: Arc<ApiContract>,
        authorizer: Arc<dyn Authorizer>,
        body_reader: BodyReader,
    ) -> Self {
        Self { contract, authorizer, body_reader }
    }

    async fn admit(&self, request: Request) -> Result<Request, GoogleError> {
        let (mut parts, body) = request.into_parts();
        let method = self
            .contract
            .method_at(parts.uri.path())
            .ok_or_else(|| GoogleError::new(Code::Unimplemented, "there is no such method"))?;
        if let Some(trail) = parts.extensions.get::<AuditRecorder>() {
            trail.note_operation(AuditedOperation::rpc(&method.name, method.access.permission()));
        }
        if let Some(RejectedCredential(error)) = parts.extensions.get() {
            return Err(error.clone());
        }
        let frame = self.body_reader.take(&parts.extensions, body).await?.bytes;
        let message = frame::unwrap(&frame).map_err(|error| match error {
            frame::FrameError::Compressed => {
                GoogleError::new(Code::Unimplemented, error.to_string())
            }
            frame::FrameError::NotOne => GoogleError::new(Code::InvalidArgument, error.to_string()),
        })?;
        let access = required_access(method, message)?;
        self.authorizer.admit(&mut parts.extensions, &access).await?;
        if let Some(UnknownFields(error)) = parts.extensions.get() {
            return Err(error.clone());
        }
        Ok(Request::from_parts(parts, Body::from(frame)))
    }
}

pub(super) async fn authorize(
    State(layer): State<AuthorizationLayer>,
    request: Request,
    next: Next,
) -> Response {
    let trail = request.extensions().get::<AuditRecorder>().cloned().unwrap_or_default();
    let response = match layer.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(error) => Status::from(error).into_http(),
    };
    if trail.is_kept() {
        // A call that failed has its status in the headers.
        let status = Status::from_header_map(response.headers());
        match &status {
            None => trail.note_outcome(AuditCode::Ok, ""),
            Some(status) => trail.note_outcome(audit_code(status.code()), status.message()),
        }
    }
    response
}

fn audit_code(code: Code) -> AuditCode {
    match code {
        Code::Ok => AuditCode::Ok,
        Code::Cancelled => AuditCode::Cancelled,
        Code::Unknown => AuditCode::Unknown,
        Code::InvalidArgument => AuditCode::InvalidArgument,
        Code::DeadlineExceeded => AuditCode::DeadlineExceeded,
        Code::NotFound => AuditCode::NotFound,
        Code::AlreadyExists => AuditCode::AlreadyExists,
        Code::PermissionDenied => AuditCode::PermissionDenied,
        Code::ResourceExhausted => AuditCode::ResourceExhausted,
        Code::FailedPrecondition => AuditCode::FailedPrecondition,
        Code::Aborted => AuditCode::Aborted,
        Code::OutOfRange => AuditCode::OutOfRange,
        Code::Unimplemented => AuditCode::Unimplemented,
        Code::Internal => AuditCode::Internal,
        Code::Unavailable => AuditCode::Unavailable,
        Code::DataLoss => AuditCode::DataLoss,
        Code::Unauthenticated => AuditCode::Unauthenticated,
    }
}

/// Returns the access that this call of the method asks for.
fn required_access(
    method: &MethodInfo,
    message: bytes::Bytes,
) -> Result<RequiredAccess, GoogleError> {
    let (permission, resource) = match &method.access {
        AccessRule::Open { .. } => (None, String::new()),
        AccessRule::Permission { permission, resource: None } => {
            (Some(permission.clone()), String::new())
        }
        AccessRule::Permission { permission, resource: Some(field) } => {
            let message = DynamicMessage::decode(method.input.clone(), message).map_err(|_| {
                GoogleError::new(Code::InvalidArgument, "the message is not of the method's type")
            })?;
            let resource = text_at(&message, field);
            if !method.is_about(&resource) {
                // An empty name is refused, because an empty `resource` means the organization.
                let problem = match resource.as_str() {
                    "" => "has to name a resource",
                    _ => "names no resource of the kind that the method is about",
                };
                return Err(GoogleError::bad_field(field, problem));
            }
            (Some(permission.clone()), resource)
        }
    };
    Ok(RequiredAccess { method: method.name.clone(), permission, resource })
}
