//! The facts of one request, which the code that serves the request notes for the audit log.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::code::AuditCode;
use engine::{CLEANUP_PRINCIPAL, CleanedVersion, EngineError, ImageTarget};
use http::StatusCode;
use identity::{Caller, IdentityError};
use model::name::RepositoryName;
use model::permission::Permission;
use model::principal::Principal;

use super::{AuditedOperation, LogWhen};

/// The longest text in bytes that an entry takes from a client.
const MAX_TEXT_BYTES: usize = 1024;
/// The most characters that an entry takes of `User-Agent`.
const MAX_AGENT_CHARACTERS: usize = 256;

/// Notes the facts of one request. Cheap to clone; every clone notes for the same entry. If the request is not
/// recorded, the methods do nothing.
#[derive(Clone, Default)]
pub struct AuditRecorder(Option<Arc<Mutex<Option<Box<AuditRecord>>>>>);

/// The facts that make an entry.
#[derive(Debug, Default)]
pub(super) struct AuditRecord {
    /// The time of the request, in microseconds since 1970.
    pub(super) began: i64,
    pub(super) operation: Option<AuditedOperation>,
    pub(super) caller_ip: Option<IpAddr>,
    pub(super) user_agent: String,
    pub(super) request_id: String,
    /// The e-mail address of the caller's account; `None` for a caller that is anonymous or was not recognised.
    pub(super) email: Option<String>,
    /// The full name of the key that the caller was recognised by.
    pub(super) key: Option<String>,
    pub(super) resource: String,
    pub(super) image: Option<AuditedImage>,
    pub(super) checks: Vec<CheckedPermission>,
    /// Set if a credential was sent and not accepted.
    pub(super) refused: bool,
    pub(super) outcome: Option<(AuditCode, String)>,
    /// The number of left out entries that this entry stands for.
    pub(super) left_out: u64,
}

/// A change that no request made: the operator made it by the server's socket, or the settings made it.
#[derive(Debug, Clone, Copy)]
pub struct UnrequestedChange<'a> {
    /// The principal that made the change.
    pub principal: &'static str,
    /// The full name of the method that does the same.
    pub method: &'a str,
    /// The name of the resource.
    pub resource: &'a str,
}

/// A permission that was checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CheckedPermission {
    pub(super) permission: Permission,
    pub(super) resource: String,
    pub(super) granted: bool,
}

/// The image, tags and digest within the repository.
#[derive(Debug)]
pub(super) struct AuditedImage {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) digest: Option<String>,
}

impl AuditRecord {
    /// Creates an empty record; `began` is the time of the request in microseconds since 1970.
    pub(super) fn new(began: i64) -> Self {
        Self { began, ..Self::default() }
    }

    /// Creates the entry that reports how many entries were left out.
    pub(super) fn left_out(now: i64, count: u64) -> Self {
        let text = format!("{count} entries of refused requests without an account were left out");
        Self {
            operation: Some(AuditedOperation::left_out()),
            resource: "organizations/1".to_owned(),
            outcome: Some((AuditCode::ResourceExhausted, text)),
            left_out: count,
            ..Self::new(now)
        }
    }

    /// Creates the entry about a version that a cleanup policy has deleted.
    pub(super) fn cleanup(now: i64, repository: &RepositoryName, version: &CleanedVersion) -> Self {
        let image = AuditedImage {
            name: version.package.clone(),
            tags: version.tags.clone(),
            digest: Some(version.digest.to_string()),
        };
        Self {
            operation: Some(AuditedOperation::write("Cleanup-DeleteManifest")),
            email: Some(CLEANUP_PRINCIPAL.to_owned()),
            resource: repository.to_string(),
            image: Some(image),
            outcome: Some((AuditCode::Ok, String::new())),
            ..Self::new(now)
        }
    }

    /// Creates the entry about a change that no request made.
    pub(super) fn unrequested(now: i64, change: UnrequestedChange<'_>) -> Self {
        let UnrequestedChange { principal, method, resource } = change;
        Self {
            operation: AuditedOperation::rpc(method, None),
            email: Some(principal.to_owned()),
            resource: resource.to_owned(),
            ..Self::new(now)
        }
    }

    pub(super) fn set_user_agent(&mut self, agent: &[u8]) {
        self.user_agent =
            String::from_utf8_lossy(agent).chars().take(MAX_AGENT_CHARACTERS).collect();
    }

    /// Returns whether the caller has no account and was allowed nothing. Anybody can cause such entries, as often as
    /// they like.
    pub(super) fn needs_no_account(&self) -> bool {
        let succeeded = matches!(self.outcome, Some((AuditCode::Ok, _)));
        self.email.is_none() && !succeeded && self.checks.iter().all(|check| !check.granted)
    }

    /// Returns whether the record becomes an entry. A record without an operation does not.
    pub(super) fn is_wanted(&self, reads: bool) -> bool {
        match self.operation.as_ref().map(|operation| operation.when) {
            None => false,
            Some(LogWhen::Refused) => {
                self.refused || self.checks.iter().any(|check| !check.granted)
            }
            Some(when) => when.may_be_recorded(reads),
        }
    }
}

