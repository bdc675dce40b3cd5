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
