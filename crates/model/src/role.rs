//! The predefined roles and their permissions, as listed in `data/roles.txt`, and the names of all roles.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::custom_role::CustomRoleName;
use crate::permission::Permission;
use crate::permission_set::PermissionSet;

/// A predefined role.
#[derive(Debug)]
pub struct PredefinedRole {
    /// The name in bindings, such as `roles/artifactregistry.reader`.
    pub name: &'static str,
    /// The name that people see, such as `Artifact Registry Reader`.
    pub title: &'static str,
    permissions: PermissionSet,
}

impl PredefinedRole {
    /// Returns whether the role has the permission.
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Returns the role's permissions.
    pub fn permissions(&self) -> PermissionSet {
        self.permissions
    }
}

/// The name of a role in a binding: a role that exists, or a custom one that may exist.
#[derive(Debug, Clone)]
pub enum RoleName {
    /// A predefined role.
    Predefined(&'static PredefinedRole),
    /// A custom role, which is stored.
    Custom(CustomRoleName),
}

impl RoleName {
    /// Parses the name of a role. Returns `None` if no role can have this name.
    pub fn parse(name: &str) -> Option<Self> {
        match find_role(name) {
            Some(role) => Some(Self::Predefined(role)),
            None => name.parse().ok().map(Self::Custom),
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Predefined(role) => role.name,
            Self::Custom(name) => name.as_str(),
        }
    }
}

impl From<&'static PredefinedRole> for RoleName {
    fn from(role: &'static PredefinedRole) -> Self {
        Self::Predefined(role)
    }
}

static TABLE: LazyLock<BTreeMap<&'static str, PredefinedRole>> =
    LazyLock::new(|| parse_table(include_str!("../data/roles.txt")));

/// Returns the predefined role of that name.
pub fn find_role(name: &str) -> Option<&'static PredefinedRole> {
    TABLE.get(name)
}

/// Returns all predefined roles, sorted by name.
pub fn all_roles() -> impl Iterator<Item = &'static PredefinedRole> {
    TABLE.values()
}

/// Parses the data file, which is compiled into the program. An error in the file is a panic, which the tests find.
fn parse_table(data: &'static str) -> BTreeMap<&'static str, PredefinedRole> {
    let mut roles: BTreeMap<&str, PredefinedRole> = BTreeMap::new();
    let mut current = "";
    let lines =
        data.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        if let Some(head) = line.strip_prefix("role ") {
            let (name, title) = head.split_once(' ').expect("a role's line has a title");
            let (title, permissions) = (title.trim_matches('"'), PermissionSet::default());
            roles.insert(name, PredefinedRole { name, title, permissions });
            current = name;
            continue;
        }
        let added: PermissionSet = match line.strip_prefix("+ ") {
            Some(other) => roles.get(other).expect("a role that stands above").permissions,
            None => [line.parse::<Permission>().expect("listed by build.rs")].into_iter().collect(),
        };
        let role = roles.get_mut(current).expect("permissions follow a role");
        role.permissions.extend(added.iter());
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published tables of Artifact Registry say how many permissions each role has.
    #[test]
    fn roles_are_as_large_as_published() {
        for (name, count) in [
            ("reader", 33),
            ("writer", 44),
            ("repoAdmin", 53),
            ("createOnPushWriter", 45),
            ("createOnPushRepoAdmin", 54),
            ("admin", 67),
            ("attachmentReader", 3),
            ("attachmentWriter", 6),
        ] {
            let role = find_role(&format!("roles/artifactregistry.{name}")).expect("predefined");
            assert_eq!(role.permissions().len(), count, "{name}");
        }
        let editor = find_role("roles/editor").expect("predefined");
        let held = editor.permissions();
        let of_registry = held.iter().filter(|held| held.as_str().starts_with("artifactregistry."));
        assert_eq!(of_registry.count(), 61);
    }

    #[test]
    fn permissions_of_roles() {
        let check = |role: &str, permission: &str, expected: bool| {
            let role = find_role(role).expect("predefined");
            let permission = permission.parse().expect("known");
            assert_eq!(role.has_permission(permission), expected, "{} {permission}", role.name);
        };
        check(
            "roles/artifactregistry.reader",
            "artifactregistry.repositories.downloadArtifacts",
            true,
        );
        check(
            "roles/artifactregistry.reader",
            "artifactregistry.repositories.uploadArtifacts",
            false,
        );
        check("roles/artifactregistry.writer", "artifactregistry.tags.update", true);
        check("roles/artifactregistry.writer", "artifactregistry.tags.delete", false);
        check("roles/artifactregistry.admin", "artifactregistry.repositories.createOnPush", false);
        check("roles/editor", "artifactregistry.repositories.createOnPush", true);
        check("roles/editor", "artifactregistry.repositories.setIamPolicy", false);
        check("roles/owner", "artifactregistry.repositories.setIamPolicy", true);
        // As in Google's IAM, the owner of a service account can grant the right to act as the account, but does not
        // have this right.
        check("roles/owner", "iam.serviceAccounts.getAccessToken", false);
        check("roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.getAccessToken", true);
        assert!(find_role("roles/none").is_none());
    }

    #[test]
    fn every_permission_belongs_to_a_role() {
        let of_roles: PermissionSet =
            all_roles().flat_map(|role| role.permissions().iter().collect::<Vec<_>>()).collect();
        assert!(of_roles.iter().eq(crate::permission::all_permissions().iter().copied()));
    }

    #[test]
    fn names_of_roles() {
        let parse = |name: &str| RoleName::parse(name).map(|role| role.as_str().to_owned());
        for name in ["roles/viewer", "projects/p/roles/own", "organizations/1/roles/own"] {
            assert_eq!(parse(name).as_deref(), Some(name));
        }
        for name in ["", "viewer", "roles/none", "projects/p/roles/", "organizations/2/roles/own"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
