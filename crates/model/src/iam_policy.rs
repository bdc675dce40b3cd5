//! IAM policies, which bind members to roles. Permissions are asked of an
//! [`EffectivePolicy`](crate::effective_policy::EffectivePolicy).

use serde::{Deserialize, Serialize};

use crate::principal::{PolicyMember, PrincipalError};
use crate::role::RoleName;

/// The largest number of members in one policy, as in Google's IAM.
const MAX_MEMBERS: usize = 1_500;

/// The reasons why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name is neither of a predefined role nor of a custom one.
    #[error("bindings[{position}].role: Role {role} is not supported for this resource.")]
    Role {
        /// The position of the binding.
        position: usize,
        /// The name of the role.
        role: String,
    },
    /// A member is not valid.
    #[error("bindings[{position}].members: {problem}")]
    Member {
        /// The position of the binding.
        position: usize,
        /// The reason why the member is not valid.
        problem: PrincipalError,
    },
    /// The binding has a condition. Berth cannot evaluate conditions, and must not ignore one.
    #[error("bindings[{position}].condition: conditions are not supported yet")]
    Condition {
        /// The position of the binding.
        position: usize,
    },
    /// The role must not be given to everybody.
    #[error(
        "bindings[{position}].members: {member} cannot have {role}, only Artifact Registry's roles except admin"
    )]
    Public {
        /// The position of the binding.
        position: usize,
        /// The member: `allUsers` or `allAuthenticatedUsers`.
        member: PolicyMember,
        /// The name of the role.
        role: String,
    },
    /// The policy has more than 1,500 members.
    #[error("bindings: a policy names at most {MAX_MEMBERS} members")]
    TooManyMembers,
    /// The stored text is not JSON as [`IamPolicy::to_json`] writes it.
    #[error("the stored policy cannot be read")]
    Unreadable,
}

/// A role, and the members that have it.
#[derive(Debug, Clone)]
pub struct RoleBinding {
    /// The role.
    pub role: RoleName,
    /// The members, sorted and each only once.
    pub members: Vec<PolicyMember>,
}

/// The policy of a resource. An empty policy allows nothing.
#[derive(Debug, Clone, Default)]
pub struct IamPolicy {
    bindings: Vec<RoleBinding>,
}

/// A binding as clients send it and the database stores it, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncheckedBinding {
    /// The name of the role.
    pub role: String,
    /// The members as texts.
    pub members: Vec<String>,
    /// Tells whether the client's binding has a condition.
    #[serde(skip)]
    pub has_condition: bool,
}

impl IamPolicy {
    /// Checks bindings and creates a policy. Several bindings of one role become one, with its members in byte order.
    pub fn new(raw: &[UncheckedBinding]) -> Result<Self, PolicyError> {
        if raw.iter().map(|binding| binding.members.len()).sum::<usize>() > MAX_MEMBERS {
            return Err(PolicyError::TooManyMembers);
        }
        let mut policy = Self::default();
        for (position, binding) in raw.iter().enumerate() {
            if binding.has_condition {
                return Err(PolicyError::Condition { position });
            }
            let role = RoleName::parse(&binding.role).ok_or_else(|| PolicyError::Role {
                position,
                role: binding.role.chars().take(100).collect(),
            })?;
            for member in &binding.members {
                let member: PolicyMember =
                    member.parse().map_err(|problem| PolicyError::Member { position, problem })?;
                if member.is_public() && !may_be_public(&role) {
                    let role = role.as_str().to_owned();
                    return Err(PolicyError::Public { position, member, role });
                }
                policy.bind(role.clone(), member);
            }
        }
        Ok(policy)
    }

    /// Gives a role to a member.
    pub fn bind(&mut self, role: impl Into<RoleName>, member: PolicyMember) {
        let role = role.into();
        let is_same = |own: &RoleBinding| own.role.as_str() == role.as_str();
        let position = match self.bindings.iter().position(is_same) {
            Some(position) => position,
            None => {
                self.bindings.push(RoleBinding { role, members: Vec::new() });
                self.bindings.len() - 1
            }
        };
        let members = &mut self.bindings[position].members;
        if let Err(position) = members.binary_search(&member) {
            members.insert(position, member);
        }
    }

    /// Deletes a member from all bindings. A binding without members is deleted too.
    pub fn unbind(&mut self, member: &PolicyMember) {
        for binding in &mut self.bindings {
            binding.members.retain(|own| own != member);
        }
        self.bindings.retain(|binding| !binding.members.is_empty());
    }

    /// Takes a role from a member. A binding without members is deleted.
    pub fn unbind_role(&mut self, role: &str, member: &PolicyMember) {
        for binding in self.bindings.iter_mut().filter(|binding| binding.role.as_str() == role) {
            binding.members.retain(|own| own != member);
        }
        self.bindings.retain(|binding| !binding.members.is_empty());
    }

