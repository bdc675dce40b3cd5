//! The predefined roles and their permissions, as listed in `data/roles.txt`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::permission::{Permission, UnknownPermission};

/// A predefined role. There are no other roles.
#[derive(Debug)]
pub struct PredefinedRole {
    /// The name in bindings, such as `roles/artifactregistry.reader`.
    pub name: &'static str,
    /// The name that people see, such as `Artifact Registry Reader`.
    pub title: &'static str,
    permissions: Vec<Permission>,
}

impl PredefinedRole {
    /// Returns whether the role has the permission.
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.permissions.binary_search(&permission).is_ok()
    }

    /// Returns the role's permissions, in byte order.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }
}

struct RoleTable {
    roles: BTreeMap<&'static str, PredefinedRole>,
    permissions: Vec<Permission>,
}

static TABLE: LazyLock<RoleTable> =
    LazyLock::new(|| parse_table(include_str!("../data/roles.txt")));

/// Returns the role of that name.
pub fn find_role(name: &str) -> Option<&'static PredefinedRole> {
    TABLE.roles.get(name)
}

/// Returns all predefined roles, sorted by name.
pub fn all_roles() -> impl Iterator<Item = &'static PredefinedRole> {
    TABLE.roles.values()
}

/// Returns the permissions of all roles, in byte order.
pub fn all_permissions() -> &'static [Permission] {
    &TABLE.permissions
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let all = all_permissions();
        match all.binary_search_by(|known| known.as_str().cmp(text)) {
            Ok(position) => Ok(all[position]),
            Err(_) => Err(UnknownPermission(text.to_owned())),
        }
    }
}

/// Parses the data file, which is compiled into the program. An error in the file is a panic, which the tests find.
fn parse_table(data: &'static str) -> RoleTable {
    let mut roles: BTreeMap<&str, PredefinedRole> = BTreeMap::new();
    let mut current: Option<PredefinedRole> = None;
    let lines =
        data.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        if let Some(head) = line.strip_prefix("role ") {
            let (name, title) = head.split_once(' ').expect("a role's line has a title");
            insert(&mut roles, current.take());
            current = Some(PredefinedRole {
                name,
                title: title.trim_matches('"'),
                permissions: Vec::new(),
            });
            continue;
        }
        let role = current.as_mut().expect("permissions follow a role");
        match line.strip_prefix("+ ") {
            Some(other) => {
                let other = roles.get(other).expect("a role that stands above");
                role.permissions.extend_from_slice(&other.permissions);
            }
            None => role.permissions.push(Permission::from_data(line)),
        }
    }
    insert(&mut roles, current);
    let mut permissions: Vec<_> =
        roles.values().flat_map(|role| role.permissions.iter().copied()).collect();
    permissions.sort_unstable();
    permissions.dedup();
    RoleTable { roles, permissions }
}

fn insert(roles: &mut BTreeMap<&'static str, PredefinedRole>, role: Option<PredefinedRole>) {
    let Some(mut role) = role else { return };
    role.permissions.sort_unstable();
    role.permissions.dedup();
    roles.insert(role.name, role);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::{artifactregistry, iam, resourcemanager};

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
        let of_registry = editor
            .permissions()
            .iter()
            .filter(|held| held.as_str().starts_with("artifactregistry."));
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
    fn permissions_are_those_of_the_roles() {
        for known in [
            artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS,
            artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
            artifactregistry::REPOSITORIES_DELETE_ARTIFACTS,
            artifactregistry::REPOSITORIES_CREATE_ON_PUSH,
            artifactregistry::REPOSITORIES_GET,
            resourcemanager::PROJECTS_GET,
            iam::SERVICE_ACCOUNTS_GET_ACCESS_TOKEN,
            iam::SERVICE_ACCOUNTS_IMPLICIT_DELEGATION,
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
