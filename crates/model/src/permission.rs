//! What a caller may do, by the names of Google's IAM.

use std::fmt;

use crate::role;

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

impl std::str::FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let all = role::all_permissions();
        match all.binary_search_by(|known| known.as_str().cmp(text)) {
            Ok(position) => Ok(all[position]),
            Err(_) => Err(UnknownPermission(text.to_owned())),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_the_roles() {
        for known in [
            Permission::DOWNLOAD_ARTIFACTS,
            Permission::UPLOAD_ARTIFACTS,
            Permission::DELETE_ARTIFACTS,
            Permission::CREATE_ON_PUSH,
            Permission::GET_REPOSITORY,
            Permission::GET_PROJECT,
            Permission::GET_ACCESS_TOKEN,
            Permission::IMPLICIT_DELEGATION,
        ] {
            assert_eq!(known.as_str().parse(), Ok(known));
        }
        for unknown in
            ["", "artifactregistry.repositories.downloadartifacts", "storage.objects.get"]
        {
            assert_eq!(unknown.parse::<Permission>(), Err(UnknownPermission(unknown.to_owned())));
        }
    }
}
