//! What is done, by the names of Google's audit logs, and whether it is written down.

use std::borrow::Cow;

use model::permission::Permission;
use model::permissions::artifactregistry;

/// The service that content is pushed to and pulled from.
const ARTIFACT_REGISTRY: &str = "artifactregistry.googleapis.com";
/// Where assertions are exchanged for tokens.
const OAUTH: &str = "oauth2.googleapis.com";

/// What an operation does, in the words of Google's audit configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionType {
    /// Reads what something is and how it is set.
    AdminRead,
    /// Changes what something is, how it is set, or who may do what.
    AdminWrite,
    /// Reads content, or makes a credential.
    DataRead,
    /// Changes content.
    DataWrite,
}

impl PermissionType {
    /// As `permissionType` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminRead => "ADMIN_READ",
            Self::AdminWrite => "ADMIN_WRITE",
            Self::DataRead => "DATA_READ",
            Self::DataWrite => "DATA_WRITE",
        }
    }

    /// The kind of one of the permissions that an operation of this kind asks for: to mount a blob, its source is
    /// read.
    pub(super) fn of(self, permission: Permission) -> Self {
        if permission == artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS {
            Self::DataRead
        } else {
            self
        }
    }
}

/// When an operation is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWhen {
    /// Whatever becomes of it.
    Always,
    /// Where reads are.
    WithReads,
    /// If the caller was refused.
    Refused,
}

impl LogWhen {
    /// Whether there may be something to write.
    pub(super) fn may_be(self, reads: bool) -> bool {
        self != Self::WithReads || reads
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedOperation {
    /// The service, as `artifactregistry.googleapis.com`.
    pub service: &'static str,
    /// The method, as the log names it.
    pub method: Cow<'static, str>,
    /// The type of the permission.
    pub kind: PermissionType,
    /// When an entry is written.
    pub when: LogWhen,
}

impl AuditedOperation {
    /// A write to a registry: `Docker-PutManifest`.
    pub const fn write(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataWrite, LogWhen::Always)
    }

    /// A part of a write that has its entry elsewhere.
    pub const fn part(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataWrite, LogWhen::Refused)
    }

    /// A read of a registry: `Docker-GetManifest`.
    pub const fn read(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataRead, LogWhen::WithReads)
    }

    /// A registry's door, where only refused credentials are of interest.
    pub const fn door(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataRead, LogWhen::Refused)
    }

    /// What stands for entries that were left out.
    pub(super) const fn left_out() -> Self {
        Self::docker("EntriesLeftOut", PermissionType::DataWrite, LogWhen::Always)
    }

    /// A token endpoint of OAuth.
    pub const fn oauth(method: &'static str, when: LogWhen) -> Self {
        Self { service: OAUTH, method: Cow::Borrowed(method), kind: PermissionType::DataRead, when }
    }

    const fn docker(method: &'static str, kind: PermissionType, when: LogWhen) -> Self {
        Self { service: ARTIFACT_REGISTRY, method: Cow::Borrowed(method), kind, when }
    }

    /// A method of Google's APIs, by its full name. A name that says nothing is a write: better an entry too many.
    /// `None` is what Google does not log either.
    pub fn rpc(method: &str, permission: Option<&str>) -> Option<Self> {
        let (rest, name) = method.rsplit_once('.')?;
        let (package, _) = rest.rsplit_once('.')?;
        let service = match package {
            "google.longrunning" | "google.cloud.location" => return None,
            "google.devtools.containeranalysis.v1" | "grafeas.v1" => {
                "containeranalysis.googleapis.com"
            }
            "google.iam.admin.v1" => "iam.googleapis.com",
            "google.iam.credentials.v1" => "iamcredentials.googleapis.com",
            "google.cloud.resourcemanager.v1" => "cloudresourcemanager.googleapis.com",
            "google.api.serviceusage.v1" => "serviceusage.googleapis.com",
            _ => ARTIFACT_REGISTRY,
        };
        let begins_with = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if begins_with(&["TestIamPermissions"]) {
            return None;
        }
        let is_read = begins_with(&["Get", "List", "Query", "Download"]);
        let (kind, when) = match (is_data(permission), is_read) {
            // A credential of somebody else's: to Google a read, to whoever looks for misuse the first thing to see.
            _ if package == "google.iam.credentials.v1" => {
                (PermissionType::DataRead, LogWhen::Always)
            }
            (true, true) => (PermissionType::DataRead, LogWhen::WithReads),
            (true, false) => (PermissionType::DataWrite, LogWhen::Always),
            (false, true) => (PermissionType::AdminRead, LogWhen::WithReads),
            (false, false) => (PermissionType::AdminWrite, LogWhen::Always),
        };
        Some(Self { service, method: Cow::Owned(method.to_owned()), kind, when })
    }
}

/// Whether a permission is about what is in repositories, not about them.
fn is_data(permission: Option<&str>) -> bool {
    const CONTENT: [&str; 6] =
        ["attachments", "dockerimages", "files", "packages", "tags", "versions"];
    let mut parts = permission.unwrap_or_default().split('.');
    parts.next() == Some("artifactregistry")
        && parts.next().is_some_and(|kind| CONTENT.contains(&kind))
}