impl AuditRecorder {
    pub(super) fn new(record: AuditRecord) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(Box::new(record))))))
    }

    /// Takes the record. Facts that are noted later are lost, so that a request has one entry.
    pub(super) fn close(&self) -> Option<Box<AuditRecord>> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns whether the request is recorded.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    fn note(&self, change: impl FnOnce(&mut AuditRecord)) {
        let Some(record) = &self.0 else { return };
        if let Some(record) = record.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(record);
        }
    }

    /// Notes the operation; `None` is one that is not recorded.
    pub fn note_operation(&self, operation: Option<AuditedOperation>) {
        self.note(|record| record.operation = operation);
    }

    /// Notes the caller, with the key that authenticated it.
    pub fn note_caller(&self, caller: &Caller) {
        self.note(|record| {
            record.email = caller.principal.email().map(str::to_owned);
            record.key = match (&caller.principal, caller.authenticated_by.key()) {
                (Principal::ServiceAccount(email), Some(key)) => {
                    let project = email.project();
                    let account = format!("projects/{project}/serviceAccounts/{email}");
                    Some(format!("//iam.googleapis.com/{account}/keys/{key}"))
                }
                _ => None,
            };
        });
    }

    /// Notes the caller, where its key is not known.
    pub fn note_principal(&self, principal: &Principal) {
        self.note(|record| record.email = principal.email().map(str::to_owned));
    }

    /// Notes why a credential is refused. The credential itself is never noted.
    pub fn note_refusal(&self, error: &IdentityError) {
        self.note(|record| {
            if let IdentityError::Credential(error) = error {
                record.refused = true;
                record.outcome = Some((AuditCode::Unauthenticated, error.to_string()));
            }
        });
    }

    /// Notes the resource of the operation.
    pub fn note_resource(&self, name: &dyn Display) {
        self.note(|record| record.resource = cut(&name.to_string()));
    }

    /// Notes the image of the operation, and its repository as the resource.
    pub fn note_image(&self, target: &ImageTarget) {
        self.note(|record| {
            record.resource = target.repository().to_string();
            let name = target.path.image.to_string();
            record.image = Some(AuditedImage { name, tags: Vec::new(), digest: None });
        });
    }

    /// Notes a tag of the image.
    pub fn note_tag(&self, tag: &dyn Display) {
        self.note(|record| {
            if let Some(image) = &mut record.image {
                image.tags.push(tag.to_string());
            }
        });
    }

    /// Notes a digest of the image.
    pub fn note_digest(&self, digest: &dyn Display) {
        self.note(|record| {
            if let Some(image) = &mut record.image {
                image.digest = Some(digest.to_string());
            }
        });
    }

    /// Notes whether a permission on a resource was granted. Notes nothing if the outcome is an error that does not
    /// tell.
    pub fn note_check<T>(
        &self,
        permission: Permission,
        resource: &dyn Display,
        outcome: &Result<T, EngineError>,
    ) {
        self.note(|record| {
            let resource = resource.to_string();
            let check = match outcome.as_ref().err() {
                // The error names the permission that was missing, which may be one of a delegate.
                Some(EngineError::Denied { permission, resource, .. }) => CheckedPermission {
                    permission: *permission,
                    resource: resource.clone(),
                    granted: false,
                },
                Some(EngineError::InsufficientScope) => {
                    CheckedPermission { permission, resource, granted: false }
                }
                Some(error) if !is_told_after_check(error) => return,
                Some(_) | None => CheckedPermission { permission, resource, granted: true },
            };
            if !record.checks.contains(&check) {
                record.checks.push(check);
            }
        });
    }

    /// Notes that the request failed with an HTTP status.
    pub fn note_failure(&self, status: StatusCode, message: &str) {
        self.note_outcome(code(status), message);
    }

    /// Notes how the request ended. The first call counts: the place that finds the outcome first knows it best.
    pub fn note_outcome(&self, code: AuditCode, message: &str) {
        self.note(|record| {
            record.outcome.get_or_insert_with(|| (code, cut(message)));
        });
    }
}

/// Returns Google's code for the HTTP status of an error.
fn code(status: StatusCode) -> AuditCode {
    match status.as_u16() {
        401 => AuditCode::Unauthenticated,
        403 => AuditCode::PermissionDenied,
        404 => AuditCode::NotFound,
        408 => AuditCode::DeadlineExceeded,
        409 => AuditCode::Aborted,
        412 => AuditCode::FailedPrecondition,
        416 => AuditCode::OutOfRange,
        429 | 507 => AuditCode::ResourceExhausted,
        405 | 501 => AuditCode::Unimplemented,
        502 | 503 => AuditCode::Unavailable,
        400..=499 => AuditCode::InvalidArgument,
        _ => AuditCode::Internal,
    }
}

/// Returns whether an error is told only to callers that have the permission. Other errors may have come before the
/// check, so that they tell nothing about the permission.
fn is_told_after_check(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::RepositoryUnknown(_)
            | EngineError::ProjectUnknown(_)
            | EngineError::ResourceUnknown(_)
            | EngineError::Precondition(_)
            | EngineError::Upstream(_)
            | EngineError::ReadOnlyRepository { .. }
            | EngineError::UpstreamFailed { .. }
    )
}

/// Displays the name of an image's repository. The name is not built before it is displayed.
pub struct RepositoryOf<'a>(pub &'a ImageTarget);

impl Display for RepositoryOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.repository().fmt(f)
    }
}

/// Returns the start of a text, as much as an entry takes.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}
