//! An entry as a line: a `LogEntry` with an `AuditLog` in it, as Cloud Logging exports them.

use std::io;

use super::code::AuditCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use serde_json::{Value, json};

use super::recorder::AuditRecord;
use super::{AuditedOperation, PermissionType};

/// The type URL by which Google's tools recognise the message.
const AUDIT_LOG: &str = "type.googleapis.com/google.cloud.audit.AuditLog";

/// Appends the entry and a line feed, or nothing if no operation was noted.
pub(super) fn write(out: &mut Vec<u8>, record: &AuditRecord, insert_id: &str) -> io::Result<()> {
    let Some(operation) = &record.operation else { return Ok(()) };
    let entry = entry(record, operation, insert_id);
    entry.serialize(&mut Serializer::with_formatter(&mut *out, OneLine))?;
    out.push(b'\n');
    Ok(())
}

fn entry(record: &AuditRecord, operation: &AuditedOperation, insert_id: &str) -> Value {
    let (code, message) = match &record.outcome {
        Some((code, message)) => (*code, message.as_str()),
        None => (AuditCode::Cancelled, "the client did not wait for the answer"),
    };
    let (log, severity) = match (operation.kind, code) {
        (PermissionType::AdminWrite, AuditCode::Ok) => ("activity", "NOTICE"),
        (PermissionType::AdminWrite, _) => ("activity", "ERROR"),
        (_, AuditCode::Ok) => ("data_access", "INFO"),
        (_, _) => ("data_access", "ERROR"),
    };
    let project = project(record);
    let parent = project.map_or("organizations/1".to_owned(), |id| format!("projects/{id}"));
    let mut labels = json!({ "service": operation.service, "method": operation.method });
    if let Some(project) = project {
        labels["project_id"] = project.into();
    }
    json!({
        "insertId": insert_id,
        "timestamp": Timestamp::from_microsecond(record.began).unwrap_or_default().to_string(),
        "severity": severity,
        "logName": format!("{parent}/logs/cloudaudit.googleapis.com%2F{log}"),
        "resource": { "type": "audited_resource", "labels": labels },
        "protoPayload": payload(record, operation, code, message),
    })
}

/// Returns the `AuditLog` message. Unknown values are left out, as in proto3's JSON, and an operation that succeeded
/// has an empty status.
fn payload(
    record: &AuditRecord,
    operation: &AuditedOperation,
    code: AuditCode,
    message: &str,
) -> Value {
    let mut authentication = json!({});
    if let Some(email) = &record.email {
        authentication["principalEmail"] = email.as_str().into();
    }
    if let Some(key) = &record.key {
        authentication["serviceAccountKeyName"] = key.as_str().into();
    }
    let checks = record.checks.iter().map(|check| {
        let kind = operation.kind.of(check.permission);
        json!({
            "resource": check.resource,
            "permission": check.permission.as_str(),
            "granted": check.granted,
            "permissionType": kind.as_str(),
        })
    });
    let mut request = json!({ "requestAttributes": { "id": record.request_id } });
    if let Some(ip) = record.caller_ip {
        request["callerIp"] = ip.to_canonical().to_string().into();
    }
    if !record.user_agent.is_empty() {
        request["callerSuppliedUserAgent"] = record.user_agent.as_str().into();
    }
    let status = match code {
        AuditCode::Ok => json!({}),
        code => json!({ "code": code as i32, "message": message }),
    };
    let mut payload = json!({
        "@type": AUDIT_LOG,
        "serviceName": operation.service,
        "methodName": operation.method,
        "resourceName": resource_name(record, operation),
        "authenticationInfo": authentication,
        "authorizationInfo": checks.collect::<Vec<_>>(),
        "requestMetadata": request,
        "status": status,
    });
    if let Some(image) = &record.image {
        let mut metadata = json!({ "image": image.name });
        if !image.tags.is_empty() {
            metadata["tags"] = image.tags.clone().into();
        }
        if let Some(digest) = &image.digest {
            metadata["digest"] = digest.as_str().into();
        }
        payload["metadata"] = metadata;
    }
    if record.left_out > 0 {
        payload["metadata"] = json!({ "entriesLeftOut": record.left_out });
    }
    payload
}

/// Returns the `resourceName`: the image for operations on manifests and tags, otherwise the repository or the other
/// resource. Google names them so.
fn resource_name(record: &AuditRecord, operation: &AuditedOperation) -> String {
    let name = &record.resource;
    let is_manifest = operation.method.ends_with("Manifest") || operation.method.ends_with("Tag");
    match &record.image {
        Some(image) if is_manifest => {
            let tag = image.tags.first();
            let reference = match (&image.digest, tag) {
                (Some(digest), _) => format!("@{digest}"),
                (None, Some(tag)) => format!(":{tag}"),
                (None, None) => String::new(),
            };
            format!("{name}/dockerImages/{}{reference}", image.name)
        }
        Some(_) | None => name.clone(),
    }
}

/// Returns the project that an entry belongs to. A request may name an account without its project (`projects/-/…`), so
/// that the resource of a permission check goes first.
fn project(record: &AuditRecord) -> Option<&str> {
    let checked = record.checks.first().map(|check| check.resource.as_str());
    let names = checked.into_iter().chain([record.resource.as_str()]);
    names
        .filter_map(|name| name.strip_prefix("projects/")?.split('/').next())
        .find(|id| !id.is_empty() && *id != "-")
}

/// Writes JSON without characters that could end a line or control a terminal: clients can put those into names.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_unsafe = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        for piece in fragment.split_inclusive(is_unsafe) {
            match piece.chars().next_back().filter(|last| is_unsafe(*last)) {
                None => out.write_all(piece.as_bytes())?,
                Some(last) => {
                    out.write_all(&piece.as_bytes()[..piece.len() - last.len_utf8()])?;
                    // All of them fit into four hexadecimal digits.
                    write!(out, "\\u{:04x}", u32::from(last))?;
                }
            }
        }
        Ok(())
    }
}
