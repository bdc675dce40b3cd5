//! Operations by their names in Google's audit logs, and the rule when each is recorded.

use std::borrow::Cow;

use model::permission::Permission;
use model::permissions::artifactregistry;

/// The service for pushes, pulls and repositories.
const ARTIFACT_REGISTRY: &str = "artifactregistry.googleapis.com";
/// The service that exchanges assertions for tokens.
const OAUTH: &str = "oauth2.googleapis.com";

/// The kind of an operation, in the words of Google's audit configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionType {
    /// Reads metadata or settings.
    AdminRead,
    /// Changes metadata, settings or permissions.
    AdminWrite,
    /// Reads content, or creates a credential.
    DataRead,
    /// Changes content.
    DataWrite,
}

impl PermissionType {
    /// Returns the value of `permissionType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminRead => "ADMIN_READ",
            Self::AdminWrite => "ADMIN_WRITE",
            Self::DataRead => "DATA_READ",
            Self::DataWrite => "DATA_WRITE",
        }
    }

    /// Returns the kind of one permission that an operation of this kind asks for. An operation that writes may also
    /// ask for a permission to read: to mount a blob, its source must be readable.
    pub(super) fn of(self, permission: Permission) -> Self {
        if permission == artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS {
            Self::DataRead
        } else {
            self
        }
    }
}

/// The rule when an operation is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWhen {
    /// Always, however it ends.
    Always,
    /// If the settings have reads recorded.
    WithReads,
    /// If the caller was refused: the credential, or a permission.
    Refused,
}

impl LogWhen {
    /// Returns whether an operation with this rule may become an entry, with the setting for reads.
    pub(super) fn may_be_recorded(self, reads: bool) -> bool {
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
    /// Creates a write by the registry's protocol, such as `Docker-PutManifest`.
    pub const fn write(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataWrite, LogWhen::Always)
    }

    /// Creates a part of a write. Another request of the same write has the entry, unless this one is refused.
    pub const fn part(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataWrite, LogWhen::Refused)
    }

    /// Creates a read by the registry's protocol, such as `Docker-GetManifest`.
    pub const fn read(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataRead, LogWhen::WithReads)
    }

    /// Creates an operation that touches no content, such as `Docker-Ping`. It is recorded if the caller is refused.
    pub const fn door(method: &'static str) -> Self {
        Self::docker(method, PermissionType::DataRead, LogWhen::Refused)
    }

    /// Creates the operation of an entry that stands for entries that were left out.
    pub(super) const fn left_out() -> Self {
        Self::docker("EntriesLeftOut", PermissionType::DataWrite, LogWhen::Always)
    }

    /// Creates an operation of an OAuth token endpoint.
    pub const fn oauth(method: &'static str, when: LogWhen) -> Self {
        Self { service: OAUTH, method: Cow::Borrowed(method), kind: PermissionType::DataRead, when }
    }

    const fn docker(method: &'static str, kind: PermissionType, when: LogWhen) -> Self {
        Self { service: ARTIFACT_REGISTRY, method: Cow::Borrowed(method), kind, when }
    }

    /// Creates the operation of a method of Google's APIs, by its full name.
    ///
    /// A method whose name does not say that it reads is a write, because an entry too many is better than one too few.
    /// Returns `None` for methods that Google does not record either.
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
            "google.cloud.secretmanager.v1" => "secretmanager.googleapis.com",
            _ => ARTIFACT_REGISTRY,
        };
        let begins_with = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if begins_with(&["TestIamPermissions"]) {
            return None;
        }
        let is_read = begins_with(&["Get", "List", "Query", "Download", "Explain"]);
        let (kind, when) = match (is_data(permission), is_read) {
            // These methods create a credential of another account. Google calls that a read, but it is the first thing
            // to look at when somebody searches for misuse.
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

/// Returns whether a permission is about the content of repositories, and not about repositories themselves.
fn is_data(permission: Option<&str>) -> bool {
    const CONTENT: [&str; 6] =
        ["attachments", "dockerimages", "files", "packages", "tags", "versions"];
    let mut parts = permission.unwrap_or_default().split('.');
    parts.next() == Some("artifactregistry")
        && parts.next().is_some_and(|kind| CONTENT.contains(&kind))
}