    /// Deletes the binding of a role. Returns whether there was one.
    pub fn delete_binding(&mut self, role: &str) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(|binding| binding.role.as_str() != role);
        self.bindings.len() < before
    }

    /// Returns whether a member has a role by name, and not as one of a set of principals.
    pub fn has_member(&self, role: &str, member: &PolicyMember) -> bool {
        let mut bindings = self.bindings.iter().filter(|binding| binding.role.as_str() == role);
        bindings.any(|binding| binding.members.contains(member))
    }

    /// Checks that the policy names no more members than [`IamPolicy::new`] takes. A larger one could not be read again.
    pub fn check_size(&self) -> Result<(), PolicyError> {
        let members = self.bindings.iter().map(|binding| binding.members.len()).sum::<usize>();
        if members > MAX_MEMBERS { Err(PolicyError::TooManyMembers) } else { Ok(()) }
    }

    /// Returns the bindings, one for each role.
    pub fn bindings(&self) -> &[RoleBinding] {
        &self.bindings
    }

    /// Returns the bindings, one for each role.
    pub fn into_bindings(self) -> Vec<RoleBinding> {
        self.bindings
    }

    /// Returns the policy as the JSON text that the database stores.
    pub fn to_json(&self) -> String {
        let raw = |binding: &RoleBinding| UncheckedBinding {
            role: binding.role.as_str().to_owned(),
            members: binding.members.iter().map(PolicyMember::to_string).collect(),
            has_condition: false,
        };
        let raw: Vec<_> = self.bindings.iter().map(raw).collect();
        serde_json::to_string(&raw).expect("texts are always JSON")
    }

    /// Parses the text that [`IamPolicy::to_json`] returned.
    pub fn from_json(json: &str) -> Result<Self, PolicyError> {
        let raw: Vec<UncheckedBinding> =
            serde_json::from_str(json).map_err(|_| PolicyError::Unreadable)?;
        Self::new(&raw)
    }
}

/// Returns whether a role may be given to everybody. These are the roles of Artifact Registry, except those that allow
/// to set a policy: with such a role, everybody could give roles to others. A custom role may get any permission later.
fn may_be_public(role: &RoleName) -> bool {
    match role {
        RoleName::Predefined(role) => {
            role.name.starts_with("roles/artifactregistry.")
                && !role.permissions().iter().any(|held| held.as_str().ends_with(".setIamPolicy"))
        }
        RoleName::Custom(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role;

    fn binding(role: &str, members: &[&str]) -> UncheckedBinding {
        UncheckedBinding {
            role: role.to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            has_condition: false,
        }
    }

    #[test]
    fn equal_roles_become_one_and_come_back_as_stored() {
        let policy = IamPolicy::new(&[
            binding("roles/viewer", &["user:b@example.com", "user:a@example.com"]),
            binding("roles/viewer", &["user:a@example.com"]),
        ])
        .expect("valid");
        let json = policy.to_json();
        assert_eq!(
            json,
            r#"[{"role":"roles/viewer","members":["user:a@example.com","user:b@example.com"]}]"#
        );
        assert_eq!(IamPolicy::from_json(&json).expect("valid").to_json(), json);
    }

    #[test]
    fn an_unbound_member_is_in_no_binding() {
        let mut policy = IamPolicy::new(&[
            binding("roles/owner", &["user:a@example.com"]),
            binding("roles/viewer", &["user:b@example.com", "user:a@example.com"]),
        ])
        .expect("valid");
        policy.unbind(&"user:a@example.com".parse().expect("valid"));
        assert_eq!(
            policy.to_json(),
            r#"[{"role":"roles/viewer","members":["user:b@example.com"]}]"#
        );
    }

    #[test]
    fn a_role_is_taken_alone() {
        let mut policy = IamPolicy::new(&[
            binding("roles/owner", &["user:a@example.com"]),
            binding("roles/viewer", &["user:a@example.com", "user:b@example.com"]),
        ])
        .expect("valid");
        let member: PolicyMember = "user:a@example.com".parse().expect("valid");
        assert!(policy.has_member("roles/owner", &member));
        policy.unbind_role("roles/owner", &member);
        assert!(!policy.has_member("roles/owner", &member));
        assert!(policy.has_member("roles/viewer", &member));
        assert_eq!(policy.bindings().len(), 1);
    }

    #[test]
    fn a_custom_role_is_bound_by_its_name() {
        let own = "projects/p/roles/own";
        let mut policy = IamPolicy::new(&[
            binding(own, &["user:a@example.com"]),
            binding("roles/viewer", &["user:a@example.com"]),
        ])
        .expect("valid");
        assert_eq!(IamPolicy::from_json(&policy.to_json()).expect("valid").bindings().len(), 2);
        assert!(policy.has_member(own, &"user:a@example.com".parse().expect("valid")));
        assert!(policy.delete_binding(own) && !policy.delete_binding(own));
        assert_eq!(policy.bindings().len(), 1);
    }

    #[test]
    fn a_policy_that_grows_too_large_is_noticed() {
        let mut policy = IamPolicy::default();
        let role = role::find_role("roles/viewer").expect("predefined");
        for number in 0..=MAX_MEMBERS {
            assert_eq!(policy.check_size(), Ok(()));
            policy.bind(role, format!("user:u{number}@example.com").parse().expect("valid"));
        }
        assert_eq!(policy.check_size(), Err(PolicyError::TooManyMembers));
    }

    #[test]
    fn errors_name_the_binding() {
        let refused = |binding: UncheckedBinding| {
            IamPolicy::new(&[binding]).expect_err("not valid").to_string()
        };
        for role in ["roles/none", "projects/p/roles/x", "organizations/2/roles/own"] {
            let text = refused(binding(role, &[]));
            assert!(text.contains(&format!("Role {role} is not supported")), "{text}");
        }
        assert!(refused(binding("roles/viewer", &["nobody"])).contains("bindings[0].members"));
        let conditional = UncheckedBinding { has_condition: true, ..binding("roles/viewer", &[]) };
        assert!(refused(conditional).contains("condition"));
        for everybody in ["allUsers", "allAuthenticatedUsers"] {
            for role in [
                "roles/owner",
                "roles/viewer",
                "roles/artifactregistry.admin",
                "projects/p/roles/own",
            ] {
                assert!(refused(binding(role, &[everybody])).contains(everybody), "{role}");
            }
            let reader = binding("roles/artifactregistry.reader", &[everybody]);
            assert!(IamPolicy::new(&[reader]).is_ok());
        }
        let many: Vec<_> = (0..1_501).map(|n| format!("user:u{n}@example.com")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(refused(binding("roles/viewer", &many)).contains("1500"));
    }
}
