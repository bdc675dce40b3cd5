//! What a caller may do, by the names of Google's IAM.

use std::fmt;

/// A permission that some predefined role holds. No other exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(&'static str);

/// A text that names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no permission that this registry knows")]
pub struct UnknownPermission(pub String);

impl Permission {
    /// Read manifests, blobs, tags and referrers.
    pub const DOWNLOAD_ARTIFACTS: Self = Self("artifactregistry.repositories.downloadArtifacts");
    /// Start, fill and finish uploads; write manifests and tags.
    pub const UPLOAD_ARTIFACTS: Self = Self("artifactregistry.repositories.uploadArtifacts");
    /// Delete manifests, tags and blobs.
    pub const DELETE_ARTIFACTS: Self = Self("artifactregistry.repositories.deleteArtifacts");
    /// Create the repository by pushing to it.
    pub const CREATE_ON_PUSH: Self = Self("artifactregistry.repositories.createOnPush");
    /// Read what a repository is and how it is set.
    pub const GET_REPOSITORY: Self = Self("artifactregistry.repositories.get");
    /// Read what a project is.
    pub const GET_PROJECT: Self = Self("resourcemanager.projects.get");
    /// Make tokens for a service account.
    pub const GET_ACCESS_TOKEN: Self = Self("iam.serviceAccounts.getAccessToken");
    /// Let another one make tokens for a service account.
    pub const IMPLICIT_DELEGATION: Self = Self("iam.serviceAccounts.implicitDelegation");

    /// Only `role` makes permissions, from its data.
    pub(crate) const fn from_data(name: &'static str) -> Self {
        Self(name)
    }

    /// `iam` and `get` of `iam.roles.get`.
    pub fn service_and_verb(self) -> (&'static str, &'static str) {
        let (service, rest) = self.0.split_once('.').unwrap_or((self.0, ""));
        (service, rest.rsplit('.').next().unwrap_or_default())
    }

    /// The permission's name in policies, roles and error texts.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
