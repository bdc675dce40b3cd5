//! Policies in the form in which permissions are asked of them: with the permissions of each role, custom ones too.

use crate::custom_role::CustomRoleName;
use crate::iam_policy::IamPolicy;
use crate::permission::Permission;
use crate::permission_set::PermissionSet;
use crate::principal::{PolicyMember, Principal};
use crate::role::RoleName;

/// A policy with the permissions that its roles had when it was made. An empty policy allows nothing.
#[derive(Debug, Clone, Default)]
pub struct EffectivePolicy {
    grants: Vec<PolicyGrant>,
}

/// Permissions, and the members that have them.
#[derive(Debug, Clone)]
struct PolicyGrant {
    permissions: PermissionSet,
    members: Vec<PolicyMember>,
}

impl EffectivePolicy {
    /// Looks up the permissions of the policy's roles. `granted_by` returns those that a custom role grants.
    pub fn new<E>(
        policy: IamPolicy,
        mut granted_by: impl FnMut(&CustomRoleName) -> Result<PermissionSet, E>,
    ) -> Result<Self, E> {
        let mut grants = Vec::new();
        for binding in policy.into_bindings() {
            let permissions = match &binding.role {
                RoleName::Predefined(role) => role.permissions(),
                RoleName::Custom(name) => granted_by(name)?,
            };
            grants.push(PolicyGrant { permissions, members: binding.members });
        }
        Ok(Self { grants })
    }

    /// Returns whether this policy allows a permission to a principal. The policies of other resources may allow it
    /// too.
    pub fn allows(&self, principal: &Principal, permission: Permission) -> bool {
        self.grants.iter().any(|grant| {
            grant.permissions.contains(permission)
                && grant.members.iter().any(|member| member.includes(principal))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam_policy::UncheckedBinding;
    use crate::permissions::artifactregistry;

    fn binding(role: &str, member: &str) -> UncheckedBinding {
        let (role, members) = (role.to_owned(), vec![member.to_owned()]);
        UncheckedBinding { role, members, has_condition: false }
    }

    #[test]
    fn permissions_of_a_policy() {
        const PULL: Permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;
        const PUSH: Permission = artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS;
        const DELETE: Permission = artifactregistry::REPOSITORIES_DELETE_ARTIFACTS;
        let policy = IamPolicy::new(&[
            binding("roles/artifactregistry.reader", "allUsers"),
            binding("roles/artifactregistry.writer", "user:a@example.com"),
            binding("projects/p/roles/deleter", "user:b@example.com"),
            binding("projects/p/roles/none", "user:c@example.com"),
        ])
        .expect("valid");
        let granted_by = |name: &CustomRoleName| {
            let granted = [DELETE].into_iter().filter(|_| name.id() == "deleter");
            Ok::<_, ()>(granted.collect())
        };
        let policy = EffectivePolicy::new(policy, granted_by).expect("all roles are known");
        let check = |principal: &str, permission: Permission, expected: bool| {
            let principal: Principal = principal.parse().expect("valid");
            assert_eq!(policy.allows(&principal, permission), expected, "{principal} {permission}");
        };
        check("allUsers", PULL, true);
        check("allUsers", PUSH, false);
        check("user:a@example.com", PUSH, true);
        check("user:a@example.com", DELETE, false);
        check("user:b@example.com", PULL, true);
        check("user:b@example.com", PUSH, false);
        check("user:b@example.com", DELETE, true);
        check("user:c@example.com", PULL, true);
        check("user:c@example.com", DELETE, false);
        assert!(!EffectivePolicy::default().allows(&Principal::Anonymous, PULL));
    }

    #[test]
    fn a_role_that_cannot_be_read_is_an_error() {
        let policy = IamPolicy::new(&[binding("projects/p/roles/own", "user:a@example.com")]);
        let unreadable = EffectivePolicy::new(policy.expect("valid"), |_| Err("unreadable"));
        assert_eq!(unreadable.err(), Some("unreadable"));
    }
}
