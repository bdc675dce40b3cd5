//! Predefined roles: which permissions each holds. The table is data, in `data/roles.txt`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::permission::{Permission, UnknownPermission};

/// A role that everybody may grant.
#[derive(Debug)]
pub struct Role {
    /// As bindings name it, `roles/artifactregistry.reader`.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    permissions: Vec<Permission>,
}

impl Role {
    /// Whether the role allows it.
    pub fn holds(&self, permission: Permission) -> bool {
        self.permissions.binary_search(&permission).is_ok()
    }

    /// What it allows, in byte order.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }
}

struct Table {
    roles: BTreeMap<&'static str, Role>,
    permissions: Vec<Permission>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("../data/roles.txt")));

/// The role of that name.
pub fn find(name: &str) -> Option<&'static Role> {
    TABLE.roles.get(name)
}

/// Every predefined role, by name.
pub fn all() -> impl Iterator<Item = &'static Role> {
    TABLE.roles.values()
}

/// Every permission that some role holds, in byte order.
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

/// Reads the data. It is part of the program, and a test reads it too: what is wrong with it ends both.
fn read(data: &'static str) -> Table {
    let mut roles: BTreeMap<&str, Role> = BTreeMap::new();
    let mut current: Option<Role> = None;
    let lines =
        data.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        if let Some(head) = line.strip_prefix("role ") {
            let (name, title) = head.split_once(' ').expect("a role's line has a title");
            finish(&mut roles, current.take());
            current = Some(Role { name, title: title.trim_matches('"'), permissions: Vec::new() });
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
    finish(&mut roles, current);
    let mut permissions: Vec<_> =
        roles.values().flat_map(|role| role.permissions.iter().copied()).collect();
    permissions.sort_unstable();
    permissions.dedup();
    Table { roles, permissions }
}

fn finish(roles: &mut BTreeMap<&'static str, Role>, role: Option<Role>) {
    let Some(mut role) = role else { return };
    role.permissions.sort_unstable();
    role.permissions.dedup();
    roles.insert(role.name, role);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many permissions Artifact Registry's own tables give each role.
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
            let role = find(&format!("roles/artifactregistry.{name}")).expect("predefined");
            assert_eq!(role.permissions().len(), count, "{name}");
        }
        let editor = find("roles/editor").expect("predefined");
        let of_registry = editor
            .permissions()
            .iter()
            .filter(|held| held.as_str().starts_with("artifactregistry."));
        assert_eq!(of_registry.count(), 61);
    }

    #[test]
    fn who_may_what() {
        let check = |role: &str, permission: &str, expected: bool| {
            let role = find(role).expect("predefined");
            let permission = permission.parse().expect("known");
            assert_eq!(role.holds(permission), expected, "{} {permission}", role.name);
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
        // As in Google's: who owns an account may take the right to act as it, but does not have it.
        check("roles/owner", "iam.serviceAccounts.getAccessToken", false);
        check("roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.getAccessToken", true);
        assert!(find("roles/none").is_none());
    }

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
