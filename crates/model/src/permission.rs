//! Permissions, which have the names of Google's IAM.

use std::fmt;

/// A permission. Every permission belongs to at least one predefined role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(&'static str);

/// A text that is not the name of a permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a permission that this registry knows")]
pub struct UnknownPermission(pub String);

impl Permission {
    /// The permission to read manifests, blobs, tags and referrers.
    pub const DOWNLOAD_ARTIFACTS: Self = Self("artifactregistry.repositories.downloadArtifacts");
    /// The permission to start, fill and finish uploads, and to write manifests and tags.
    pub const UPLOAD_ARTIFACTS: Self = Self("artifactregistry.repositories.uploadArtifacts");
    /// The permission to delete manifests, tags and blobs.
    pub const DELETE_ARTIFACTS: Self = Self("artifactregistry.repositories.deleteArtifacts");
    /// The permission to create a repository by a push to it.
    pub const CREATE_ON_PUSH: Self = Self("artifactregistry.repositories.createOnPush");
    /// The permission to read a repository's description and settings.
    pub const GET_REPOSITORY: Self = Self("artifactregistry.repositories.get");
    /// The permission to read a project's description.
    pub const GET_PROJECT: Self = Self("resourcemanager.projects.get");
    /// The permission to create tokens for a service account.
    pub const GET_ACCESS_TOKEN: Self = Self("iam.serviceAccounts.getAccessToken");
    /// The permission to be a delegate in a chain of service accounts that creates tokens for another one.
    pub const IMPLICIT_DELEGATION: Self = Self("iam.serviceAccounts.implicitDelegation");

    /// Creates a permission. Only the module `role` calls this, with the names in its data.
    pub(crate) const fn from_data(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns the first part of the name: `iam` for `iam.roles.get`.
    pub(crate) fn service(self) -> &'static str {
        self.0.split_once('.').map_or(self.0, |(service, _)| service)
    }

    /// Returns the last part of the name: `get` for `iam.roles.get`.
    pub(crate) fn verb(self) -> &'static str {
        self.0.rsplit_once('.').map_or("", |(_, verb)| verb)
    }

    /// Returns the permission's name in policies, roles and error texts.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
