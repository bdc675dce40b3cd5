//! Permissions, which have the names of Google's IAM.

use std::fmt;
use std::str::FromStr;

use crate::permissions;

/// A permission. Every permission belongs to at least one predefined role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission {
    /// The position in the list of all permissions, which is in byte order.
    number: u16,
    name: &'static str,
}

/// A text that is not the name of a permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a permission that this registry knows")]
pub struct UnknownPermission(pub String);

impl Permission {
    /// Creates a permission. Only the generated list of all permissions calls this.
    pub(crate) const fn from_data(number: u16, name: &'static str) -> Self {
        Self { number, name }
    }

    /// Returns the position in the list of all permissions.
    pub(crate) fn number(self) -> usize {
        usize::from(self.number)
    }

    /// Returns the first part of the name: `iam` for `iam.roles.get`.
    pub(crate) fn service(self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(service, _)| service)
    }

    /// Returns the last part of the name: `get` for `iam.roles.get`.
    pub(crate) fn verb(self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(_, verb)| verb)
    }

    /// Returns the permission's name in policies, roles and error texts.
    pub fn as_str(self) -> &'static str {
        self.name
    }
}

/// Returns all permissions, in byte order.
pub fn all_permissions() -> &'static [Permission] {
    static ALL: [Permission; permissions::COUNT] = permissions::ALL;
    &ALL
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let all = all_permissions();
        match all.binary_search_by(|known| known.name.cmp(text)) {
            Ok(position) => Ok(all[position]),
            Err(_) => Err(UnknownPermission(text.to_owned())),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::{artifactregistry, iam, resourcemanager};

    #[test]
    fn every_permission_is_found_by_its_name() {
        assert!(all_permissions().is_sorted_by(|one, next| one.name < next.name));
        for (position, known) in all_permissions().iter().enumerate() {
            assert_eq!(known.number(), position, "{known}");
            assert_eq!(known.as_str().parse(), Ok(*known));
        }
        for known in [
            artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS,
            resourcemanager::PROJECTS_GET,
            iam::SERVICE_ACCOUNTS_IMPLICIT_DELEGATION,
        ] {
            assert!(all_permissions().contains(&known), "{known}");
        }
        for unknown in
            ["", "artifactregistry.repositories.downloadartifacts", "storage.objects.get"]
        {
            assert_eq!(unknown.parse::<Permission>(), Err(UnknownPermission(unknown.to_owned())));
        }
    }
}
